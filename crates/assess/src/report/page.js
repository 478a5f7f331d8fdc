"use strict";
const words = document.getElementById("words");
const outcome = document.getElementById("outcome");
const stage = document.getElementById("stage");
const count = document.getElementById("count");
const rows = Array.from(document.querySelectorAll("tbody tr"), (row) => ({
  row,
  text: row.textContent.toLowerCase(),
  head: row.cells[0].textContent.toLowerCase() + row.querySelector("summary").textContent.toLowerCase(),
  details: row.querySelector("details"),
}));
function narrow() {
  const text = words.value.trim().toLowerCase();
  let shown = 0;
  for (const { row, text: all, head, details } of rows) {
    const fits = all.includes(text)
      && (outcome.value === "" || row.dataset.outcome === outcome.value)
      && (stage.value === "" || row.dataset.stage === stage.value);
    row.hidden = !fits;
    // What was found stands in the details: they open, and close again with the search.
    details.open = fits && text !== "" && !head.includes(text);
    shown += fits ? 1 : 0;
  }
  count.textContent = `${shown} of ${rows.length} controls`;
}
words.addEventListener("input", narrow);
outcome.addEventListener("change", narrow);
stage.addEventListener("change", narrow);
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    words.focus();
  }
});
narrow();
