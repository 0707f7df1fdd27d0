// One panel: its frame, its questions, what is drawn of the answers, and words where there is nothing.

import { chart, drawing, size, steer } from "./chart.js";
import { bands, heat } from "./heat.js";
import { code, line, make, say } from "./make.js";
import { bars, shares, stat, states, table } from "./plain.js";
import { fill, frame, instant, legend, metrics, ranged, ask, parse } from "./query.js";
import { show } from "./units.js";

const INSTANT = ["bargauge", "table", "gauge"];
const PIXELS = 3;
const MOST_SERIES = 60;

export class Panel {
  constructor(given, board) {
    this.given = given;
    this.board = board;
    this.stale = true;
    this.hidden = new Set();
    this.exemplars = [];
    this.series = null;
    this.element = this.#frame();
    this.body = this.element.querySelector(".body");
    new ResizeObserver(() => this.#resize()).observe(this.body);
  }

  #frame() {
    const { id, title, gridPos, type, description } = this.given;
    const name = `panel-${this.given.from ?? this.board.state.board.uid}-${id}`;
    const link = make("a", { href: this.board.panelAddress(this.given), textContent: title });
    link.onclick = (event) => this.board.open(event, this.given);
    const about = make("div", { id: `${name}-about`, className: "about", popover: "auto" }, ...explained(description));
    const button = (text, label, action) => Object.assign(make("button", { type: "button", textContent: text, ariaLabel: `${label}: ${title}`, title: label }), { onclick: action });
    const info = button("i", "What this shows", () => this.explain());
    this.turn = button("▦", "As a table", () => this.flip());
    this.turn.hidden = ["table", "stat", "bargauge"].includes(type);
    this.turn.ariaPressed = "false";
    const body = make("div", { className: `body ${type}` });
    const section = make("section", { id: name, className: `panel ${type}`, tabIndex: -1 }, make("header", {}, make("h3", { id: `${name}-title` }, link), this.turn, info), body, make("ul", { className: "legend" }), about);
    section.setAttribute("aria-labelledby", `${name}-title`);
    section.style.setProperty("--w", gridPos.w);
    section.style.setProperty("--h", gridPos.h);
    section.dataset.size = gridPos.w <= 6 ? "small" : gridPos.w <= 8 ? "middle" : "large";
    return section;
  }

  explain() {
    const about = this.element.querySelector(".about");
    about.togglePopover();
    const box = this.element.getBoundingClientRect();
    about.style.left = `${Math.max(8, Math.min(box.left, innerWidth - about.offsetWidth - 8))}px`;
    about.style.top = `${Math.max(8, Math.min(box.top + 36, innerHeight - about.offsetHeight - 8))}px`;
  }

  flip() {
    this.flat = !this.flat;
    this.turn.ariaPressed = String(this.flat);
    this.#draw();
  }

  // A step of the cursor by keys.
  step(by) {
    if (this.drawn) say(steer(this.drawn, by));
  }

