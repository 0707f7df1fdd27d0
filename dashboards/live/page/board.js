// A board: its panels in a grid, asked for while they can be seen, and again at its pace.

import { $, code, make, say } from "./make.js";
import { decided, found } from "./marks.js";
import { Panel } from "./panel.js";
import { ask, fill, inside, instant, metrics } from "./query.js";
import { isLive, moment, seconds } from "./time.js";

const AHEAD = "400px";

export class Board {
  constructor(state, about, controls) {
    this.state = state;
    this.about = about;
    this.controls = controls;
    this.panels = [];
    this.marks = [];
    this.unmarked = new Set();
    this.seen = new IntersectionObserver((entries) => this.#see(entries), { rootMargin: AHEAD });
    document.addEventListener("visibilitychange", () => { if (!document.hidden && this.state.pace !== "off") this.refresh(); });
  }

  async show() {
    this.#lay();
    await this.#choices();
    this.controls.show(this);
    this.refresh();
  }

  // ---------------------------------------------------------------- layout

  #lay() {
    const { board, panel } = this.state;
    const wanted = board.panels.filter((one) => !panel || (one.type !== "row" && one.id === panel));
    const shown = wanted.length ? wanted : board.panels;
    this.seen.disconnect();
    this.panels.forEach((one) => one.drawn?.destroy());
    this.panels = shown.filter((one) => one.type !== "row").map((one) => new Panel(one, this));
    const elements = new Map(this.panels.map((one) => [one.given, one.element]));
    $("grid").classList.toggle("alone", shown.length === 1);
    $("grid").replaceChildren(...shown.map((one) => elements.get(one) ?? heading(one)));
    for (const one of this.panels) {
      one.element.panel = one;
      this.seen.observe(one.element);
    }
    if (panel && !wanted.length) say(`There is no panel ${panel} on this board; here is all of it`);
  }

  panelAddress(given) {
    const uid = given.from ?? this.state.board.uid;
    return this.state.address({ uid, panel: this.state.panel && !given.from ? 0 : given.id });
  }

  open(event, given) {
    if (given.from || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.alone(this.state.panel ? null : given.id);
  }

  alone(id) {
    const before = this.state.panel;
    this.state.panel = id;
    this.state.write();
    this.#lay();
    this.controls.update(this);
    this.refresh();
    const [one] = id ? this.panels : this.panels.filter((each) => each.given.id === before);
    one?.element.focus();
    one?.element.scrollIntoView({ block: "nearest" });
  }

  // ---------------------------------------------------------------- data

  get span() {
    const [start, end] = [moment(this.state.span.from), this.end];
    return start < end ? { start, end } : { start: end - 3600, end };
  }

  get end() {
    return moment(this.state.span.to) || Date.now() / 1000;
  }

  get words() {
    return Object.fromEntries(this.state.variables.map((one) => [one.name, inside(one, this.state.chosen[one.name])]));
  }

  // What may be chosen for each variable; a choice that is no longer there stays, and says nothing.
  async #choices() {
    for (const one of this.state.variables.filter((each) => each.type === "query")) {
      const [, selector, label] = /^label_values\((.*),\s*(\w+)\)$/s.exec(one.definition ?? one.query.query ?? "") ?? [];
      if (!label) continue;
      const { start, end } = this.span;
      try {
        one.values = await ask(`label/${label}/values`, { "match[]": fill(selector, this.words), start, end });
      } catch {
        one.values = []; // the panels say what is wrong
      }
    }
  }

  async refresh() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.asking = new AbortController();
    this.unknown = null;
    this.now = { span: this.span, words: this.words, signal: this.asking.signal };
    this.panels.forEach((one) => { one.stale = true; });
    const visible = this.panels.filter((one) => one.visible);
    const marks = this.#marks();
    await Promise.all(visible.map((one) => one.load(this.now.words, this.now.span, this.now.signal)));
    await marks;
    this.controls.asked(this);
    await this.#troubled();
    const pace = seconds(this.state.pace);
    if (pace && isLive(this.state.span)) this.timer = setTimeout(() => this.#again(), pace * 1000);
  }

