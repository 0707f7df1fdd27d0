// How many requests fell into which bucket, over time.

import { base, size, timeAxis, times, wide } from "./chart.js";
import { colour, variable } from "./make.js";
import { hide, tell } from "./tip.js";
import { show } from "./units.js";

// Cumulative counts by bound, as counts of each bucket; the lowest bound first, empty edges left out.
export function bands(series) {
  const bounds = series
    .map((one) => ({ bound: one.metric.le === "+Inf" ? Infinity : Number(one.metric.le), values: one.values }))
    .sort((one, other) => one.bound - other.bound);
  const rows = bounds.map((one, place) => ({
    from: place ? bounds[place - 1].bound : 0,
    to: one.bound,
    counts: one.values.map((value, at) => (value === null ? null : Math.max(0, value - (place ? bounds[place - 1].values[at] ?? 0 : 0)))),
  }));
  const used = rows.map((row) => row.counts.some((count) => count > 1e-9));
  const [first, last] = [used.indexOf(true), used.lastIndexOf(true)];
  return first < 0 ? [] : rows.slice(Math.max(0, first - 1), last + 2);
}

export function heat(box, panel, rows, frame, beside) {
  const unit = panel.options.yAxis?.unit ?? "none";
  const most = Math.max(...rows.flatMap((row) => row.counts).filter((count) => count !== null));
  const bound = (place) => (place === 0 ? rows[0].from : rows[place - 1]?.to);
  const options = {
    ...size(box),
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, sync: { key: "board", setSeries: false }, drag: { x: true, y: false, setScale: false }, points: { show: false } },
    scales: { x: { time: true, range: [frame.start, frame.end] }, y: { range: [0, rows.length] } },
    axes: [timeAxis(), base({ grid: { show: false }, splits: () => marks(rows.length), values: (_, splits) => splits.map((place) => show(bound(place), unit)), size: (_, labels) => wide(labels ?? []) })],
    series: [{}, { show: true, paths: () => null, points: { show: false } }],
    hooks: {
      draw: [(u) => paint(u, rows, frame, most)],
      setCursor: [(u) => hover(u, rows, unit)],
      setSelect: [(u) => beside.zoomed(u)],
    },
  };
  const drawn = new uPlot(options, [times(frame), times(frame).map(() => 0)], box);
  drawn.over.addEventListener("mouseleave", hide);
  return drawn;
}

function marks(count) {
  const every = Math.max(1, Math.ceil(count / 6));
  return Array.from({ length: Math.floor(count / every) + 1 }, (_, place) => place * every);
}

function paint(u, rows, frame, most) {
  const { ctx } = u;
  const wide = u.valToPos(frame.start + frame.step, "x", true) - u.valToPos(frame.start, "x", true);
  const gap = wide > 4 ? 1 : 0;
  ctx.save();
  ctx.fillStyle = colour("orange");
  rows.forEach((row, place) => {
    const [top, bottom] = [u.valToPos(place + 1, "y", true), u.valToPos(place, "y", true)];
    row.counts.forEach((count, at) => {
      if (!(count > 1e-9)) return;
      ctx.globalAlpha = 0.15 + 0.85 * Math.sqrt(count / most);
      const x = u.valToPos(frame.start + at * frame.step, "x", true) - wide;
      const left = Math.max(x, u.bbox.left);
      ctx.fillRect(left, top + gap, Math.max(1, x + wide - left - gap), Math.max(1, bottom - top - gap));
    });
  });
  ctx.restore();
}

function hover(u, rows, unit) {
  const { left, top, idx } = u.cursor;
  if (!u.over.matches(":hover")) return;
  if (left < 0 || idx === null || idx === undefined) return hide();
  const shown = rows.map((row) => ({ name: `${show(row.from, unit)} to ${show(row.to, unit)}`, count: row.counts[idx] })).filter((row) => row.count > 1e-9).reverse();
  tell(u.over, left, top, u.data[0][idx], shown.map((row) => ({ name: row.name, text: show(row.count, "short"), tint: variable("--warn") })), []);
}
