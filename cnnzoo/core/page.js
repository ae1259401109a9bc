// The only script of a page: a click on the header of a column sorts a table of class "sortable"; a third click restores
// its order. Rows of class "fixed" stay last. Without this script, tables are complete, in the order of their rows.
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  const read = (row, column) => {
    const cell = row.cells[column], text = cell ? cell.dataset.value ?? cell.textContent.trim() : "";
    const number = /^[-+\u2212]?[\d,]*\.?\d+(e[-+]?\d+)?/i.exec(text);
    return { text, number: number ? Number(number[0].replace(/,/g, "").replace("\u2212", "-")) : NaN };
  };
  const sort = (column, direction) => {
    const movable = rows.filter((row) => !row.classList.contains("fixed"));
    const values = new Map(movable.map((row) => [row, read(row, column)]));
    const filled = [...values.values()].filter((value) => value.text);
    const numeric = filled.every((value) => !Number.isNaN(value.number));
    if (direction) {
      movable.sort((a, b) => {
        const x = values.get(a), y = values.get(b);
        if (!x.text || !y.text) return !x.text - !y.text;  // empty cells are last in both directions
        const order = numeric ? x.number - y.number : x.text.localeCompare(y.text, undefined, { numeric: true });
        return direction * order;
      });
    }
    body.append(...movable, ...rows.filter((row) => row.classList.contains("fixed")));
  };
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort by this column";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const first = header.classList.contains("words") || column === 0 ? "ascending" : "descending";
      const second = first === "ascending" ? "descending" : "ascending";
      const next = { [first]: second, [second]: "none" }[header.getAttribute("aria-sort")] ?? first;
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      if (next !== "none") header.setAttribute("aria-sort", next);
      sort(column, { ascending: 1, descending: -1, none: 0 }[next]);
    });
  });
}
