// The page: draws the charts, makes the tables sortable, and finds text in all of them.

/** Draws a chart where the page has a place for it; without anything to draw its section goes. */
function drawInto(id, draw) {
  const host = document.getElementById(id);
  const chart = host && draw(host);
  if (host && !chart && host.parentElement.children.length === 2) host.parentElement.remove();
  return chart;
}

const tables = [...document.querySelectorAll("main table")].map((table) => new SortedTable(table));
const collector = drawInto("gc-chart", drawCollector);
const charts = [
  drawInto("timeline-chart", drawStart),
  drawInto("flame-chart", drawFlame),
  drawInto("slow-chart", drawSlow),
  collector,
].filter(Boolean);
const heapHost = document.getElementById("heap-chart");
if (heapHost) drawHeap(heapHost, collector);

const find = document.getElementById("find");
const form = document.getElementById("search");
form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());

/** Finds what has the text of the field, in every table and chart. */
function search() {
  const text = find.value.trim().toLowerCase();
  const rows = tables.reduce((sum, table) => sum + table.search(text), 0);
  const boxes = charts.reduce((sum, chart) => sum + chart.search(text), 0);
  const found = `${counted(rows, "row")}, ${counted(boxes, "box", "boxes")}`;
  document.getElementById("found").textContent = text ? found : "";
}

let waiting;
find.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(search, 80);
});
find.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  event.preventDefault();
  if (find.value === "") find.blur();
  find.value = "";
  search();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "INPUT") return;
  event.preventDefault();
  find.focus();
  find.select();
});
// The charts are drawn with the first frame.
requestAnimationFrame(() => requestAnimationFrame(() => (document.documentElement.dataset.ready = "")));