  #again() {
    if (document.hidden) return;
    this.refresh();
    this.rounds = (this.rounds ?? 0) + 1;
    if (this.rounds % 4 === 0) this.#choices().then(() => this.controls.update(this));
  }

  #see(entries) {
    for (const { target, isIntersecting } of entries) {
      target.panel.visible = isIntersecting;
      if (isIntersecting && target.panel.stale && this.now) target.panel.load(this.now.words, this.now.span, this.now.signal);
    }
  }

  async #marks() {
    const { words, span, signal } = this.now;
    const list = this.state.board.annotations.list.filter((one) => one.enable && one.expr && !this.unmarked.has(one.name));
    const asked = await Promise.allSettled(list.map((one) => found(one, words, span, signal)));
    if (signal.aborted) return;
    const events = asked.flatMap((each) => each.value ?? []);
    const told = this.about.decisions && !this.unmarked.has("Scaling") ? await this.#decisions(span) : [];
    this.marks = [...events.filter((one) => !told.length || one.kind !== "Scaling"), ...told].sort((one, other) => one.at - other.at);
    this.panels.forEach((one) => one.drawn?.redraw(false, false));
  }

  async #decisions(span) {
    try {
      return decided((await (await fetch("/live/decisions")).json()).decisions ?? [], span);
    } catch {
      return [];
    }
  }

  // ---------------------------------------------------------------- words where there is nothing

  // Why a panel has nothing: nobody sends its metrics, the choice leaves none over, or there was no event.
  async why(given, names, words) {
    if (!names.length) return "";
    this.unknown ??= instant(`count by (__name__) ({__name__=~"${[...new Set(this.state.board.panels.flatMap(metrics))].join("|")}"})`, this.end);
    let known;
    try {
      known = new Set((await this.unknown).map((one) => one.metric.__name__));
    } catch {
      return "";
    }
    const missing = names.filter((name) => !known.has(name));
    if (missing.length === names.length) return `Nothing sends ${missing[0]} here. ${advice(given)}`;
    if (this.#narrowed) return "The series are there, but none for what is chosen above.";
    return missing.length ? `${missing[0]} is not sent; the rest is there.` : "The series are there; nothing happened in this time.";
  }

  get #narrowed() {
    return this.state.variables.some((one) => one.type === "query" && !this.state.chosen[one.name].includes("$__all"));
  }

  async #troubled() {
    const troubled = this.panels.filter((one) => one.trouble);
    const all = troubled.length && troubled.length === this.panels.filter((one) => one.visible).length;
    let text = all ? troubled[0].trouble.message : "";
    if (!text && this.panels.some((one) => one.element.classList.contains("empty"))) text = await this.#silent();
    $("trouble").hidden = !text;
    $("trouble").replaceChildren(...code(text));
  }

  async #silent() {
    try {
      const up = await instant("count(up)", this.end);
      return up.length ? "" : "Nothing is scraped yet, so there is nothing to see. `lightmeter up` starts a server, an exporter and the metrics; a Prometheus of yours needs them as targets, and `lightmeter up --prometheus URL` says what to add to it.";
    } catch {
      return "";
    }
  }

  // ---------------------------------------------------------------- time and choices

  zoom(start, end) {
    this.state.span = { from: String(Math.round(start * 1000)), to: String(Math.round(end * 1000)) };
    this.changed();
  }

  shift(share) {
    const { start, end } = this.span;
    const by = (end - start) * share;
    this.zoom(start + by, end + by);
  }

  widen() {
    const { start, end } = this.span;
    const more = (end - start) / 2;
    this.zoom(start - more, Math.min(end + more, Date.now() / 1000));
  }

  async changed({ choices = false } = {}) {
    this.state.write();
    if (choices) await this.#choices();
    this.controls.update(this);
    this.panels.forEach((one) => { one.element.querySelector("h3 a").href = this.panelAddress(one.given); });
    this.refresh();
  }
}

const advice = (given) => (given.from === "lightmeter-fleet" || /GPU/.test(given.title + given.fieldConfig?.defaults?.noValue) ? "The exporter (`lightmeter export`) does where there is an NVIDIA GPU; `lightmeter export --demo` shows what it looks like." : "");

function heading(row) {
  const text = row.description ? [make("p", { className: "quiet", textContent: row.description })] : [];
  return make("div", { className: "row" }, make("h2", { textContent: row.title }), ...text);
}
