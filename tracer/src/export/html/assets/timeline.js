// Timelines: what happened when, in lanes. Times are those since the report's begin.

const BEGIN = told("header")[0]?.start_ns ?? 0;
const SUMMARY = told("summary")[0] ?? {};

/** A stretch of time as a box; what began before the report is drawn from the report's begin on. */
function span(name, kind, start, duration, details = []) {
  const at = start - BEGIN;
  return { name, kind, from: Math.max(0, at), to: Math.max(0, at + duration), at, took: duration, details };
}

/** What is said of a stretch of time. */
function aboutSpan({ at, took, details }) {
  const when = at < 0 ? `begun ${time(-at)} before the report` : `at ${time(at)}`;
  return [`${when}, ${time(took)}`, ...details];
}

/** Puts boxes that overlap into rows of their own: at most so many, and says how many had no room. */
function lanes(name, boxes, most) {
  boxes.sort((a, b) => a.from - b.from || b.to - a.to);
  const rows = [];
  let over = 0;
  for (const box of boxes) {
    const row = rows.find(({ boxes: others }) => others[others.length - 1].to <= box.from);
    if (row) row.boxes.push(box);
    else if (rows.length < most) rows.push({ name: rows.length ? "" : name, boxes: [box] });
    else over += 1;
  }
  return { rows, over };
}

/** The collector's lanes. */
function gcLanes() {
  const cycles = told("gc").map((cycle) => {
    const { stw_sweep_term_ns: first, mark_ns: mark, stw_mark_term_ns: second } = cycle;
    const heap = `heap ${megabytes(cycle.heap_start_bytes)} → ${megabytes(cycle.heap_live_bytes)} live, goal ${megabytes(cycle.heap_goal_bytes)}`;
    const stops = `stopped ${time(first)} + ${time(second)}, marking ${time(mark)}, assists ${time(cycle.assist_ns)}`;
    return span(`cycle ${cycle.cycle}`, "gc", cycle.start_ns, first + mark + second, [stops, heap]);
  });
  const stops = told("stw")
    .filter((stop) => stop.start_ns !== null)
    .map((stop) => span(stop.reason, "stop", stop.start_ns, stop.total_ns ?? 0, stop.stack));
  const notable = told("gc_incident").filter((incident) => incident.verdict !== "unrelated");
  const incidents = notable.map((incident) => {
    return span(`${incident.kind}: ${incident.verdict}`, "incident", incident.start_ns, incident.duration_ns, [incident.text]);
  });
  return [lanes("GC cycles", cycles, 2), lanes("stops", stops, 3), lanes("incidents", incidents, 4)];
}

function together(all) {
  const over = all.reduce((sum, lane) => sum + lane.over, 0);
  const note = over ? `${counted(over, "stretch", "stretches")} that overlap others had no row.` : "";
  return { rows: all.flatMap((lane) => lane.rows), note };
}

/** How a program started. */
function drawStart(host) {
  const phases = told("phase");
  if (phases.length === 0) return undefined;
  const ends = phases.filter(({ name }) => name !== "main").map((phase) => phase.start_ns + phase.duration_ns - BEGIN);
  const end = Math.max(...ends, SUMMARY.to_ready_ns ?? 0, (SUMMARY.to_main_ns ?? 0) * 1.03, 1);
  const within = (box) => ({ ...box, to: Math.min(box.to, end) });
  const named = (name) => name.replaceAll("_", " ");
  const all = [
    lanes("phases", phases.filter(({ name }) => name !== "ready").map((phase) => within(phaseBox(phase))), 2),
    lanes("steps", phases.flatMap((phase) => (phase.steps ?? []).map((step) => span(named(step.name), "step", step.start_ns, step.duration_ns))), 4),
    lanes("inits", told("init").map(initBox), 2),
    lanes("functions", told("init_function").filter((one) => one.start_ns !== null).map(functionBox), 2),
    lanes("waits", told("wait").map(waitBox), 4),
    lanes("libraries", told("library").map((one) => span(one.path, "library", one.start_ns, one.duration_ns)), 2),
    ...gcLanes(),
  ];
  const marks = [["main.main", SUMMARY.to_main_ns], ["ready", SUMMARY.to_ready_ns]]
    .filter(([, at]) => typeof at === "number")
    .map(([name, at]) => ({ name, at }));
  const { rows, note } = together(all.map((lane) => ({ ...lane, rows: lane.rows.map((row) => inView(row, end)) })));
  return new Chart(host, { rows, to: end, marks, hasAxis: true, role: "listbox", about: aboutSpan, note });
}

