// Panels that need no chart: numbers, bars, states over time, tables.

import { colour, draw, judged, line, make } from "./make.js";
import { stamp, ticks } from "./time.js";
import { number, show } from "./units.js";

const last = (values) => values.findLast((value) => value !== null) ?? null;

export function mapped(value, defaults) {
  for (const mapping of defaults.mappings ?? []) {
    if (mapping.type === "value" && mapping.options[String(value)]) return mapping.options[String(value)];
  }
  return null;
}

export function stat(box, panel, series) {
  const defaults = panel.fieldConfig.defaults;
  const named = series.length > 1 || panel.options.textMode === "value_and_name" || series[0].name !== panel.title;
  box.replaceChildren(make("div", { className: "stats" }, ...series.slice(0, 6).map((one) => {
    const value = last(one.values);
    const word = mapped(value, defaults);
    const tint = word?.color ?? (defaults.color?.mode === "thresholds" ? judged(value, defaults.thresholds.steps) : "text");
    const text = make("strong", { textContent: word?.text ?? show(value, defaults.unit, defaults.decimals ?? null) });
    text.style.color = colour(tint);
    const name = named ? [make("span", { className: "quiet", textContent: one.name })] : [];
    return make("div", { className: "figure" }, make("div", {}, text, ...name), ...spark(one.values, tint === "text" ? line(0) : colour(tint), defaults.min));
  })));
}

function spark(values, tint, least) {
  const known = values.filter((value) => value !== null && Number.isFinite(value));
  if (known.length < 3) return [];
  const low = Math.min(least ?? Infinity, ...known);
  const high = Math.max(...known);
  const at = (value, place) => `${((100 * place) / (values.length - 1)).toFixed(2)},${(high > low ? 30 - (28 * (value - low)) / (high - low) : 30).toFixed(2)}`;
  const lines = [];
  let run = [];
  values.forEach((value, place) => {
    if (value !== null && Number.isFinite(value)) run.push(at(value, place));
    if ((value === null || place === values.length - 1) && run.length) { lines.push(run); run = []; }
  });
  const picture = draw("svg", { viewBox: "0 0 100 32", preserveAspectRatio: "none", class: "spark", "aria-hidden": "true" });
  for (const points of lines) {
    const [start, end] = [points[0].split(",")[0], points.at(-1).split(",")[0]];
    const area = draw("path", { d: `M${start},32L${points.join("L")}L${end},32Z`, opacity: "0.14" });
    const edge = draw("path", { d: `M${points.join("L")}`, fill: "none", "stroke-width": "1.5", "vector-effect": "non-scaling-stroke" });
    area.style.fill = edge.style.stroke = tint;
    picture.append(area, edge);
  }
  return [picture];
}

// Names without the words that all of them begin with, so that what tells them apart is not cut off.
export function apart(names) {
  const words = names.map((one) => one.split(" "));
  const same = (place) => words.every((each) => each.length > place + 1 && each[place] === words[0][place]);
  let begin = 0;
  while (names.length > 1 && same(begin)) begin += 1;
  return words.map((each) => each.slice(begin).join(" "));
}

export function bars(box, panel, series) {
  const names = apart(series.map((one) => one.name));
  const defaults = panel.fieldConfig.defaults;
  const most = defaults.max ?? Math.max(...series.map((one) => one.value).filter(Number.isFinite), 0);
  box.replaceChildren(make("ul", { className: "bars" }, ...series.map((one, place) => {
    const fill = make("i");
    fill.style.width = `${one.value === Infinity ? 100 : most > 0 ? Math.min(100, Math.max(0.5, (100 * one.value) / most)) : 0}%`;
    fill.style.background = colour(judged(one.value, defaults.thresholds.steps));
    if (judged(one.value, defaults.thresholds.steps) === "text") fill.style.background = line(0);
    return make("li", {}, make("span", { textContent: names[place], title: one.name }), make("div", { className: "bar" }, fill), make("b", { textContent: show(one.value, defaults.unit, defaults.decimals ?? null) }));
  })));
}

// Runs of the same value, as shares of the time.
export function runs(values) {
  const found = [];
  values.forEach((value, place) => {
    if (value === null) return;
    const before = found.at(-1);
    if (before && before.value === value && before.until === place) before.until = place + 1;
    else found.push({ value, from: place, until: place + 1 });
  });
  return found;
}

// The share of the time that each state had.
export function shares(series, defaults) {
  return series.map((one) => {
    const known = one.values.filter((value) => value !== null);
    const words = new Map();
    known.forEach((value) => {
      const word = mapped(value, defaults)?.text ?? number(value);
      words.set(word, (words.get(word) ?? 0) + 1);
    });
    return { series: one.name, now: mapped(known.at(-1), defaults)?.text ?? number(known.at(-1)), "in this time": [...words].map(([word, count]) => `${word} ${show(count / known.length, "percentunit", 1)}`).join(", ") };
  });
}

export function states(box, panel, series, frame) {
  const defaults = panel.fieldConfig.defaults;
  const share = (place, count) => `${(100 * place) / count}%`;
  const rows = series.map((one) => {
    const track = make("div", { className: "track" });
    for (const run of runs(one.values)) {
      const word = mapped(run.value, defaults) ?? { text: show(run.value, defaults.unit), color: judged(run.value, defaults.thresholds.steps) };
      const piece = make("i", { title: `${word.text}, from ${stamp(frame.start + run.from * frame.step)}` });
      piece.style.left = share(run.from, one.values.length);
      piece.style.width = share(run.until - run.from, one.values.length);
      piece.style.background = colour(word.color);
      track.append(piece);
    }
    const now = mapped(last(one.values), defaults);
    return make("li", {}, make("span", { textContent: one.name }), track, make("b", { textContent: now?.text ?? number(last(one.values) ?? 0) }));
  });
  const span = frame.end - frame.start;
  const places = [0, 1, 2, 3].map((each) => frame.start + (each * span) / 3);
  const axis = make("li", { className: "axis", ariaHidden: "true" }, make("span"), make("div", {}, ...ticks(places, span / 3).map((text) => make("small", { textContent: text }))), make("b"));
  box.replaceChildren(make("ul", { className: "states" }, ...rows, axis));
}

export function table(box, panel, rows, headings) {
  const organised = panel.transformations?.find((each) => each.id === "organize")?.options ?? {};
  const order = organised.indexByName ?? {};
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))]
    .filter((name) => !organised.excludeByName?.[name])
    .sort((one, other) => (order[one] ?? 99) - (order[other] ?? 99));
  const links = Object.fromEntries((panel.fieldConfig.overrides ?? []).flatMap(({ matcher, properties }) =>
    properties.filter((each) => each.id === "links").map((each) => [matcher.options, each.value[0].url])));
  const cell = (name, text) => {
    if (!links[name] || text === undefined) return make("td", { textContent: text ?? "" });
    return make("td", {}, make("a", { href: links[name].replace("${__value.text}", encodeURIComponent(text)), textContent: text }));
  };
  const head = make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col", textContent: headings?.[name] ?? name }))));
  const body = make("tbody", {}, ...rows.map((row) => make("tr", {}, ...names.map((name) => cell(name, row[name])))));
  box.replaceChildren(make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: panel.title }, make("table", {}, head, body)));
}
