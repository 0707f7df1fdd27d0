// What is drawn over all panels: alerts that fired, models loaded, restarts, scaling decisions and why.

import { fill, legend, ranged } from "./query.js";
import { seconds } from "./time.js";

const MOST_STEPS = 500;
const MOST_MARKS = 200;

// Each run of steps in which a mark's query has a value is one event.
export async function found(annotation, words, span, signal) {
  const step = Math.max(seconds(annotation.step ?? "1m") || 60, Math.ceil((span.end - span.start) / MOST_STEPS));
  const times = { start: Math.floor(span.start / step) * step, end: Math.floor(span.end / step) * step, step };
  const series = await ranged(fill(annotation.expr, { ...words, __rate_interval: `${step}s` }), times, signal);
  return series.flatMap(({ metric, values }) => {
    const made = [];
    values.forEach((value, place) => {
      const at = times.start + place * step;
      if (value === null) return;
      if (made.length && made.at(-1).until === at - step) made.at(-1).until = at;
      else made.push({ kind: annotation.name, colour: annotation.iconColor, at, until: at, title: legend(annotation.titleFormat, metric, annotation.name), text: legend(annotation.textFormat, metric, "") });
    });
    return made;
  }).slice(0, MOST_MARKS);
}

// A decision of the scaler that changed something, with its reason.
export function decided(decisions, span) {
  return decisions
    .filter((one) => one.action !== "hold")
    .map((one) => ({ kind: "Scaling", colour: one.action === "freeze" ? "blue" : "green", at: moment(one.at), until: moment(one.at), title: `${one.target} ${one.action} to ${one.to}`, text: one.reason }))
    .filter((one) => one.at >= span.start && one.at <= span.end);
}

export const moment = (at) => (typeof at === "number" ? at : Date.parse(at) / 1000);
