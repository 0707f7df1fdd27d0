// Small words for building a page.

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Text in which what stands between backticks is code.
export const code = (text) => text.split("`").map((part, place) => (place % 2 ? make("code", { textContent: part }) : part));

const SVG = "http://www.w3.org/2000/svg";

export function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const NAMES = { green: "--good", orange: "--warn", yellow: "--warn", red: "--bad", blue: "--blue", purple: "--purple", text: "--ink", transparent: "--card" };
const LINES = 12;

// A colour by Grafana's name for it, as this page's theme has it.
export function colour(name) {
  const style = getComputedStyle(document.documentElement);
  return NAMES[name] ? style.getPropertyValue(NAMES[name]).trim() : name;
}

export const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export const line = (place) => variable(`--c${place % LINES}`);

export function faint(tint, share) {
  return `color-mix(in srgb, ${tint} ${Math.round(share * 100)}%, transparent)`;
}

export function judged(value, steps) {
  let found = "text";
  for (const each of steps ?? []) if (each.value === null || value >= each.value) found = each.color;
  return found;
}

export function say(text) {
  $("said").textContent = text;
}
