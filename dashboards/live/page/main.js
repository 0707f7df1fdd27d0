// Which page this is, and what all pages have.

import { Board } from "./board.js";
import { Controls } from "./controls.js";
import { keys } from "./keys.js";
import { $, make } from "./make.js";
import { alerts, decisions, repeat } from "./lists.js";
import { ask } from "./query.js";
import { State } from "./state.js";

const COUNT_MS = 30_000;
let board = null;

async function json(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(answer.status === 404 ? "There is no such board; here are those that there are." : `${address}: status ${answer.status}`);
  return answer.json();
}

function navigate(about, uid) {
  const here = location.pathname;
  const link = (href, textContent, current) => make("a", { href, textContent, ...(current ? { ariaCurrent: "page" } : {}) });
  $("boards").replaceChildren(...about.boards.map((one) => Object.assign(link(`/d/${one.uid}`, one.title, one.uid === uid), { title: one.about })));
  $("boards").childNodes.forEach((one, place) => { one.dataset.uid = about.boards[place].uid; });
  const more = [["/alerts", "Alerts"], ...(about.decisions ? [["/decisions", "Decisions"]] : []), ["/runbook", "Runbook"], ...(about.report ? [["/report/", "Cost report"]] : []), ...Object.entries(about.places).map(([name, address]) => [address, name])];
  $("places").replaceChildren(...more.map(([address, name]) => link(address, name, here === address)));
}

function entitle(title, about) {
  document.title = `${title} · lightmeter`;
  $("title").textContent = title;
  $("about").textContent = about;
}

async function begin() {
  const about = await json("/live/about.json");
  const uid = location.pathname === "/" ? "home" : /^\/d\/([\w-]+)/.exec(location.pathname)?.[1];
  navigate(about, uid);
  keys(about, () => board);
  count();
  if (location.pathname === "/alerts") { entitle("Alerts", ""); return repeat(alerts); }
  if (location.pathname === "/decisions") { entitle("Scaling decisions", ""); return repeat(decisions); }
  await open(uid, about);
}

// How many alerts fire stands beside their link, on every page.
async function count() {
  try {
    const { alerts: found } = await ask("alerts");
    const firing = found.filter((one) => one.state === "firing" && one.labels.severity !== "none").length;
    const link = document.querySelector('#places a[href="/alerts"]');
    link.replaceChildren("Alerts", ...(firing ? [" ", make("b", { className: "badge", textContent: firing, ariaLabel: `${firing} firing` })] : []));
  } catch { /* the page itself says what is wrong */ }
  setTimeout(count, COUNT_MS);
}

async function open(uid, about) {
  const given = await json(`/live/boards/${uid}.json`);
  entitle(given.title.split(" / ").pop(), given.description);
  board = new Board(new State(given), about, new Controls());
  addEventListener("popstate", () => { board.state.read(); board.show(); });
  document.addEventListener("theme", () => board.panels.forEach((one) => one.redraw()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => board.panels.forEach((one) => one.redraw()));
  await board.show();
}

begin().catch((error) => {
  $("trouble").hidden = false;
  $("trouble").textContent = error.message;
});
