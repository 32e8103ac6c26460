// How a chart is used: by keyboard, by mouse.

const KEYS = "Arrow keys go from box to box, Enter zooms to it, + and − zoom, Home and Esc show all.";

/** Makes a chart listen. */
function listen(chart) {
  const { plot, tools } = chart;
  const button = (name, about, act) => {
    const made = element("button", { type: "button", title: about, "aria-label": about }, name);
    made.addEventListener("click", act);
    return made;
  };
  tools.append(
    button("+", "Zoom in", () => zoomBy(chart, 0.5)),
    button("−", "Zoom out", () => zoomBy(chart, 2)),
    button("All", "Show all", () => chart.zoom(chart.whole)),
    element("span", { class: "hint" }, KEYS),
    chart.cutNote,
  );
  plot.addEventListener("keydown", (event) => press(chart, event));
  plot.addEventListener("focus", () => chart.current && chart.say(chart.current.box));
  plot.addEventListener("mouseover", (event) => {
    const hovered = boxOf(event.target);
    if (hovered) chart.say(hovered.box);
  });
  plot.addEventListener("wheel", (event) => turn(chart, event), { passive: false });
  drag(chart);
}

function boxOf(target) {
  return target.closest?.(".box")?.box;
}

/** Zooms around the box that is current, if it is in view, else around the middle. */
function zoomBy(chart, factor, around) {
  const { from, to } = chart.view;
  const box = chart.current?.box;
  const inView = box && box.to > from && box.from < to;
  const middle = around ?? (inView ? (Math.max(box.from, from) + Math.min(box.to, to)) / 2 : (from + to) / 2);
  chart.zoom({ from: middle - (middle - from) * factor, to: middle + (to - middle) * factor });
}

function press(chart, event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const acts = {
    ArrowLeft: () => step(chart, -1),
    ArrowRight: () => step(chart, 1),
    ArrowUp: () => climb(chart, -1),
    ArrowDown: () => climb(chart, 1),
    Enter: () => chart.current && chart.zoom(chart.current.box),
    Home: () => chart.zoom(chart.whole),
    Escape: () => chart.zoom(chart.whole),
    "+": () => zoomBy(chart, 0.5),
    "=": () => zoomBy(chart, 0.5),
    "-": () => zoomBy(chart, 2),
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
  chart.svg.querySelector(".current")?.scrollIntoView({ block: "nearest" });
}

/** To the next box of the row. */
function step(chart, by) {
  if (!chart.current) return;
  const { row, box } = chart.current;
  const { boxes } = chart.rows[row];
  const next = boxes[boxes.indexOf(box) + by];
  if (next) chart.select(row, next);
}

/** To the box above or below that has most in common with this one. */
function climb(chart, by) {
  if (!chart.current) return;
  const { row, box } = chart.current;
  const from = Math.max(box.from, chart.view.from);
  const to = Math.min(box.to, chart.view.to);
  for (let other = row + by; other >= 0 && other < chart.rows.length; other += by) {
    const best = widestWithin(chart.rows[other].boxes, from, to);
    if (best) return chart.select(other, best);
  }
}

function widestWithin(boxes, from, to) {
  let [best, most] = [undefined, 0];
  for (let at = firstAfter(boxes, from); at < boxes.length && boxes[at].from < to; at++) {
    const common = Math.min(boxes[at].to, to) - Math.max(boxes[at].from, from);
    if (common > most) [best, most] = [boxes[at], common];
  }
  return best;
}

/** With Ctrl the wheel zooms; without, the page scrolls as everywhere. */
function turn(chart, event) {
  if (!event.ctrlKey) return;
  event.preventDefault();
  zoomBy(chart, event.deltaY < 0 ? 0.7 : 1 / 0.7, valueAt(chart, event));
}

function valueAt(chart, event) {
  const x = event.clientX - chart.svg.getBoundingClientRect().left - chart.left;
  const part = Math.min(Math.max(x / chart.width, 0), 1);
  return chart.view.from + part * (chart.view.to - chart.view.from);
}

/** A click zooms to a box; dragging to what was dragged over. */
function drag(chart) {
  let begin;
  chart.plot.addEventListener("pointerdown", (event) => {
    if (event.button === 0) begin = { x: event.clientX, value: valueAt(chart, event) };
  });
  chart.plot.addEventListener("pointerup", (event) => {
    if (!begin) return;
    const [{ x, value }, end] = [begin, valueAt(chart, event)];
    begin = undefined;
    if (Math.abs(event.clientX - x) > 5) {
      chart.zoom({ from: Math.min(value, end), to: Math.max(value, end) });
      return;
    }
    const clicked = boxOf(event.target);
    if (!clicked) return;
    chart.select(clicked.row, clicked.box);
    chart.zoom(clicked.box);
  });
}
