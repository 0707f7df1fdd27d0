// Times as Grafana writes them in an address: now-1h, now, or milliseconds.

const SECONDS = { s: 1, m: 60, h: 3600, d: 86400, w: 604800, M: 2592000, y: 31536000 };
export const RANGES = ["5m", "15m", "30m", "1h", "3h", "6h", "12h", "24h", "2d", "7d", "30d"];
export const PACES = ["off", "5s", "10s", "30s", "1m", "5m"];
const NICE = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

export function seconds(text) {
  const found = /^(\d+(?:\.\d+)?)([smhdwMy])$/.exec(text);
  return found ? found[1] * SECONDS[found[2]] : NaN;
}

// Unix seconds of "now", "now-90m", "now-1d/d" (rounding is left out), milliseconds or a date; NaN for none.
export function moment(text, now = Date.now() / 1000) {
  const said = String(text).trim();
  const relative = /^now(?:\s*([+-])\s*(\d+(?:\.\d+)?[smhdwMy]))?(?:\/[smhdwMy])?$/.exec(said);
  if (relative) return now + (relative[1] === "+" ? 1 : -1) * (relative[2] ? seconds(relative[2]) : 0);
  if (/^\d{12,14}$/.test(said)) return said / 1000;
  if (/^\d{9,11}$/.test(said)) return Number(said);
  return said ? Date.parse(said.replace(" ", "T")) / 1000 : NaN;
}

export const isLive = (span) => String(span.to).startsWith("now");

export function words(span) {
  const back = /^now-(\S+)$/.exec(span.from);
  if (span.to === "now" && back) return `last ${back[1]}`;
  return `${isLive(span) && span.from.startsWith("now") ? span.from : stamp(moment(span.from))} to ${span.to === "now" ? "now" : stamp(moment(span.to))}`;
}

export function length(total) {
  const unit = Object.entries({ d: 86400, h: 3600, m: 60, s: 1 }).find(([, size]) => total >= size && total % size === 0);
  return unit ? `${total / unit[1]}${unit[0]}` : `${Math.round(total)}s`;
}

// A step that gives about one point for each `pixels`, never finer than a scrape.
export function step(range, pixels, scrape) {
  const wanted = Math.max(range / Math.max(pixels, 60), scrape);
  return NICE.find((each) => each >= wanted) ?? Math.ceil(wanted / 86400) * 86400;
}

const two = (number) => String(number).padStart(2, "0");
const day = (at) => `${two(at.getMonth() + 1)}-${two(at.getDate())}`;
const clock = (at) => `${two(at.getHours())}:${two(at.getMinutes())}`;

export function stamp(unix) {
  const at = new Date(unix * 1000);
  return Number.isNaN(at.getTime()) ? "?" : `${at.getFullYear()}-${day(at)} ${clock(at)}:${two(at.getSeconds())}`;
}

// Labels of a time axis, as short as its span lets them be.
export function ticks(splits, increment) {
  let last = "";
  return splits.map((unix) => {
    const at = new Date(unix * 1000);
    const today = day(at);
    const time = increment < 60 ? `${clock(at)}:${two(at.getSeconds())}` : clock(at);
    const shown = increment >= 86400 ? today : last && last !== today ? `${today} ${time}` : time;
    last = today;
    return shown;
  });
}

export function ago(unix, now = Date.now() / 1000) {
  const past = Math.max(0, now - unix);
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([size]) => past >= size) ?? [1, "s"];
  return `${Math.floor(past / size)} ${unit} ago`;
}
