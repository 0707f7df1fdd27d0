// Lines over time, by uPlot: stacked or not, with thresholds, marks, dots of exemplars, one cursor for all.

import { colour, faint, line, variable } from "./make.js";
import { stamp, ticks } from "./time.js";
import { axis, show } from "./units.js";
import { hide, tell } from "./tip.js";

const FONT = "12px system-ui, sans-serif";
const NEAR = 6;
const IEC = ["bytes", "bits", "binBps", "binbps"];
const DOUBLES = Array.from({ length: 61 }, (_, power) => 2 ** power);
export const sync = () => uPlot.sync("board");

// One series for each step; stacked ones stand on those before them.
function piled(rows) {
  const made = [];
  let below = null;
  for (const row of rows) {
    below = row.map((value, at) => {
      const under = below?.[at] ?? null;
      return value === null && under === null ? null : (value ?? 0) + (under ?? 0);
    });
    made.push(below);
  }
  return made;
}

export function times({ start, end, step }) {
  return Array.from({ length: Math.round((end - start) / step) + 1 }, (_, place) => start + place * step);
}

export const base = (u) => ({ stroke: variable("--quiet"), grid: { stroke: variable("--grid"), width: 1 }, ticks: { stroke: variable("--grid"), size: 4, width: 1 }, font: FONT, ...u });

export function timeAxis() {
  return base({ values: (_, splits, __, ___, increment) => ticks(splits, increment), space: 64, size: 30 });
}

export const wide = (labels) => Math.max(34, 14 + 6.6 * Math.max(0, ...labels.map((each) => each.length)));

export function drawing(panel) {
  const defaults = panel.fieldConfig.defaults;
  return {
    unit: defaults.unit ?? "none",
    decimals: defaults.decimals ?? null,
    stacked: defaults.custom?.stacking?.mode === "normal",
    fill: (defaults.custom?.fillOpacity ?? 0) / 100,
    steps: defaults.custom?.thresholdsStyle?.mode === "off" ? [] : (defaults.thresholds?.steps ?? []).filter((each) => each.value !== null && each.value > -1e8),
    min: defaults.min ?? null,
    max: defaults.max ?? null,
  };
}

function limits(how) {
  return (_, low, high) => {
    const [least, most] = [low ?? 0, high ?? 1];
    const room = (most - Math.min(least, how.min ?? least)) * 0.08 || Math.abs(most) * 0.1 || 1;
    const bottom = how.min !== null ? Math.min(how.min, least < how.min ? least : how.min) : least - room;
    const top = how.max !== null && most <= how.max ? how.max : most + room;
    return [bottom, top > bottom ? top : bottom + 1];
  };
}

// Draw series into a box; gives what lets go of it, and what takes new data.
export function chart(box, panel, series, frame, beside) {
  const how = drawing(panel);
  const hidden = beside.hidden;
  const silent = (one) => how.stacked && one.values.every((value) => !value);
  const shown = series.map((one) => !hidden.has(one.name) && (!silent(one) || series.every(silent)));
  const rows = series.map((one) => one.values);
  const values = how.stacked ? piled(rows.map((row, place) => (shown[place] ? row : row.map(() => null)))) : rows;
  const options = {
    ...size(box),
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, sync: { key: "board", setSeries: false }, drag: { x: true, y: false, setScale: false }, points: { size: 6 }, focus: { prox: 24 } },
    scales: { x: { time: true, range: [frame.start, frame.end] }, y: { range: limits(how) } },
    axes: [timeAxis(), base({ values: (_, splits) => splits.map((each) => axis(each, how.unit, how.unit === "percentunit" ? null : undefined)), size: (_, labels) => wide(labels ?? []), space: 34, ...(IEC.includes(how.unit) ? { incrs: DOUBLES } : {}) })],
    series: [{}, ...series.map((one, place) => lined(one, place, how, shown[place]))],
    bands: how.stacked ? layers(shown) : undefined,
    hooks: {
      drawClear: [(u) => thresholds(u, how.steps)],
      draw: [(u) => marks(u, beside.marks()), (u) => dots(u, beside.dots())],
      setCursor: [(u) => hover(u, series, how, beside)],
      setSelect: [(u) => zoom(u, beside)],
    },
  };
  const drawn = new uPlot(options, [times(frame), ...values], box);
  drawn.told = (at) => `${stamp(drawn.data[0][at])}: ${there(drawn, series, how, at).map((row) => `${row.name} ${row.text}`).join(", ") || "nothing"}`;
  drawn.over.addEventListener("mouseenter", () => { drawn.steered = false; });
  drawn.over.addEventListener("mouseleave", hide);
  drawn.over.addEventListener("click", () => pick(drawn, beside));
  return drawn;
}