/** What begins after the chart's end is not drawn. */
function inView({ name, boxes }, end) {
  return { name, boxes: boxes.filter((box) => box.from < end) };
}

function phaseBox(phase) {
  const name = phase.name === "main" ? "main.main" : phase.name.replaceAll("_", " ");
  return span(name, `phase ${phase.name}`, phase.start_ns, phase.duration_ns, partsOf(phase));
}

function initBox(init) {
  const details = partsOf(init);
  if (init.file) details.push(`${init.file}:${init.line}`);
  return span(init.package, costOf(init), init.start_ns, init.wall_ns, details);
}

/** What took most of an init's time. */
function costOf(init) {
  if (init.on_cpu_ns === undefined) return "init";
  const costs = [["blocked", init.blocked_ns], ["runnable", init.runnable_ns], ["on_cpu", init.on_cpu_ns]];
  return `init ${costs.sort((a, b) => b[1] - a[1])[0][0]}`;
}

/** Where the time of a phase or an init went, in words. */
function partsOf(line) {
  if (line.on_cpu_ns === undefined) return [];
  const causes = Object.entries(line.blocked)
    .filter(([, ns]) => ns > 0)
    .sort((a, b) => b[1] - a[1])
    .map(([cause, ns]) => `${cause.replace(/_ns$/, "").replaceAll("_", " ")} ${time(ns)}`);
  const blocked = causes.length ? ` (${causes.join(", ")})` : "";
  const assist = line.gc_assist_ns ? [`made to mark for the garbage collector (GC assist) for ${time(line.gc_assist_ns)} of it`] : [];
  return [
    `on a CPU ${time(line.on_cpu_ns)}, without one ${time(line.runnable_ns)}, blocked ${time(line.blocked_ns)}${blocked}, unexplained ${time(line.remainder_ns)}`,
    ...assist,
  ];
}

function functionBox(one) {
  return span(one.function, "function", one.start_ns, one.wall_ns ?? 0, one.file ? [`${one.file}:${one.line}`] : []);
}

function waitBox(wait) {
  const what = [wait.kind.replaceAll("_", " "), wait.wait_reason ?? wait.syscall, wait.object].filter(Boolean).join(", ");
  return span(what, "blocked", wait.start_ns, wait.duration_ns, wait.stack);
}

/** The collector beside a running program. */
function drawCollector(host) {
  const { rows, note } = together(gcLanes());
  if (rows.length === 0 || document.body.dataset.kind === "start") return undefined;
  return new Chart(host, { rows, to: spanLength(), hasAxis: true, role: "listbox", about: aboutSpan, note });
}

/** How long the report's span is. */
function spanLength() {
  if (SUMMARY.span_ns) return SUMMARY.span_ns;
  const ends = told("gc").map((cycle) => cycle.start_ns + cycle.stw_sweep_term_ns + cycle.mark_ns + cycle.stw_mark_term_ns);
  return Math.max(SUMMARY.to_ready_ns ?? 0, SUMMARY.to_main_ns ?? 0, ...ends.map((end) => end - BEGIN), 1);
}

const MOST_GOROUTINES = 24;

/** The slowest calls, one lane a goroutine: those that suffered most. */
function drawSlow(host) {
  const suffered = told("slow").filter((call) => call.class === "suffered");
  if (suffered.length === 0) return undefined;
  const byWho = new Map();
  for (const call of suffered) {
    const who = call.goid === null ? `thread ${call.tid}` : `goroutine ${call.goid}`;
    const one = byWho.get(who) ?? { who, total: 0, boxes: [] };
    const name = [call.syscall ?? "call", call.object].filter(Boolean).join(" ");
    one.total += call.duration_ns;
    one.boxes.push(slowBox(name, call));
    byWho.set(who, one);
  }
  const all = [...byWho.values()].sort((a, b) => b.total - a.total);
  const shown = all.slice(0, MOST_GOROUTINES).map(({ who, boxes }) => lanes(who, boxes, 1));
  const collector = gcLanes().slice(0, 2);
  const { rows, note } = together([...collector, ...shown]);
  const more = all.length - shown.length;
  const left = more > 0 ? ` ${counted(more, "goroutine")} that suffered less ${more === 1 ? "is" : "are"} not drawn.` : "";
  return new Chart(host, { rows, to: spanLength(), hasAxis: true, role: "listbox", about: aboutSpan, note: note + left });
}

function slowBox(name, call) {
  const details = [`for ${call.cause}, result ${call.result}`, ...call.stack];
  return span(name, "blocked", call.end_ns - call.duration_ns, call.duration_ns, details);
}
