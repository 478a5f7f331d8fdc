"use strict";
const words = document.getElementById("words");
const outcome = document.getElementById("outcome");
const rows = Array.from(document.querySelectorAll("tbody tr"));
const count = document.getElementById("count");
function narrow() {
  const text = words.value.toLowerCase();
  let shown = 0;
  for (const row of rows) {
    const fits = row.textContent.toLowerCase().includes(text)
      && (outcome.value === "" || row.dataset.outcome === outcome.value);
    row.hidden = !fits;
    shown += fits ? 1 : 0;
  }
  count.textContent = `${shown} of ${rows.length} controls`;
}
words.addEventListener("input", narrow);
outcome.addEventListener("change", narrow);
narrow();
