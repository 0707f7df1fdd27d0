// Values as Grafana writes them, by its unit ids; an id that it does not know is printed as it stands.

const SHORT = [[1e15, "Quadr"], [1e12, "Tri"], [1e9, "Bil"], [1e6, "Mil"], [1e3, "K"]];
const SI = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];
const IEC = [[2 ** 50, "Pi"], [2 ** 40, "Ti"], [2 ** 30, "Gi"], [2 ** 20, "Mi"], [2 ** 10, "Ki"]];
const TIMES = [[31536000, "years"], [604800, "weeks"], [86400, "days"], [3600, "hours"], [60, "mins"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]];
const IN_SECONDS = { ns: 1e-9, "µs": 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600, d: 86400 };
const SI_UNITS = { watt: "W", kwatt: "kW", watth: "Wh", joule: "J", volt: "V", amp: "A", hertz: "Hz", flops: "FLOPS", decbytes: "B", decbits: "b", Bps: "B/s", bps: "b/s" };
const IEC_UNITS = { bytes: "B", bits: "b", binBps: "B/s", binbps: "b/s" };
const RATES = { cps: "c/s", ops: "ops/s", reqps: "req/s", rps: "rd/s", wps: "wr/s", iops: "io/s", eps: "evt/s", mps: "msg/s", recps: "rec/s", rowsps: "rows/s", cpm: "c/m", opm: "ops/m", reqpm: "req/m", rpm: "r/m", pps: "p/s" };
const SIGNS = { celsius: "°C", fahrenheit: "°F", kelvin: "K", percent: "%", humidity: "%H", dB: "dB", degree: "°", rotrpm: "rpm" };
const MONEY = { USD: "$", GBP: "£", EUR: "€", JPY: "¥", INR: "₹", KRW: "₩" };

// Digits behind the point: three that count where nobody said how many; no zeros at the end.
export function number(value, decimals) {
  if (decimals !== null && decimals !== undefined) return grouped(value.toFixed(decimals));
  const size = Math.abs(value);
  if (size > 0 && size < 1e-4) return value.toExponential(1);
  const places = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : 4;
  const text = value.toFixed(places);
  return grouped(text.includes(".") ? text.replace(/\.?0+$/, "") : text).replace(/^-0$/, "0");
}

const grouped = (text) => text.replace(/^(-?\d+)/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));

function scaled(value, table, decimals, unit, gap = " ") {
  const size = Math.abs(value);
  const found = table.find(([at]) => size >= at * 0.9995) ?? (size ? table.at(-1)[0] < 1 ? table.at(-1) : null : null);
  const [at, prefix] = found ?? [1, ""];
  return `${number(value / at, decimals)}${prefix || unit ? gap : ""}${prefix}${unit}`;
}

function duration(value, unit, decimals) {
  const total = value * IN_SECONDS[unit];
  return total ? scaled(total, TIMES, decimals, "") : `0 ${unit === "m" ? "min" : unit}`;
}

// What "workers" are where there is one; words with another plural, and rates, stay.
const one = (word) => (/(ches|ies|ss|\/s)$/.test(word) ? word : word.replace(/s$/, ""));

export function show(value, unit = "none", decimals = null) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const [form, word] = [unit.split(":", 1)[0], unit.slice(unit.indexOf(":") + 1)];
  if (unit === "none" || unit === "") return number(value, decimals);
  if (unit === "short" || unit === "sishort") return scaled(value, unit === "short" ? SHORT : SI, decimals, "");
  if (unit === "percentunit") return `${number(value * 100, decimals)} %`;
  if (unit in IN_SECONDS) return duration(value, unit, decimals);
  if (unit in SI_UNITS) return scaled(value, SI, decimals, SI_UNITS[unit]);
  if (unit in IEC_UNITS) return scaled(value, IEC, decimals, IEC_UNITS[unit]);
  if (unit in RATES) return `${scaled(value, SHORT, decimals, "")} ${RATES[unit]}`;
  if (unit in SIGNS) return `${number(value, decimals)} ${SIGNS[unit]}`;
  if (unit === "bool_yes_no") return value ? "Yes" : "No";
  if (unit === "bool_on_off") return value ? "On" : "Off";
  if (unit === "bool") return value ? "True" : "False";
  if (form === "suffix") return `${number(value, decimals)}${word}`;
  if (form === "prefix") return `${word}${number(value, decimals)}`;
  if (form === "count") return `${scaled(value, SHORT, decimals, "")} ${value === 1 ? one(word) : word}`;
  if (form === "si") return scaled(value, SI, decimals, word);
  if (form === "currency") return `${word}${scaled(value, SHORT, decimals, "", "")}`;
  if (unit.startsWith("currency")) return `${MONEY[unit.slice(8)] ?? unit.slice(8)}${scaled(value, SHORT, decimals, "", "")}`;
  return `${number(value, decimals)} ${unit}`;
}

// The same for an axis, where "requests" on every line is noise.
export const axis = (value, unit, decimals) =>
  unit.startsWith("count:") || unit in RATES || /^suffix:\s/.test(unit) ? show(value, "short", decimals) : show(value, unit, decimals);
