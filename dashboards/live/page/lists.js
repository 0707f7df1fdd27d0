// Alerts, and the scaler's decisions.

import { $, code, make } from "./make.js";
import { moment, runs } from "./marks.js";
import { ask } from "./query.js";
import { ago, stamp } from "./time.js";

const AGAIN = 15_000;
const ORDER = { firing: 0, pending: 1, inactive: 2 };
const WHO = { page: "wakes somebody", ticket: "office hours", none: "nobody is told" };

export function repeat(page) {
  const round = async () => {
    if (!document.hidden) {
      try {
        await page();
        $("trouble").hidden = true;
      } catch (error) {
        $("trouble").hidden = false;
        $("trouble").textContent = error.message;
      }
    }
    setTimeout(round, AGAIN);
  };
  return round();
}

// What an alert links to: a page of this server by its path, another by its address, nothing else.
function local(address) {
  try {
    const url = new URL(address, location.href);
    if (!/^https?:$/.test(url.protocol)) return "";
    return /^\/(d\/|runbook$)/.test(url.pathname) ? url.pathname + url.search + url.hash : address;
  } catch {
    return "";
  }
}

const book = (annotations) => (annotations?.runbook_url ? local(annotations.runbook_url) : "");
const named = (text, address) => (address ? make("a", { href: address, textContent: text }) : text);

// ---------------------------------------------------------------------------- alerts

export async function alerts() {
  const { groups } = await ask("rules", { type: "alert" });
  const rules = groups.flatMap((group) => group.rules).sort((one, other) => ORDER[one.state] - ORDER[other.state] || one.name.localeCompare(other.name));
  const active = rules.flatMap((rule) => (rule.alerts ?? []).map((alert) => ({ ...alert, rule }))).sort((one, other) => ORDER[one.state] - ORDER[other.state]);
  const shown = active.filter((one) => one.labels.severity !== "none");
  $("about").textContent = rules.length ? `${count(shown, "firing")} firing, ${count(shown, "pending")} pending; ${rules.length} rules are watching.` : "No alerting rules are loaded.";
  const failing = rules.filter((rule) => rule.health === "err");
  $("grid").replaceChildren(
    ...(shown.length ? [make("ul", { className: "cards" }, ...shown.map(card))] : [calm(rules)]),
    ...failing.map((rule) => make("p", { className: "warned", textContent: `${rule.name} cannot be evaluated: ${rule.lastError}` })),
    quiet(rules),
  );
}

const count = (found, state) => found.filter((one) => one.state === state).length;

function calm(rules) {
  const text = rules.length ? "Nothing fires." : "`lightmeter rules generate` writes rules that Prometheus and `lightmeter up` evaluate.";
  return make("p", { className: "calm" }, ...code(text));
}

function card(alert) {
  const { labels, annotations, state, rule } = alert;
  const panel = annotations.dashboard_url ? local(annotations.dashboard_url) : "";
  const links = book(annotations) ? [make("a", { href: book(annotations), textContent: "Runbook: what to do" })] : [];
  if (panel) links.push(make("a", { href: panel, textContent: "Panel: what it sees" }));
  const kept = Object.entries(labels).filter(([name]) => !["alertname", "severity"].includes(name));
  return make("li", { className: `card ${state}` },
    make("h2", {}, named(labels.alertname, book(annotations))),
    make("p", { className: "pills" }, pill(state, state), pill("", WHO[labels.severity] ?? labels.severity ?? ""), make("span", { className: "quiet", textContent: `since ${stamp(Date.parse(alert.activeAt) / 1000)}, ${ago(Date.parse(alert.activeAt) / 1000)}` })),
    make("p", { textContent: annotations.summary ?? rule.query }),
    ...(annotations.action ? [make("p", {}, make("b", { textContent: "First: " }), ...code(annotations.action))] : []),
    make("p", { className: "links" }, ...links),
    make("p", { className: "quiet", textContent: kept.map(([name, value]) => `${name}=${value}`).join("  ") }));
}

const pill = (kind, text) => make("span", { className: `pill ${kind}`, textContent: text });

function quiet(rules) {
  const silent = rules.filter((rule) => rule.state !== "firing");
  const rows = silent.map((rule) => make("tr", {}, make("th", { scope: "row" }, named(rule.name, book(rule.annotations))), make("td", { textContent: WHO[rule.labels.severity] ?? rule.labels.severity ?? "" }), make("td", { textContent: rule.state })));
  const open = document.querySelector("details.all")?.open ?? false;
  const head = make("tr", {}, ...["alert", "whom it tells", "now"].map((text) => make("th", { scope: "col", textContent: text })));
  return make("details", { className: "all", open }, make("summary", { textContent: `What is watched: ${rules.length} rules` }), make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

// ---------------------------------------------------------------------------- decisions

const COLUMNS = ["at", "target", "replicas", "what", "by", "why", "done", "id", "how often"];

// Where there is no room for a table each row stands alone, and its cells bear the names of their columns.
const cellOf = (name, cell) => make("td", { className: name === "why" ? "why" : "", "data-name": name }, cell);

export async function decisions() {
  const answer = await fetch("/live/decisions");
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error);
  const all = runs(said.decisions).reverse();
  const only = document.querySelector("#changes")?.checked ?? false;
  const shown = only ? all.filter(({ one }) => one.action !== "hold") : all;
  $("about").textContent = all.length ? `The last ${said.decisions.length} decisions, the newest first; the same again and again is one. lightmeter explain ID says more.` : "The scaler has decided nothing yet.";
  const box = make("input", { type: "checkbox", id: "changes", checked: only, onchange: decisions });
  const head = COLUMNS.map((text) => make("th", { scope: "col", textContent: text }));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...shown.map(row)));
  $("grid").replaceChildren(make("p", {}, make("label", {}, box, " only what changed something")), make("div", { className: "scroll card rows", tabIndex: 0, role: "region", ariaLabel: "Decisions" }, table));
}

function row({ one, since, times }) {
  const result = one.mode === "act" ? one.result : `${one.mode}: only told`;
  const cells = [
    make("time", { textContent: stamp(moment(one.at)) }), one.target, one.from === one.to ? String(one.to) : `${one.from} → ${one.to}`,
    pill(one.action, one.action), one.chosen_term, one.reason, typeof result === "string" ? result : JSON.stringify(result ?? ""),
    make("code", { textContent: one.id }), times > 1 ? `${times} times since ${stamp(since)}` : "once",
  ];
  return make("tr", { className: one.action }, ...cells.map((cell, place) => cellOf(COLUMNS[place], cell)));
}
