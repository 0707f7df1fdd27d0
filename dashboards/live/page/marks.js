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

// The same decision again and again, as an adviser nobody heeds takes it, is one: the newest, with how often.
export function runs(decisions) {
  const open = new Map();
  const made = [];
  for (const one of decisions) {
    const key = JSON.stringify([one.action, one.from, one.to, one.chosen_term, one.mode]);
    const before = open.get(one.target);
    if (before?.key === key) Object.assign(before, { one, times: before.times + 1 });
    else {
      const run = { key, one, since: moment(one.at), times: 1 };
      open.set(one.target, run);
      made.push(run);
    }
  }
  return made;
}

// A decision of the scaler that would change something, with its reason, when it was first taken.
export function decided(decisions, span) {
  return runs(decisions)
    .filter(({ one }) => one.action !== "hold")
    .map(({ one, since }) => ({ kind: "Scaling", colour: one.action === "freeze" ? "blue" : "green", at: since, until: since, title: `${one.target} ${one.action} to ${one.to}`, text: one.reason }))
    .filter((one) => one.at >= span.start && one.at <= span.end);
}

export const moment = (at) => (typeof at === "number" ? at : Date.parse(at) / 1000);
