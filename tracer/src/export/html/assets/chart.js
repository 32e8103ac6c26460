// Boxes in rows over one axis that can be zoomed: flame graphs and timelines.

const ROW = 18;
const AXIS = 20;
const LABELS = 118;
/** The width of a character in a box. */
const CHARACTER = 6.1;
/** What is narrower is drawn together with its neighbours. */
const NARROWEST = 2;
/** A drawing has no more boxes. */
const MOST_BOXES = 5000;

/**
 * A chart. `rows` are {name, boxes}; the boxes of a row are {from, to, name, kind, details}, in order, and do not overlap.
 * `about(box)` gives what is said of one, `format(value)` a value of the axis.
 */
class Chart {
  constructor(host, { rows, to, marks = [], hasAxis, role, about, note = "" }) {
    Object.assign(this, { host, rows, marks, hasAxis, about });
    this.whole = { from: 0, to: Math.max(to, 1) };
    this.view = this.whole;
    this.left = hasAxis ? LABELS : 0;
    this.wanted = "";
    this.onview = () => {};
    this.svg = drawn("svg", { role: "presentation" });
    this.plot = element("div", { class: "plot", role, tabindex: 0, "aria-label": host.dataset.label }, this.svg);
    this.cutNote = element("p", { class: "cut" });
    this.said = element("div", { class: "about", "aria-live": "polite" });
    this.tools = element("div", { class: "tools", role: "toolbar", "aria-label": "Zoom" });
    host.replaceChildren(this.tools, this.plot, this.said);
    this.note = note;
    host.hidden = false;
    this.current = this.firstBox();
    listen(this);
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  /** Shows other boxes in the same place. */
  show({ rows, to, about }) {
    Object.assign(this, { rows, about });
    this.whole = { from: 0, to: Math.max(to, 1) };
    this.current = this.firstBox();
    this.zoom(this.whole);
  }

  firstBox() {
    const row = this.rows.findIndex((candidate) => candidate.boxes.length > 0);
    return row < 0 ? undefined : { row, box: this.rows[row].boxes[0] };
  }

  /** Shows a stretch of the axis. */
  zoom({ from, to }) {
    const length = Math.min(Math.max(to - from, 1e-3), this.whole.to);
    const begin = Math.min(Math.max(from, 0), this.whole.to - length);
    this.view = { from: begin, to: begin + length };
    this.draw();
    this.onview(this.view);
  }

  /** Marks what has the text in its name, and counts it. */
  search(text) {
    this.wanted = text;
    this.draw();
    if (!text) return 0;
    return this.rows.reduce((sum, row) => sum + row.boxes.filter((box) => this.isFound(box)).length, 0);
  }

  isFound(box) {
    return box.name.toLowerCase().includes(this.wanted);
  }

  select(row, box) {
    this.current = { row, box };
    if (box.to <= this.view.from || box.from >= this.view.to) this.zoom(this.whole);
    this.draw();
    this.say(box);
  }

  /** Says what a box is. */
  say(box) {
    const [title, ...details] = this.about(box);
    const list = element("ul", {}, ...details.slice(0, 40).map((line) => element("li", {}, line)));
    this.said.replaceChildren(element("b", {}, box.name), ` ${title}`, ...(details.length ? [list] : []));
  }

  x(value) {
    const { from, to } = this.view;
    return this.left + ((value - from) / (to - from)) * this.width;
  }

  draw() {
    const full = Math.max(this.plot.clientWidth - 8, 300);
    this.width = full - this.left - 1;
    const top = this.hasAxis ? AXIS : 0;
    const height = top + this.rows.length * ROW + 1;
    this.svg.setAttribute("viewBox", `0 0 ${full} ${height}`);
    this.svg.setAttribute("height", height);
    this.narrow = 0;
    this.left_out = 0;
    this.count = 0;
    const parts = this.hasAxis ? this.drawAxis(height) : [];
    this.rows.forEach((row, index) => parts.push(...this.drawRow(row, index, top + index * ROW)));
    this.svg.replaceChildren(...parts);
    const active = this.svg.querySelector(".current");
    if (active) this.plot.setAttribute("aria-activedescendant", active.id);
    else this.plot.removeAttribute("aria-activedescendant");
    const narrow = this.narrow ? `${counted(this.narrow, "box is", "boxes are")} too narrow here: zoom in. ` : "";
    const left = this.left_out ? `${counted(this.left_out, "box is", "boxes are")} not drawn: zoom in. ` : "";
    this.cutNote.textContent = narrow + left + this.note;
  }

  drawAxis(height) {
    const { from, to } = this.view;
    const all = ticks(from, to, this.width / 110);
    const step = all.length > 1 ? all[1] - all[0] : to - from;
    const isFree = (at) => this.marks.every((mark) => Math.abs(this.x(mark.at) - this.x(at) - 50) > 100);
    const parts = all.flatMap((at) => [
      drawn("line", { class: "grid", x1: this.x(at), x2: this.x(at), y1: AXIS - 5, y2: height }),
      drawn("text", { class: "tick", x: this.x(at) + 3, y: 12 }, isFree(at) ? moment(at, step) : ""),
    ]);
    return [...parts, ...this.drawMarks(height)];
  }

  /** Moments with a name; names that have no room beside each other share one. */
  drawMarks(height) {
    const marks = this.marks.filter(({ at }) => at >= this.view.from && at <= this.view.to);
    return marks.flatMap(({ at, name }, index) => {
      const x = this.x(at);
      const title = drawn("title", {}, `${name} after ${time(at)}`);
      const line = drawn("line", { class: "mark", x1: x, x2: x, y1: 0, y2: height }, title);
      const next = marks[index + 1];
      if (next && this.x(next.at) - x < 60) return [line];
      const before = marks.slice(0, index).filter((mark) => x - this.x(mark.at) < 60);
      const names = [...before.map((mark) => mark.name), name].join(", ");
      return [line, drawn("text", { class: "mark", x: x - 4, y: 12, "text-anchor": "end" }, names)];
    });
  }

  drawRow(row, index, y) {
    const parts = [];
    if (this.left) {
      const label = cut(row.name, Math.floor((LABELS - 8) / CHARACTER));
      parts.push(drawn("text", { class: "lane", x: 0, y: y + 13 }, label));
    }
    const { boxes } = row;
    let narrow;
    const flush = () => {
      if (narrow) parts.push(this.drawNarrow(narrow, y));
      narrow = undefined;
    };
    for (let at = firstAfter(boxes, this.view.from); at < boxes.length && boxes[at].from < this.view.to; at++) {
      const box = boxes[at];
      const x = Math.max(this.x(box.from), this.left);
      const end = Math.min(this.x(box.to), this.left + this.width);
      const isCurrent = this.current?.box === box;
      if (end - x < NARROWEST && !isCurrent) {
        if (narrow && x - narrow.end < 1) {
          Object.assign(narrow, { end, count: narrow.count + 1, found: narrow.found || this.hit(box) });
        } else {
          flush();
          narrow = { x, end, count: 1, box, found: this.hit(box) };
        }
        continue;
      }
      flush();
      if (this.count >= MOST_BOXES) {
        this.left_out += 1;
        continue;
      }
      parts.push(this.drawBox(box, index, x, Math.max(end - x, NARROWEST), y, isCurrent));
    }
    flush();
    return parts;
  }

  hit(box) {
    return this.wanted !== "" && this.isFound(box);
  }

  /** Boxes that are too narrow to be told apart. */
  drawNarrow({ x, end, count, box, found }, y) {
    this.narrow += count;
    const title = drawn("title", {}, count === 1 ? box.name : `${count} boxes, too narrow here`);
    const width = Math.max(end - x, 0.6);
    return drawn("rect", { class: this.classes(`${box.kind} narrow`, found), x, y: y + 1, width, height: ROW - 2 }, title);
  }

  drawBox(box, row, x, width, y, isCurrent) {
    this.count += 1;
    const group = drawn("g", {
      id: `${this.host.id}-${this.count}`,
      class: this.classes(`box ${box.kind}${isCurrent ? " current" : ""}`, this.hit(box)),
      role: this.plot.getAttribute("role") === "tree" ? "treeitem" : "option",
      "aria-level": this.plot.getAttribute("role") === "tree" ? row + 1 : undefined,
      "aria-selected": isCurrent,
      "aria-label": `${box.name}, ${this.about(box)[0]}`,
    });
    group.box = { row, box };
    group.append(drawn("rect", { x, y: y + 0.5, width: Math.max(width - 0.5, 0.5), height: ROW - 1, rx: 1.5 }));
    const label = cut(printable(box.name), Math.floor((width - 6) / CHARACTER));
    if (label) group.append(drawn("text", { x: x + 3, y: y + 13 }, label));
    return group;
  }

  classes(own, found) {
    if (!this.wanted) return own;
    return `${own} ${found ? "found" : "dim"}`;
  }
}

/** The first box that ends after a value: their ends are in order, as their begins are. */
function firstAfter(boxes, value) {
  let [low, high] = [0, boxes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (boxes[middle].to > value) high = middle;
    else low = middle + 1;
  }
  return low;
}