function lined(one, place, how, shown) {
  const stroke = line(place);
  return { label: one.name, show: shown, stroke, width: 1.6, fill: how.fill ? faint(stroke, how.stacked ? 0.35 : 0.1) : undefined, spanGaps: false, points: { show: lonely, size: 4, fill: stroke } };
}

// What is filled between each shown series and the one below it.
function layers(shown) {
  const places = shown.flatMap((on, place) => (on ? [place + 1] : []));
  return places.slice(1).map((place, below) => ({ series: [place, places[below]] }));
}

// Points are drawn where a line would hide them: single values between gaps.
function lonely(u, place) {
  const row = u.data[place];
  return row.some((value, at) => value !== null && (row[at - 1] ?? null) === null && (row[at + 1] ?? null) === null);
}

export const size = (box) => ({ width: Math.max(60, box.clientWidth), height: Math.max(60, box.clientHeight) });

function thresholds(u, steps) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.setLineDash([5, 5]);
  for (const { value, color } of steps) {
    const y = u.valToPos(value, "y", true);
    if (!value || y < bbox.top || y > bbox.top + bbox.height) continue;
    ctx.strokeStyle = colour(color);
    ctx.globalAlpha = 0.75;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}

function marks(u, found) {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height + 6 * ratio);
  ctx.clip();
  for (const each of found) {
    const x = u.valToPos(each.at, "x", true);
    const until = u.valToPos(each.until, "x", true);
    ctx.strokeStyle = ctx.fillStyle = colour(each.colour);
    if (until - x > 2) {
      ctx.globalAlpha = 0.07;
      ctx.fillRect(x, bbox.top, until - x, bbox.height);
    }
    ctx.globalAlpha = 0.7;
    ctx.setLineDash([4 * ratio, 4 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.globalAlpha = 1;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top + bbox.height - 5 * ratio);
    ctx.lineTo(x - 4 * ratio, bbox.top + bbox.height + 3 * ratio);
    ctx.lineTo(x + 4 * ratio, bbox.top + bbox.height + 3 * ratio);
    ctx.fill();
  }
  ctx.restore();
}

function dots(u, found) {
  const { ctx } = u;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.fillStyle = variable("--blue");
  ctx.strokeStyle = variable("--card");
  for (const each of found) {
    if (!visible(u, each)) continue;
    ctx.beginPath();
    ctx.arc(u.valToPos(each.at, "x", true), u.valToPos(each.value, "y", true), 3.2 * ratio, 0, 7);
    ctx.fill();
    ctx.stroke();
  }
  ctx.restore();
}

const visible = (u, { at, value }) => at >= u.scales.x.min && at <= u.scales.x.max && value >= u.scales.y.min && value <= u.scales.y.max;

function near(u, found, top = null) {
  const { left } = u.cursor;
  return found.filter((each) => Math.abs(u.valToPos(each.at, "x") - left) <= NEAR && (top === null || Math.abs(u.valToPos(each.value, "y") - top) <= NEAR));
}

function hover(u, series, how, beside) {
  const { left, top, idx } = u.cursor;
  if (!u.over.matches(":hover") && !u.steered) return;
  if (left < 0 || idx === null || idx === undefined) return hide();
  const rows = there(u, series, how, idx);
  const notes = near(u, beside.marks()).map((each) => ({ tint: colour(each.colour), text: [each.title, each.text].filter(Boolean).join(": ") }));
  const traces = near(u, beside.dots(), top).slice(0, 3).map((each) => ({ tint: variable("--blue"), text: `${show(each.value, how.unit)}, trace ${each.trace}${beside.trace(each) ? " (click to open)" : ""}` }));
  tell(u.over, left, top, u.data[0][idx], rows, [...traces, ...notes]);
}

// The values at one step, the largest first or as they are stacked.
function there(u, series, how, idx) {
  const rows = series
    .map((one, place) => ({ name: one.name, tint: line(place), value: one.values[idx], shown: u.series[place + 1].show }))
    .filter((row) => row.shown && row.value !== null && row.value !== undefined)
    .map((row) => ({ ...row, text: show(row.value, how.unit, how.decimals) }));
  return how.stacked ? rows.reverse() : rows.sort((one, other) => other.value - one.value);
}

// Move the cursor by keys; gives what stands there, in words.
export function steer(u, by) {
  const last = u.data[0].length - 1;
  const at = Math.max(0, Math.min(last, u.steered ? u.at + by : last));
  u.steered = true;
  u.at = at;
  u.setCursor({ left: u.valToPos(u.data[0][at], "x"), top: u.over.clientHeight / 2 });
  return u.told?.(at) ?? "";
}

function zoom(u, beside) {
  const { left, width } = u.select;
  if (width < 8) return;
  beside.zoom(u.posToVal(left, "x"), u.posToVal(left + width, "x"));
  u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
}

function pick(u, beside) {
  const [first] = near(u, beside.dots(), u.cursor.top);
  const address = first && beside.trace(first);
  if (address) open(address, "_blank", "noopener");
}