  get #instant() {
    return INSTANT.includes(this.given.type);
  }

  async load(words, span, signal) {
    this.stale = false;
    this.element.classList.add("loading");
    const times = frame(span, this.body.clientWidth / PIXELS, this.board.about.scrape_seconds);
    const all = { ...words, ...times.words };
    try {
      const answers = await Promise.all(this.given.targets.map((target) => this.#asked(target, all, times, signal)));
      this.series = answers.flat().slice(0, MOST_SERIES);
      this.more = answers.flat().length - this.series.length;
      this.frame = times;
      this.trouble = null;
      this.exemplars = await this.#traced(all, span, signal);
      if (this.#empty) this.why = await this.board.why(this.given, metrics(this.given), all);
    } catch (error) {
      if (error.name === "AbortError") { this.stale = true; return; }
      this.trouble = error;
      this.series = null;
    }
    this.element.classList.remove("loading");
    this.#draw();
  }

  get #empty() {
    return !this.series?.length || this.#rows?.length === 0;
  }

  get #rows() {
    return this.given.type === "heatmap" ? bands(this.series ?? []) : null;
  }

  async #asked(target, words, times, signal) {
    const expr = fill(target.expr, words);
    const found = this.#instant ? await instant(expr, this.board.end, signal) : await ranged(expr, times, signal);
    return found
      .map((one) => ({ ...one, name: fill(legend(target.legendFormat, one.metric, this.given.title), words) }))
      .filter((one) => this.#instant || one.values.some((value) => value !== null))
      .sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  }

  async #traced(words, span, signal) {
    const wanted = this.given.targets.filter((target) => target.exemplar);
    if (!wanted.length || !this.series.length) return [];
    try {
      const found = await ask("query_exemplars", { query: fill(wanted[0].expr, words), start: span.start, end: span.end }, signal);
      return found.flatMap(({ exemplars }) => exemplars.map(({ labels, value, timestamp }) => ({ at: Number(timestamp), value: parse(value), trace: labels.trace_id ?? "" })))
        .filter((each) => each.trace);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      return []; // a Prometheus without exemplars still has the lines
    }
  }

  redraw() {
    if (this.series && !this.stale) this.#draw();
  }

  #draw() {
    this.drawn?.destroy();
    this.drawn = null;
    this.element.classList.toggle("empty", !this.trouble && this.#empty);
    const lines = this.given.type === "timeseries" && this.series?.length && !this.flat;
    if (!lines) this.element.querySelector(".legend").replaceChildren();
    this.body.removeAttribute("role");
    this.body.removeAttribute("aria-label");
    if (this.trouble) return this.#words("trouble", "Cannot be shown", this.trouble.message);
    if (this.#empty) return this.#words("nothing", this.given.fieldConfig.defaults.noValue ?? "No data", this.why ?? "");
    this.body.replaceChildren();
    if (this.flat) return this.#table();
    this.#kinds[this.given.type]?.() ?? (this.#kinds[this.given.type] || this.#words("nothing", "Not drawn here", `Panels of type ${this.given.type} are drawn by Grafana only.`));
  }

  #words(kind, title, text) {
    this.body.replaceChildren(make("div", { className: kind }, make("strong", { textContent: title }), ...(text ? [make("span", {}, ...code(text))] : [])));
  }

  get #kinds() {
    return {
      timeseries: () => this.#lines(),
      heatmap: () => { this.drawn = heat(this.body, this.given, this.#rows, this.frame, this.#beside); this.#described("picture", `${this.#rows.length} buckets`); },
      stat: () => stat(this.body, this.given, this.series),
      bargauge: () => bars(this.body, this.given, this.series),
      "state-timeline": () => states(this.body, this.given, this.series, this.frame),
      table: () => table(this.body, this.given, this.series.map((one) => one.metric)),
    };
  }

  #lines() {
    this.#legend();
    this.drawn = chart(this.body, this.given, this.series, this.frame, this.#beside);
    const { unit } = drawing(this.given);
    this.#described("chart", this.series.slice(0, 8).map((one) => `${one.name} ${show(one.values.findLast((value) => value !== null), unit)}`).join(", "));
  }

  #described(kind, text) {
    this.body.setAttribute("role", "img");
    this.body.setAttribute("aria-label", `${this.given.title}, ${kind}: ${text}`);
  }

  get #beside() {
    return {
      hidden: this.hidden,
      marks: () => this.board.marks,
      dots: () => this.exemplars,
      trace: ({ trace }) => this.board.about.trace_url.replace("{trace_id}", encodeURIComponent(trace)),
      zoom: (start, end) => this.board.zoom(start, end),
      zoomed: (u) => { if (u.select.width >= 8) this.board.zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")); },
    };
  }

  #legend() {
    const { unit, decimals } = drawing(this.given);
    const only = (name) => { // a click shows one alone, or all again; with Ctrl it hides one
      const others = this.series.map((one) => one.name).filter((each) => each !== name);
      const alone = others.length === this.hidden.size && !this.hidden.has(name);
      this.hidden = new Set(alone ? [] : others);
    };
    const toggle = (name) => this.hidden.delete(name) || this.hidden.add(name);
    const latest = (one) => one.values.findLast((each) => each !== null);
    const list = this.element.querySelector(".legend");
    const names = JSON.stringify([this.series.map((one) => one.name), [...this.hidden], this.more]);
    const values = this.series.map((one) => show(latest(one), unit, decimals));
    if (list.dataset.names === names && list.childElementCount) { // keep the buttons: one may have the focus
      list.querySelectorAll("button").forEach((button) => { button.lastChild.textContent = values[button.dataset.place]; });
      return;
    }
    list.dataset.names = names;
    const order = this.series.map((one, place) => ({ one, place })).sort((here, there) => !latest(here.one) - !latest(there.one));
    list.replaceChildren(...order.map(({ one, place }) => {
      const swatch = make("i", { className: "swatch" });
      swatch.style.background = line(place);
      const button = make("button", { type: "button", title: "Show it alone; with Ctrl: hide it" }, swatch, make("span", { textContent: one.name }), make("b", { textContent: values[place] }));
      button.dataset.place = place;
      button.ariaPressed = String(!this.hidden.has(one.name));
      button.onclick = (event) => {
        (event.ctrlKey || event.metaKey ? toggle : only)(one.name);
        this.#draw();
        list.querySelector(`[data-place="${place}"]`)?.focus();
      };
      return make("li", {}, button);
    }), ...(this.more ? [make("li", { className: "quiet", textContent: `and ${this.more} more; choose fewer above` })] : []));
  }

  #table() {
    const rows = { heatmap: () => this.#counted(), "state-timeline": () => shares(this.series, this.given.fieldConfig.defaults) }[this.given.type]?.() ?? this.#summed();
    table(this.body, { title: this.given.title, fieldConfig: {} }, rows);
    say(`${this.given.title} as a table`);
  }

  #summed() {
    const { unit, decimals } = drawing(this.given);
    return this.series.map((one) => {
      const known = one.values.filter((value) => value !== null);
      const numbers = { last: known.at(-1), least: Math.min(...known), mean: known.reduce((sum, each) => sum + each, 0) / known.length, most: Math.max(...known) };
      return { series: one.name, ...Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, show(value, unit, decimals)])) };
    });
  }

  // How much fell into each bucket, from the widest on; a step counts as far as steps do not overlap.
  #counted() {
    const unit = this.given.options.yAxis?.unit;
    const sums = this.#rows.map((row) => row.counts.reduce((sum, count) => sum + (count ?? 0), 0));
    const all = sums.reduce((sum, each) => sum + each, 0) || 1;
    return this.#rows.map((row, place) => ({ bucket: `${show(row.from, unit)} to ${show(row.to, unit)}`, share: show(sums[place] / all, "percentunit", 1), "at the end": show(row.counts.findLast((count) => count !== null), "short") })).reverse();
  }

  #resize() {
    if (!this.drawn) return;
    const { width, height } = size(this.body);
    if (width !== this.drawn.width || height !== this.drawn.height) this.drawn.setSize({ width, height });
  }
}

function explained(description = "") {
  return description.split("\n\n").map((part) => {
    const found = /^(Normal|If not|Metric): (.*)$/s.exec(part);
    if (!found) return make("p", { textContent: part });
    const words = found[2].split("`").map((text, place) => (place % 2 ? make("code", { textContent: text }) : text));
    return make("p", {}, make("b", { textContent: `${found[1]}: ` }), ...words);
  });
}
