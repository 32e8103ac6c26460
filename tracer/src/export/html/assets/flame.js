// Flame graphs: stacks with their weights, the outermost function at the top.

/** The program's own module, whose functions stand out. */
const MODULE = told("header")[0]?.module;

/** What is drawn of a running program: the lines, and what stacks with which weights each of them is. */
function flames() {
  const suffered = told("blocking").filter((line) => line.class === "suffered");
  const calls = suffered.filter((line) => line.kind !== "wait" && line.retried !== false);
  const parked = suffered.filter((line) => line.kind === "wait");
  const all = [
    { name: "Blocked time", unit: time, lines: calls, stacksOf: blockedStacks },
    { name: "On a CPU", unit: (count) => counted(count, "sample"), lines: told("on_cpu"), stacksOf: sampledStacks },
    { name: "Parked time", unit: time, lines: parked, stacksOf: parkedStacks },
  ];
  return all.filter((flame) => flame.lines.length > 0);
}

/** A sum's time, split by what the slow ones of it were on. */
function blockedStacks(line) {
  const call = `${line.kind === "netpoll" ? "wait" : "syscall"} ${line.syscall}`;
  let rest = line.total_ns;
  const stacks = line.objects.map(({ object, total_ns }) => {
    const weight = Math.min(total_ns, rest);
    rest -= weight;
    return { frames: [...outermostFirst(line.stack), `[${call}, ${object}]`], weight };
  });
  const leaf = line.object_type ? `[${call}, ${line.object_type}]` : `[${call}]`;
  stacks.push({ frames: [...outermostFirst(line.stack), leaf], weight: rest });
  return stacks;
}

function sampledStacks({ stack, syscall, count }) {
  const leaf = syscall ? [`[${syscall}]`] : [];
  return [{ frames: [...outermostFirst(stack), ...leaf], weight: count }];
}

function parkedStacks({ stack, wait_reason, total_ns }) {
  return [{ frames: [...outermostFirst(stack), `[${wait_reason}]`], weight: total_ns }];
}

/** The functions of a stack; where in them is left out, so that a function is one box. */
function outermostFirst(stack) {
  if (stack.length === 0) return ["(no stack)"];
  return stack.map(functionOf).reverse();
}

const functionsByFrame = new Map();

function functionOf(frame) {
  let name = functionsByFrame.get(frame);
  if (name === undefined) {
    name = frame.replace(/ [^ ]+:\d+$/, "");
    functionsByFrame.set(frame, name);
  }
  return name;
}

/** Puts the stacks together and lays them out: one row for each depth, the heaviest first. */
function layOut({ lines, stacksOf, unit }) {
  const root = { name: "all", weight: 0, children: new Map() };
  for (const line of lines) {
    for (const { frames, weight } of stacksOf(line)) {
      if (weight > 0) addStack(root, frames, weight);
    }
  }
  const rows = [];
  place(root, 0, 0, rows);
  const total = root.weight;
  const about = (box) => [`${unit(box.to - box.from)}, ${share(box.to - box.from, total)} of all, ${unit(box.own)} of it here`];
  return { rows, to: total, about };
}

function addStack(root, frames, weight) {
  let node = root;
  node.weight += weight;
  for (const name of frames) {
    let child = node.children.get(name);
    if (!child) {
      child = { name, weight: 0, children: new Map() };
      node.children.set(name, child);
    }
    child.weight += weight;
    node = child;
  }
}

function place(node, from, depth, rows) {
  rows[depth] ??= { name: "", boxes: [] };
  const box = { from, to: from + node.weight, name: node.name, kind: kindOf(node.name, depth), own: node.weight };
  rows[depth].boxes.push(box);
  const children = [...node.children.values()].sort((a, b) => b.weight - a.weight);
  for (const child of children) {
    place(child, from, depth + 1, rows);
    from += child.weight;
    box.own -= child.weight;
  }
}

/** Whose function it is: the program's, another module's, Go's library's, the runtime's, or no function at all. */
function kindOf(name, depth) {
  if (depth === 0) return "root";
  if (name.startsWith("[")) return "leaf";
  const path = name.split("[")[0];
  const slash = path.lastIndexOf("/") + 1;
  const dot = path.indexOf(".", slash);
  const pkg = dot < 0 ? path : path.slice(0, dot);
  if (pkg === "main" || pkg === MODULE || (MODULE && pkg.startsWith(`${MODULE}/`))) return "own";
  if (pkg === "runtime" || pkg.startsWith("runtime/") || pkg.startsWith("internal/runtime/")) return "runtime";
  return pkg.split("/")[0].includes(".") ? "module" : "library";
}

/** Draws the flame graph, with a choice of what it is of. */
function drawFlame(host) {
  const all = flames();
  if (all.length === 0) return undefined;
  const chart = new Chart(host, { ...layOut(all[0]), role: "tree" });
  const buttons = all.map((flame, index) => {
    const button = element("button", { type: "button", "aria-pressed": index === 0 }, flame.name);
    button.addEventListener("click", () => {
      buttons.forEach((other) => other.setAttribute("aria-pressed", other === button));
      chart.show(layOut(flame));
    });
    return button;
  });
  chart.tools.prepend(...buttons);
  const key = [["own", "your code"], ["module", "other modules"], ["library", "Go's library"], ["runtime", "runtime"], ["leaf", "what it waits for"]];
  const entries = key.flatMap(([kind, name]) => [element("i", { class: kind }), `${name} `]);
  chart.tools.append(element("span", { class: "key" }, ...entries));
  return chart;
}
