"use strict";
// Tables that sort by a click or the keyboard, and filter by a text box. Without this script they are plain tables.

const keyOf = (row, column) => {
  const cell = row.cells[column];
  const value = cell.dataset.value;
  return value === undefined ? cell.textContent.trim() : Number(value);
};

const compare = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

const sortBy = (table, header) => {
  const column = header.cellIndex;
  const heads = [...table.tHead.rows[0].cells];
  const first = "numeric" in header.dataset ? "descending" : "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const order = header.getAttribute("aria-sort") === first ? other : first;
  for (const head of heads) head.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row, column), row]);
  rows.sort((a, b) => sign * compare(a[0], b[0]));
  table.tBodies[0].append(...rows.map(([, row]) => row));
};

const makeSortable = (table) => {
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    if (!button.textContent.trim() || header.classList.contains("wide")) button.setAttribute("aria-label", "interval of S");
    header.append(button);
    button.addEventListener("click", () => sortBy(table, header));
  }
};

const makeFilter = (table) => {
  const rows = [...table.tBodies[0].rows];
  const label = document.createElement("label");
  const input = document.createElement("input");
  const count = document.createElement("output");
  label.className = "filter";
  input.type = "search";
  input.autocomplete = "off";
  count.setAttribute("aria-live", "polite");
  label.append(`Filter ${table.dataset.filter}`, input, count);
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const show = () => {
    const words = plain(input.value).split(/\s+/).filter(Boolean);
    let n = 0;
    for (const row of rows) {
      const text = plain(row.textContent);
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) n += 1;
    }
    count.textContent = words.length ? `${n} of ${rows.length}` : `${rows.length}`;
  };
  input.addEventListener("input", show);
  show();
  table.closest(".scroll").before(label);
};

for (const table of document.querySelectorAll("table[data-sortable]")) {
  makeSortable(table);
  if (table.dataset.filter) makeFilter(table);
}

// Paper cannot be clicked: what is folded opens, and closes again afterwards.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open]):not(.document)")];
  for (const part of opened) part.open = true;
});
addEventListener("afterprint", () => {
  for (const part of opened) part.open = false;
});
