// Questions to the Prometheus behind this page, and the words that a board's variables stand for.

import { step } from "./time.js";

export class Trouble extends Error {}

export async function ask(path, given = {}, signal = undefined) {
  const body = new URLSearchParams(Object.entries(given).flatMap(([key, value]) => [value].flat().map((each) => [key, each])));
  let answer;
  try {
    answer = /^(label\/|rules|alerts|targets)/.test(path)
      ? await fetch(`/api/v1/${path}?${body}`, { signal })
      : await fetch(`/api/v1/${path}`, { method: "POST", body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("This page's server cannot be reached; is it still running?");
  }
  let said;
  try {
    said = await answer.json();
  } catch {
    throw new Trouble(`The answer is no JSON (status ${answer.status})`);
  }
  if (said.status !== "success") throw new Trouble(said.error ?? `status ${answer.status}`);
  return said.data;
}

const escaped = (text) => text.replace(/[$^*{}[\]'+?.()|\\]/g, "\\\\$&").replace(/"/g, '\\"');

// What a variable's value is in a query: a pattern where several may be chosen, else the bare word.
export function inside(variable, chosen) {
  if (variable.type !== "query") return String(chosen[0] ?? "");
  if (chosen.includes("$__all")) return variable.allValue ?? ".*";
  return chosen.length === 1 ? escaped(chosen[0]) : `(${chosen.map(escaped).join("|")})`;
}

export function fill(text, words) {
  return text.replace(/\$(\w+)|\$\{(\w+)(?::\w+)?\}/g, (whole, bare, braced) => words[bare ?? braced] ?? whole);
}

// Times and steps of a panel's queries, and what Grafana's own variables stand for.
export function frame(span, pixels, scrape) {
  const range = span.end - span.start;
  const every = step(range, pixels, scrape);
  const rate = Math.max(every + scrape, 4 * scrape);
  return {
    start: Math.floor(span.start / every) * every,
    end: Math.floor(span.end / every) * every,
    step: every,
    words: { __rate_interval: `${Math.ceil(rate)}s`, __interval: `${every}s`, __interval_ms: String(every * 1000), __range: `${Math.round(range)}s`, __range_s: String(Math.round(range)) },
  };
}

export async function ranged(expr, times, signal) {
  const found = await ask("query_range", { query: expr, start: times.start, end: times.end, step: times.step }, signal);
  return found.result.map(({ metric, values }) => ({ metric, values: spread(values, times) }));
}

// One number or null for each step.
function spread(values, { start, end, step: every }) {
  const row = new Array(Math.round((end - start) / every) + 1).fill(null);
  for (const [at, text] of values) {
    const place = Math.round((at - start) / every);
    const value = parse(text);
    if (place >= 0 && place < row.length && !Number.isNaN(value)) row[place] = value;
  }
  return row;
}

export const parse = (text) => (text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : Number(text));

export async function instant(expr, at, signal) {
  const found = await ask("query", { query: expr, time: at }, signal);
  if (found.resultType === "scalar") return [{ metric: {}, value: parse(found.result[1]) }];
  return found.result.map(({ metric, value }) => ({ metric, value: parse(value[1]) }));
}

// Names of a panel's metrics stand in its description, in backticks.
export const metrics = (panel) => [...(panel.description ?? "").split("Metric:").pop().matchAll(/`([\w:]+)`/g)].map((found) => found[1]);

export function legend(format, metric, fallback) {
  if (format && format !== "__auto") return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? "").trim() || fallback;
  const labels = Object.entries(metric).filter(([name]) => name !== "__name__");
  return labels.length ? labels.map(([name, value]) => `${name}=${value}`).join(" ") : metric.__name__ ?? fallback;
}
