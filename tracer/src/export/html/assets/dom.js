// The report's lines, and how parts of the page are made. Text from the report is only ever put in as text.

/** The lines of the NDJSON report, by their type. */
const linesByType = new Map();
for (const line of JSON.parse(document.getElementById("data").textContent)) {
  if (!linesByType.has(line.type)) linesByType.set(line.type, []);
  linesByType.get(line.type).push(line);
}

/** All lines of a type. */
function told(type) {
  return linesByType.get(type) ?? [];
}

/** Text as it may be shown: what would turn its direction around, or show nothing, is shown by its number. */
function printable(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u{${character.charCodeAt(0).toString(16)}}`;
  });
}

/** An element of the page. */
function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** An element of a drawing. */
function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(made, attributes, children) {
  const shown = (value) => (typeof value === "string" ? printable(value) : value);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) made.setAttribute(key, shown(value));
  }
  made.append(...children.map(shown));
  return made;
}

/** A name with a cut where there is no room for all of it. */
function cut(name, characters) {
  if (name.length <= characters) return name;
  return characters < 3 ? "" : `${name.slice(0, characters - 1)}…`;
}
