// The page's whole program: fill in a form, ask, show what came. No library, nothing from elsewhere.

const $ = (id) => document.getElementById(id);
const MOST_CARDS = 60;
const STATE_SECONDS = 5;
const NUMBERS = { count: "n", steps: "num_inference_steps", guidance: "guidance_scale", seed: "seed" };
const WORDS = { negative: "negative_prompt", priority: "priority", lora: "lora" };

let asking = null; // the AbortController of the request under way
let countdown = 0;

// ---------------------------------------------------------------------------- asking

class Refusal extends Error {
  constructor(status, error, retryAfter) {
    super(error?.message ?? `the server answered ${status}`);
    this.status = status;
    this.field = error?.param;
    this.retryAfter = retryAfter;
  }
}

function headers() {
  const key = $("key").value;
  return { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
}

async function post(path, body, signal) {
  const answer = await fetch(path, { method: "POST", headers: headers(), body: JSON.stringify(body), signal });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Refusal(answer.status, said.error, Number(answer.headers.get("retry-after")) || 0);
}

async function generate(body, signal, progress) {
  let answer;
  try {
    answer = await post("v1/images/generations", { ...body, stream: true }, signal);
  } catch (error) {
    if (error.field !== "stream") throw error;
    answer = await post("v1/images/generations", body, signal); // a server that does not stream
  }
  if (!answer.headers.get("content-type").startsWith("text/event-stream")) return answer.json();
  const pictures = [];
  for await (const event of events(answer.body)) {
    if (event.error) throw new Refusal(event.status, event.error, event.retry_after);
    if (event.type === "image_generation.completed") pictures.push(event);
    else progress(event);
  }
  if (!pictures.length) throw new Refusal(0, { message: "the answer ended before the picture came" });
  return { ...pictures[0], data: pictures };
}

async function* events(body) {
  let rest = "";
  for await (const text of pieces(body.pipeThrough(new TextDecoderStream()))) {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (data.trim() && data.trim() !== "[DONE]") yield JSON.parse(data);
    }
  }
}

async function* pieces(stream) {
  const reader = stream.getReader(); // not every browser can iterate a stream
  for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
}

// ---------------------------------------------------------------------------- the form

function order() {
  const body = { prompt: $("prompt").value };
  for (const [id, name] of Object.entries(NUMBERS)) if ($(id).value !== "") body[name] = Number($(id).value);
  for (const [id, name] of Object.entries(WORDS)) if ($(id).value !== "") body[name] = $(id).value;
  const size = $("size").value === "other" ? `${$("width").value}x${$("height").value}` : $("size").value;
  if (size) body.size = size;
  return body;
}

function fill(body, seed) {
  $("prompt").value = body.prompt;
  for (const [id, name] of Object.entries({ ...NUMBERS, ...WORDS })) $(id).value = body[name] ?? "";
  const known = [...$("size").options].some((option) => option.value === (body.size ?? ""));
  $("size").value = known ? (body.size ?? "") : "other";
  if (!known) [$("width").value, $("height").value] = body.size.split("x");
  showSides();
  $("seed").value = seed;
  $("prompt").focus();
}

function showSides() {
  $("sides").hidden = $("size").value !== "other";
}

function say(message) {
  clearInterval(countdown);
  $("trouble").hidden = !message;
  $("error").textContent = message;
  $("again").textContent = "";
}

function refuse(error) {
  say(sentence(error instanceof Refusal ? error.message : "the server cannot be reached"));
  if (error.status === 401) {
    $("key").closest("details").open = true;
    $("key").focus();
  }
  if (error.retryAfter) countDown(Date.now() + 1000 * error.retryAfter);
}

