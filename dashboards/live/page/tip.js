// The one box that follows the cursor.

import { $, make } from "./make.js";
import { stamp } from "./time.js";

const MOST = 12;

export function hide() {
  $("tip").hidden = true;
}

export function tell(over, left, top, unix, rows, notes) {
  const tip = $("tip");
  const lines = rows.slice(0, MOST).map((row) => entry(row.tint, row.name, row.text));
  if (rows.length > MOST) lines.push(make("p", { className: "quiet", textContent: `and ${rows.length - MOST} more` }));
  tip.replaceChildren(make("p", { className: "at", textContent: unix === null ? "" : stamp(unix) }), ...lines, ...notes.map((note) => entry(note.tint, note.text, "")));
  tip.hidden = false;
  const from = over.getBoundingClientRect();
  const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
  const right = from.left + left + 16;
  tip.style.left = `${right + wide > innerWidth - 8 ? Math.max(8, from.left + left - wide - 16) : right}px`;
  tip.style.top = `${Math.max(8, Math.min(from.top + top - high / 2, innerHeight - high - 8))}px`;
}

function entry(tint, name, text) {
  const swatch = make("i", { className: "swatch" });
  swatch.style.background = tint;
  return make("p", {}, swatch, make("span", { textContent: name }), make("b", { textContent: text }));
}
