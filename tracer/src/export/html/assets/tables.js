// Tables that can be sorted, searched, and gone through by keyboard. They were complete without this.

/** A table of the page. */
class SortedTable {
  constructor(table) {
    this.body = table.tBodies[0];
    this.rows = [...this.body.rows];
    this.texts = undefined;
    this.none = element("p", { class: "cut", hidden: "" }, "Nothing in this table has the text.");
    table.parentElement.after(this.none);
    [...table.tHead.rows[0].cells].forEach((cell, column) => this.makeSortable(cell, column));
    this.body.addEventListener("keydown", (event) => this.press(event));
    if (this.rows.length) {
      table.parentElement.removeAttribute("tabindex");
      this.rows.forEach((row) => row.setAttribute("tabindex", -1));
      this.enter(this.rows[0]);
    }
  }

  makeSortable(cell, column) {
    if (!cell.dataset.sort) return;
    const button = element("button", { type: "button" }, ...cell.childNodes);
    cell.replaceChildren(button);
    button.addEventListener("click", () => this.sort(cell, column));
  }

  /** Sorts by a column: numbers the largest first, words from A on; once more the other way round. */
  sort(cell, column) {
    const isNumber = cell.dataset.sort === "number";
    const before = cell.getAttribute("aria-sort");
    const order = before ? (before === "ascending" ? "descending" : "ascending") : isNumber ? "descending" : "ascending";
    const sign = order === "ascending" ? 1 : -1;
    for (const other of cell.parentElement.cells) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", order);
    const keyed = this.rows.map((row) => [sortKey(row.cells[column], isNumber), row]);
    keyed.sort(([a], [b]) => compared(a, b, sign));
    this.body.append(...keyed.map(([, row]) => row));
  }

  /** Shows the rows that have the text, and counts them. */
  search(text) {
    this.texts ??= this.rows.map((row) => row.textContent.toLowerCase());
    let found = 0;
    this.rows.forEach((row, index) => {
      row.hidden = text !== "" && !this.texts[index].includes(text);
      found += row.hidden ? 0 : 1;
    });
    this.none.hidden = found > 0;
    return text === "" ? 0 : found;
  }

  /** The row that Tab comes to. */
  enter(row) {
    this.body.querySelector("tr[tabindex='0']")?.setAttribute("tabindex", -1);
    row.setAttribute("tabindex", 0);
  }

  press(event) {
    const row = event.target;
    if (row.tagName !== "TR") return;
    const shown = () => [...this.body.rows].filter((other) => !other.hidden);
    const near = (by) => shown()[shown().indexOf(row) + by];
    const acts = {
      ArrowDown: () => near(1),
      ArrowUp: () => near(-1),
      Home: () => shown()[0],
      End: () => shown().at(-1),
      Enter: () => unfold(row),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    const next = acts[event.key]();
    if (!next) return;
    this.enter(next);
    next.focus();
  }
}

function unfold(row) {
  const details = row.querySelector("details");
  if (details) details.open = !details.open;
}

/** What a cell is sorted by; nothing when it has nothing. */
function sortKey(cell, isNumber) {
  if (!isNumber) return cell.textContent || undefined;
  return cell.dataset.v === undefined ? undefined : Number(cell.dataset.v);
}

/** What is not known comes last, whichever way round. */
function compared(a, b, sign) {
  if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
}
