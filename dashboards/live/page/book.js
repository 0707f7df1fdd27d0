// The runbook: an anchor in any case, and a search over its names.

const find = document.getElementById("find");
const entries = [...document.querySelectorAll("#contents li")];

function arrive() {
  const wanted = decodeURIComponent(location.hash.slice(1)).toLowerCase();
  if (!wanted) return;
  const target = document.getElementById(wanted);
  const lost = document.getElementById("lost");
  lost.hidden = Boolean(target);
  lost.textContent = target ? "" : `This runbook has no entry for ${wanted}.`;
  target?.scrollIntoView();
  target?.focus({ preventScroll: true });
}

find.oninput = () => {
  const words = find.value.toLowerCase();
  for (const entry of entries) entry.hidden = !entry.textContent.toLowerCase().includes(words);
};
addEventListener("hashchange", arrive);
arrive();
