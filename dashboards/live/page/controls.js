// Time, pace, choices, marks: native controls over a board's state.

import { $, make, say } from "./make.js";
import { PACES, RANGES, moment, stamp, words } from "./time.js";

export class Controls {
  show(board) {
    this.board = board;
    const button = (text, label, action) => Object.assign(make("button", { type: "button", textContent: text, title: label, ariaLabel: label }), { onclick: action });
    this.range = make("select", { id: "range", ariaLabel: "Time range", onchange: () => this.#ranged() });
    this.pace = make("select", { id: "pace", ariaLabel: "Ask again every", onchange: () => this.#paced() }, ...PACES.map((each) => make("option", { value: each, textContent: each === "off" ? "by hand" : `every ${each}` })));
    this.back = button("‹", "Earlier (,)", () => board.shift(-0.5));
    this.out = button("−", "A wider span (-)", () => board.widen());
    this.forth = button("›", "Later (.)", () => board.shift(0.5));
    this.again = button("↻", "Ask again (r)", () => board.refresh());
    this.stop = button("⤢ All panels", "Back to all panels (Esc)", () => board.alone(null));
    $("controls").replaceChildren(this.stop, this.back, this.range, this.forth, this.out, this.pace, this.again);
    $("span-form").onsubmit = (event) => this.#spanned(event);
    $("span-close").onclick = () => { $("span").close(); this.update(board); };
    this.update(board);
  }

  update(board) {
    const { span, pace, panel } = board.state;
    const quick = RANGES.map((each) => make("option", { value: each, textContent: `last ${each}` }));
    const known = span.to === "now" && RANGES.includes(span.from.slice(4));
    const own = known ? [] : [make("option", { value: "own", textContent: words(span) })];
    this.range.replaceChildren(...own, ...quick, make("option", { value: "other", textContent: "other …" }));
    this.range.value = known ? span.from.slice(4) : "own";
    if (!PACES.includes(pace)) this.pace.append(make("option", { value: pace, textContent: `every ${pace}` }));
    this.pace.value = pace;
    this.stop.hidden = !panel;
    this.#choices(board);
    document.querySelectorAll("#boards a").forEach((link) => { link.href = board.state.link(link.dataset.uid); });
  }

  asked(board) {
    this.again.title = `Ask again (r); asked at ${stamp(Date.now() / 1000).slice(11)}`;
    const marks = document.querySelector("#marks-list");
    if (marks) marks.replaceChildren(...listed(board.marks));
  }

  #ranged() {
    const { value } = this.range;
    if (value === "own") return;
    if (value === "other") return this.#asking();
    this.board.state.span = { from: `now-${value}`, to: "now" };
    this.board.changed({ choices: true });
  }

  #asking() {
    const { from, to } = this.board.state.span;
    const typed = (text) => (/^\d+$/.test(text) ? stamp(moment(text)) : text);
    $("span-from").value = typed(from);
    $("span-to").value = typed(to);
    $("span-error").textContent = "";
    $("span").showModal();
  }

  #spanned(event) {
    event.preventDefault();
    const [from, to] = [$("span-from").value.trim(), $("span-to").value.trim() || "now"];
    const [start, end] = [moment(from), moment(to)];
    if (!(start < end)) {
      $("span-error").textContent = Number.isNaN(start) ? `'${from}' is no time` : Number.isNaN(end) ? `'${to}' is no time` : "the end must come after the beginning";
      return;
    }
    const kept = (text, at) => (text.startsWith("now") ? text : String(Math.round(at * 1000)));
    this.board.state.span = { from: kept(from, start), to: kept(to, end) };
    $("span").close();
    this.board.changed({ choices: true });
  }

  #paced() {
    this.board.state.pace = this.pace.value;
    this.board.changed();
  }

  #choices(board) {
    const open = document.activeElement?.closest?.("details.menu")?.dataset.name;
    const menus = board.state.variables.filter((one) => !one.hide).map((one) => (one.type === "query" ? this.#several(board, one) : this.#single(board, one)));
    $("choices").replaceChildren(...menus, this.#marked(board));
    $("choices").hidden = false;
    if (open) {
      const again = document.querySelector(`details.menu[data-name="${open}"]`);
      if (again) { again.open = true; again.querySelector("input")?.focus(); }
    }
  }

  #several(board, one) {
    const chosen = board.state.chosen[one.name];
    const every = chosen.includes("$__all");
    const values = [...new Set([...(one.values ?? []), ...chosen.filter((each) => each !== "$__all")])];
    const pick = (value, on) => {
      let next = value === "$__all" ? ["$__all"] : [...chosen.filter((each) => each !== "$__all" && each !== value), ...(on ? [value] : [])];
      if (!next.length) next = ["$__all"];
      board.state.chosen[one.name] = next;
      say(`${one.label}: ${next.includes("$__all") ? "all" : next.join(", ")}`);
      board.changed({ choices: true });
    };
    const box = (value, text, on) => make("label", {}, make("input", { type: "checkbox", checked: on, onchange: (event) => pick(value, event.target.checked) }), text);
    return menu(one.name, `${one.label}: ${every ? "all" : chosen.join(", ")}`, box("$__all", "all", every), ...values.map((each) => box(each, each, chosen.includes(each))));
  }

  #single(board, one) {
    const change = (event) => { board.state.chosen[one.name] = [event.target.value]; board.changed(); };
    const value = board.state.chosen[one.name][0] ?? "";
    if (one.type === "textbox") return make("label", { className: "field" }, `${one.label} `, make("input", { value, onchange: change, inputMode: "decimal", size: 6 }));
    const select = make("select", { onchange: change }, ...(one.options ?? []).map((each) => make("option", { value: each.value, textContent: each.text })));
    select.value = value;
    return make("label", { className: "field" }, `${one.label} `, select);
  }

  #marked(board) {
    const kinds = board.state.board.annotations.list.filter((each) => each.expr);
    const toggle = (name, on) => {
      if (on) board.unmarked.delete(name);
      else board.unmarked.add(name);
      board.refresh();
    };
    const boxes = kinds.map(({ name }) => make("label", {}, make("input", { type: "checkbox", checked: !board.unmarked.has(name), onchange: (event) => toggle(name, event.target.checked) }), name));
    return menu("marks", "Marks", ...boxes, make("ol", { id: "marks-list" }, ...listed(board.marks)));
  }
}

function menu(name, text, ...inside) {
  const details = make("details", { className: "menu" }, make("summary", { textContent: text }), make("div", { className: "sheet" }, ...inside));
  details.dataset.name = name;
  details.onkeydown = (event) => { if (event.key === "Escape") { details.open = false; details.querySelector("summary").focus(); event.stopPropagation(); } };
  return details;
}

function listed(marks) {
  if (!marks.length) return [make("li", { className: "quiet", textContent: "None in this time" })];
  return marks.slice(-50).reverse().map((each) => make("li", {}, make("b", { textContent: each.title }), ` ${each.text} `, make("small", { className: "quiet", textContent: stamp(each.at) })));
}

document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.menu[open]")) if (!open.contains(event.target) && event.target.isConnected) open.open = false;
});
