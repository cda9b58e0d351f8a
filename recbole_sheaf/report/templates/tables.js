"use strict";
// Tables sort by a click on a heading and are filtered by the field above them.
(function () {
  const language = document.documentElement.lang;
  const collator = new Intl.Collator(language, { numeric: true, sensitivity: "base" });

  function key(row, column) {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  }

  // Cells without a number stand last, whatever the direction.
  function compare(a, b, sign) {
    const numbers = [typeof a === "number", typeof b === "number"];
    if (numbers[0] && numbers[1]) return sign * (a - b);
    if (numbers[0] !== numbers[1]) return numbers[0] ? -1 : 1;
    return sign * collator.compare(a, b);
  }

  function sort(table, heading, column) {
    const rows = Array.from(table.tBodies[0].rows);
    const numeric = rows.some((row) => row.cells[column].dataset.value !== undefined);
    const before = heading.getAttribute("aria-sort");
    const descending = before ? before === "ascending" : numeric;
    table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    rows.sort((a, b) => compare(key(a, column), key(b, column), descending ? -1 : 1));
    table.tBodies[0].append(...rows);
  }

  function filter(box, table) {
    const wanted = box.querySelector("input").value.trim().toLocaleLowerCase(language);
    const rows = Array.from(table.tBodies[0].rows);
    rows.forEach((row) => { row.hidden = !row.textContent.toLocaleLowerCase(language).includes(wanted); });
    box.querySelector("output").textContent = rows.filter((row) => !row.hidden).length;
  }

  // On a narrow screen a row is a card, whose cells say their headings.
  function name(table) {
    const heads = Array.from(table.querySelectorAll("th"), (heading) => heading.textContent);
    Array.from(table.tBodies[0].rows).forEach((row) => {
      Array.from(row.cells).forEach((cell, column) => { cell.dataset.head = heads[column]; });
    });
    table.classList.add("cards");
  }

  document.querySelectorAll(".table").forEach((box) => {
    const table = box.querySelector("table");
    if (table.classList.contains("wide")) name(table);
    table.querySelectorAll("th").forEach((heading, column) => {
      const button = heading.querySelector("button");
      button.title = document.querySelector("main").dataset.sort;
      button.addEventListener("click", () => sort(table, heading, column));
    });
    const tools = box.querySelector(".tools");
    if (tools) {
      tools.hidden = false;
      box.querySelector("input").addEventListener("input", () => filter(box, table));
    }
  });
  const contents = document.querySelector(".contents");
  if (contents && window.matchMedia("(max-width: 700px)").matches) contents.open = false;
  const folded = document.querySelectorAll("details");
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = Array.from(folded).filter((each) => !each.open);
    opened.forEach((each) => { each.open = true; });
  });
  window.addEventListener("afterprint", () => opened.forEach((each) => { each.open = false; }));
})();
