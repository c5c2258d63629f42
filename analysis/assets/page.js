"use strict";
// Links know where they lie below the outputs; the page knows how far up that is.
const root = document.body.dataset.root;
for (const link of document.querySelectorAll("a[data-file]")) {
  const file = link.dataset.file;
  link.href = file.startsWith("trials/") ? root + file : root + "reports/" + file;
}

// Sorting: by the first number of a cell, else by its text; what has no number stands last, either way.
const first = (cell) => {
  const text = cell.textContent.replaceAll(",", "").replaceAll("\u2212", "-").trim();
  const found = text.match(/^[<+]?\s*(-?\d+(\.\d+)?(e-?\d+)?)/i);
  return found ? Number(found[1]) : NaN;
};
const compare = (a, b, sign) => {
  const x = first(a), y = first(b);
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
  if (Number.isNaN(x)) return sign * a.textContent.localeCompare(b.textContent, "en", { numeric: true });
  return sign * (x - y);
};
const sort = (head) => {
  const table = head.closest("table"), place = head.cellIndex;
  const sign = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(a.cells[place], b.cells[place], sign));
  table.tBodies[0].append(...rows);
};

// Where a number came from: the trials behind it, out of the table of all trials.
const dialog = document.getElementById("source");
const show = (cell) => {
  const article = cell.closest("article");
  const groups = JSON.parse(article.querySelector("script.groups").textContent);
  const table = cell.closest("table"), row = cell.parentNode;
  const title = document.createElement("h4");
  const column = table.tHead.rows[0].cells[cell.cellIndex].textContent;
  title.textContent = `${row.cells[0].textContent} · ${column}: ${cell.textContent}`;
  const told = document.createElement("table");
  told.append(article.querySelector(".trials thead").cloneNode(true));
  const body = told.createTBody();
  for (const trial of groups[Number(cell.dataset.g)]) {
    const line = article.querySelector(`tr[data-trial="${CSS.escape(trial)}"]`);
    if (line) body.append(line.cloneNode(true));
  }
  const box = dialog.querySelector("div");
  const scroll = document.createElement("div");
  scroll.className = "scroll";
  scroll.append(told);
  box.replaceChildren(title, scroll);
  dialog.showModal();
};

document.addEventListener("click", (event) => {
  const head = event.target.closest("table.sortable thead th");
  if (head) return sort(head);
  const cell = event.target.closest("td[data-g]");
  if (cell) return show(cell);
  if (event.target === dialog) dialog.close();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("td[data-g]")) show(event.target);
});
// On paper everything is open.
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
