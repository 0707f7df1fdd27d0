// What single keys do. They can be switched off, for those whose tools type letters.

import { $, make } from "./make.js";

const SAID = [
  ["?", "this list"], ["h, 1 … 5", "first page, boards"], ["a, d", "alerts, decisions"], ["j, k", "next panel, the one before"], ["v", "that panel alone, or all again"], ["← →", "its values, step by step"],
  ["i", "what it shows"], ["e", "as a table"], ["r", "ask again"], [", .", "earlier, later"], ["-", "a wider span"], ["t", "choose the time"], ["c", "dark or light"], ["Esc", "all panels"],
];

export function keys(about, find) {
  $("keys").replaceChildren(...SAID.flatMap(([key, text]) => [make("dt", {}, make("kbd", { textContent: key })), make("dd", { textContent: text })]));
  $("help-open").onclick = () => $("help").showModal();
  $("theme").onclick = theme;
  $("keys-on").checked = stored("keys") !== "off";
  $("keys-on").onchange = () => store("keys", $("keys-on").checked ? "on" : "off");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
    if (event.key !== "Escape" && !$("keys-on").checked) return;
    const action = actions(about, find())[event.key];
    if (action) { event.preventDefault(); action(); }
  });
}

function actions(about, board) {
  const go = (address) => { location.href = address; };
  const here = () => document.activeElement?.closest?.(".panel")?.panel;
  const boards = Object.fromEntries(about.boards.map(({ uid }, place) => [String(place + 1), () => go(board ? board.state.link(uid) : `/d/${uid}`)]));
  const always = { "?": () => $("help").showModal(), h: () => go("/"), a: () => go("/alerts"), d: () => go("/decisions"), c: theme, ...boards };
  if (!board) return always;
  const move = (by) => {
    const place = board.panels.findIndex((one) => one.element === document.activeElement?.closest?.(".panel"));
    const next = board.panels[Math.max(0, Math.min(board.panels.length - 1, place + by))];
    next?.element.focus();
    next?.element.scrollIntoView({ block: "nearest" });
  };
  return {
    ...always,
    j: () => move(1),
    k: () => move(-1),
    v: () => (board.state.panel ? board.alone(null) : here() && !here().given.from && board.alone(here().given.id)),
    i: () => here()?.explain(),
    e: () => here()?.flip(),
    ...(here() ? { ArrowLeft: () => here().step(-1), ArrowRight: () => here().step(1) } : {}),
    r: () => board.refresh(),
    ",": () => board.shift(-0.5),
    ".": () => board.shift(0.5),
    "-": () => board.widen(),
    t: () => $("range").focus(),
    Escape: () => board.state.panel && board.alone(null),
  };
}

function stored(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

function store(name, value) {
  try { localStorage.setItem(name, value); } catch { /* then it lasts as long as the page */ }
}

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  store("theme", root.dataset.theme);
  document.dispatchEvent(new Event("theme"));
}
