// The heap over time, at each of the collector's cycles.

/** From this on a goal is none: GOGC is off, and no limit is set. */
const NO_GOAL = 2 ** 50;
const HEIGHT = 120;

function heapSeries() {
  const cycles = told("gc");
  const end = (cycle) => cycle.start_ns + cycle.stw_sweep_term_ns + cycle.mark_ns + cycle.stw_mark_term_ns - BEGIN;
  const begin = (cycle) => cycle.start_ns - BEGIN;
  const heap = cycles.flatMap((cycle) => [[begin(cycle), cycle.heap_start_bytes], [end(cycle), cycle.heap_live_bytes]]);
  const goals = cycles.filter((cycle) => cycle.heap_goal_bytes < NO_GOAL);
  const all = [
    { name: "heap: before and after each cycle", kind: "heap", points: heap },
    { name: "goal", kind: "goal", points: goals.map((cycle) => [begin(cycle), cycle.heap_goal_bytes]) },
    {
      name: "resident memory (RSS)",
      kind: "rss",
      points: cycles.filter((cycle) => cycle.rss_bytes !== null).map((cycle) => [end(cycle), cycle.rss_bytes]),
    },
  ];
  return all.filter(({ points }) => points.length > 1);
}

/** Draws the curves over the same stretch of time as the chart above them. */
function drawHeap(host, above) {
  const series = heapSeries();
  if (series.length === 0) return;
  const most = Math.max(...series.flatMap(({ points }) => points.map(([, bytes]) => bytes)), 1);
  const svg = drawn("svg", { class: "heap", role: "img", "aria-label": `${host.dataset.label}: at most ${megabytes(most)}` });
  const key = series.flatMap(({ name, kind }) => [
    drawn("svg", { class: "sample", viewBox: "0 0 24 8", width: 24, height: 8 }, drawn("path", { class: `curve ${kind}`, d: "M0 4H24" })),
    ` ${name} `,
  ]);
  host.replaceChildren(element("p", { class: "key" }, ...key), svg);
  host.hidden = false;
  const draw = (view) => drawCurves(svg, series, most, view, Math.max(host.clientWidth - 10, 300));
  if (above) above.onview = draw;
  new ResizeObserver(() => draw(above?.view ?? { from: 0, to: spanLength() })).observe(host);
}

function drawCurves(svg, series, most, { from, to }, full) {
  const width = full - LABELS - 1;
  const x = (at) => LABELS + ((at - from) / (to - from)) * width;
  const y = (bytes) => HEIGHT - 4 - (bytes / most) * (HEIGHT - 16);
  svg.setAttribute("viewBox", `0 0 ${full} ${HEIGHT}`);
  svg.setAttribute("height", HEIGHT);
  const levels = ticks(0, most, 4).flatMap((bytes) => [
    drawn("line", { class: "grid", x1: LABELS, x2: full, y1: y(bytes), y2: y(bytes) }),
    drawn("text", { class: "tick", x: LABELS - 6, y: y(bytes) + 4, "text-anchor": "end" }, megabytes(bytes)),
  ]);
  const clip = drawn("clipPath", { id: "heap-clip" }, drawn("rect", { x: LABELS, y: 0, width, height: HEIGHT }));
  const curves = series.map(({ kind, points }) => {
    const path = points.map(([at, bytes], index) => `${index ? "L" : "M"}${x(at).toFixed(1)} ${y(bytes).toFixed(1)}`);
    return drawn("path", { class: `curve ${kind}`, d: path.join(""), "clip-path": "url(#heap-clip)" });
  });
  svg.replaceChildren(clip, ...levels, ...curves);
}