function sentence(message) {
  const text = message.replace(/; try again$/, "").replace(/\.$/, "");
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

function countDown(end) {
  const tick = () => {
    const left = Math.ceil((end - Date.now()) / 1000);
    $("again").textContent = left > 0 ? `Try again in ${left} s.` : "You can try again now.";
    if (left <= 0) clearInterval(countdown);
  };
  countdown = setInterval(tick, 250);
  tick();
}

function work(on) {
  $("generate").disabled = on;
  $("generate").textContent = on ? "Generating …" : "Generate";
  $("cancel").hidden = $("working").hidden = !on;
  $("bar").removeAttribute("value");
  $("step").textContent = "";
}

function progress(event) {
  if (event.step === undefined) return;
  $("bar").max = event.steps;
  $("bar").value = event.step;
  $("step").textContent = `step ${event.step} of ${event.steps}`;
}

async function submit() {
  if (asking) return;
  const body = order();
  asking = new AbortController();
  say("");
  work(true);
  try {
    show(await generate(body, asking.signal, progress), body);
  } catch (error) {
    if (error.name !== "AbortError") refuse(error);
  } finally {
    asking = null;
    work(false);
  }
}

// ---------------------------------------------------------------------------- the gallery

function show(answer, body) {
  const card = $("card").content.cloneNode(true).querySelector("li");
  const many = answer.data.length > 1;
  card.querySelector(".pictures").classList.toggle("many", many);
  card.querySelector(".pictures").append(...answer.data.map((entry, index) => picture(answer, entry, index, body)));
  card.querySelector(".prompt").textContent = body.prompt;
  card.querySelector("dl").append(...facts(answer).map(([name, value]) => fact(name, value)));
  const found = marks(answer);
  card.querySelector(".marks").hidden = !found;
  card.querySelector(".marks").textContent = found;
  card.querySelector(".stars").append(...[1, 2, 3, 4, 5].map((score) => star(card, answer.id, score)));
  card.querySelector(".again").onclick = () => fill(body, answer.data[0].seed);
  $("empty").hidden = true;
  $("gallery").prepend(card);
  while ($("gallery").children.length > MOST_CARDS) forget($("gallery").lastElementChild);
}

function forget(card) {
  for (const link of card.querySelectorAll("figure a")) URL.revokeObjectURL(link.href);
  card.remove();
}

function picture(answer, entry, index, body) {
  const bytes = Uint8Array.from(atob(entry.b64_json), (letter) => letter.charCodeAt(0));
  const source = URL.createObjectURL(new Blob([bytes], { type: `image/${answer.output_format}` }));
  const [width, height] = answer.size.split("x");
  const image = Object.assign(new Image(width, height), { src: source, alt: body.prompt });
  const button = make("button", { type: "button", ariaLabel: "Enlarge" }, image);
  button.onclick = () => enlarge(source, body.prompt);
  const name = `${answer.id}-${index}.${answer.output_format}`;
  return make("figure", {}, button, make("a", { href: source, download: name, textContent: "Download" }));
}

function enlarge(source, prompt) {
  $("large-picture").src = source;
  $("large-picture").alt = prompt;
  $("large-prompt").textContent = prompt;
  $("large").showModal();
}

function facts(answer) {
  const seconds = (value) => `${value < 10 ? value.toFixed(2) : value.toFixed(1)} s`;
  const found = [
    ["size", answer.size.replace("x", " × ")],
    ["seed", answer.data.map((entry) => entry.seed).join(", ")],
    ["forwards", answer.usage.forwards],
    ["waited", seconds(answer.timings.queue)],
    ["total", seconds(answer.timings.total)],
    ["GPU", seconds(answer.usage.gpu_seconds)],
  ];
  if (answer.cost !== undefined) found.push(["cost", `${Number(answer.cost.toPrecision(3))} ${answer.currency}`]);
  return found;
}

function marks(answer) {
  const found = (answer.quality ?? []).flatMap((one) => one.anomalies ?? one.anomaly ?? []);
  return [...new Set(found)].join(", ");
}

function fact(name, value) {
  return make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }));
}

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// ---------------------------------------------------------------------------- ratings

function star(card, id, score) {
  const input = make("input", { type: "radio", name: `stars-${id}`, value: score, ariaLabel: score === 1 ? "1 star" : `${score} stars` });
  input.onchange = () => rate(card, id, score);
  return make("label", {}, input);
}

async function rate(card, id, score) {
  const saved = card.querySelector(".saved");
  clearTimeout(card.rating);
  card.rating = setTimeout(async () => { // the arrow keys pass over the stars in between
    try {
      await post("v1/feedback", { request_id: id, score });
      saved.textContent = "saved";
    } catch (error) {
      saved.textContent = `not saved: ${error instanceof Refusal ? error.message : "the server cannot be reached"}`;
    }
  }, 300);
}

// ---------------------------------------------------------------------------- the server's state

async function look() {
  const pill = $("state");
  const [kind, word] = await state();
  pill.className = `pill ${kind}`;
  if (pill.textContent !== word) pill.textContent = word;
}

async function state() {
  try {
    const said = await (await fetch("readyz")).json();
    const { ready, busy, starting } = said.workers;
    if (!said.ready) return ["warn", starting ? "loading the model" : "not ready"];
    return ["good", ready || !busy ? "ready" : "busy"];
  } catch {
    return ["bad", "unreachable"];
  }
}

async function introduce() {
  const about = await (await fetch("version")).json();
  $("model").textContent = `${about.model} · ${about.version}`;
}

async function offer() {
  const answer = await fetch("v1/models", { headers: headers() });
  if (!answer.ok) return; // a key is asked for, and not given yet
  const names = (await answer.json()).data[0].loras;
  $("lora").replaceChildren($("lora").options[0], ...names.map((name) => make("option", { value: name, textContent: name })));
  $("lora-field").hidden = !names.length;
}

// ---------------------------------------------------------------------------- beginning

$("order").onsubmit = (event) => { event.preventDefault(); submit(); };
$("prompt").onkeydown = (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(); };
$("cancel").onclick = () => asking?.abort();
$("size").onchange = showSides;
$("dice").onclick = () => { $("seed").value = crypto.getRandomValues(new Uint32Array(1))[0]; };
$("large").onclick = (event) => { if (event.target === $("large")) $("large").close(); };
$("key").value = sessionStorage.getItem("key") ?? "";
$("key").oninput = () => sessionStorage.setItem("key", $("key").value);
$("key").onchange = () => offer().catch(() => {});
introduce().then(offer).catch(() => {});
look();
setInterval(() => { if (!document.hidden) look(); }, 1000 * STATE_SECONDS);
