// The page of `nopal matrix --format html`. It looks up what nopal computed and decides nothing itself.
// Names come from manifests that nobody vouches for: they reach the page as text nodes only.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const NONE = 0, ALL = 1, INGRESS = 0, EGRESS = 1;
const ELSEWHERE = "[other]";
const find = (id) => document.getElementById(id);
const grid = find("grid"), space = find("space"), panel = find("panel");

// An element with text and children. Text is never read as HTML.
function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// ---- What the data says ----
const units = data.units.map(([namespace, name, kind, count, possible], index) => ({
  index, name, kind, count, possible: possible === 1, namespace,
  id: data.namespaces[namespace] + "/" + name,
  elsewhere: data.namespaces[namespace] === ELSEWHERE,
}));
const namespaces = data.namespaces.map((name, index) => ({
  index, name, elsewhere: name === ELSEWHERE, units: units.filter((unit) => unit.namespace === index),
}));
for (const namespace of namespaces) namespace.could = namespace.units.every((unit) => unit.possible);
// The kind of a workload says little where names are unique without it.
for (const namespace of namespaces) {
  const short = (unit) => unit.name.startsWith("[") ? unit.name : unit.name.slice(unit.name.indexOf("/") + 1);
  const counts = new Map();
  for (const unit of namespace.units) counts.set(short(unit), (counts.get(short(unit)) || 0) + 1);
  for (const unit of namespace.units) unit.label = counts.get(short(unit)) === 1 ? short(unit) : unit.name;
}
const byId = new Map(units.map((unit) => [unit.id, unit]));
const isolation = (unit, direction) => data.kinds[unit.kind][direction][0];
const isAudited = (from, to) => isolation(from, EGRESS) === 1 || isolation(to, INGRESS) === 1;
const portsText = (number) => data.ports[number] === "all" ? "everything" : data.ports[number];

// What may flow between two kinds: a binary search in the runs of a row.
function between(from, to) {
  const row = data.rows[from];
  let low = 0, high = row.length / 3;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (row[3 * middle] + row[3 * middle + 1] <= to) low = middle + 1; else high = middle;
  }
  return low * 3 < row.length && row[3 * low] <= to ? row[3 * low + 2] : NONE;
}

function inRanges(ranges, kind) {
  for (let at = 0; at < ranges.length; at += 2) {
    if (kind < ranges[at]) return false;
    if (kind < ranges[at] + ranges[at + 1]) return true;
  }
  return false;
}

// ---- What is looked at: kept in the address, so that a view can be passed on ----
const state = { search: "", open: null, cell: null, unit: null, zoom: null, theme: null, could: false };
function readAddress() {
  const written = new URLSearchParams(location.hash.slice(1));
  state.search = written.get("search") || "";
  const open = written.get("open");
  state.open = open === null ? initiallyOpen() : open === "*" ? new Set(namespaces.map((each) => each.index))
    : new Set(open.split(",").map((name) => data.namespaces.indexOf(name)).filter((at) => at >= 0));
  const [from, to] = (written.get("cell") || "").split(">");
  state.cell = from && to ? [end(from), end(to)] : null;
  if (state.cell && !(state.cell[0] && state.cell[1])) state.cell = null;
  state.unit = end(written.get("unit") || "");
  const zoom = Number(written.get("zoom"));
  state.zoom = zoom >= 8 && zoom <= 64 ? zoom : null;
  state.theme = ["dark", "light"].includes(written.get("theme")) ? written.get("theme") : null;
  state.could = written.get("could") === "1";
}
function writeAddress() {
  const written = new URLSearchParams();
  if (state.search) written.set("search", state.search);
  if (state.openChanged) {
    const own = namespaces.filter((each) => !each.elsewhere), opened = own.filter((each) => state.open.has(each.index));
    written.set("open", opened.length === own.length ? "*" : opened.map((each) => each.name).join(","));
  }
  if (state.cell) written.set("cell", state.cell.map((each) => each.id).join(">"));
  if (state.unit) written.set("unit", state.unit.id);
  if (state.zoom) written.set("zoom", state.zoom);
  if (state.theme) written.set("theme", state.theme);
  if (state.could) written.set("could", "1");
  const text = written.toString();
  history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
}
const OUTSIDE = { id: "outside", outside: true, name: "Other addresses" };
function end(id) {
  if (id === OUTSIDE.id) return OUTSIDE;
  return byId.get(id) || namespaceOf(id) || null;
}
const namespaceOf = (name) => {
  const found = namespaces.find((each) => each.name === name);
  return found ? asNamespace(found) : null;
};
const asNamespace = (namespace) => ({ id: namespace.name, isNamespace: true, of: namespace, name: namespace.name });
function initiallyOpen() {
  const known = units.filter((unit) => !unit.possible).length;
  return new Set(known <= 60 ? namespaces.map((each) => each.index) : []);
}

// ---- What stands on the axes ----
let items = [], offsets = [], size = 24, picked = null;
const shownUnits = (namespace) => namespace.units.filter((unit) => !unit.possible || state.could || namespace.elsewhere);
function layOut() {
  items = [{ outside: true, id: OUTSIDE.id, label: "Other addresses", end: OUTSIDE }];
  const ordered = [...namespaces].sort((one, other) => Number(other.elsewhere) - Number(one.elsewhere));
  for (const namespace of ordered) {
    const own = shownUnits(namespace);
    if (namespace.elsewhere) {
      for (const unit of own) {
        const label = unit.name === ELSEWHERE ? "Unknown pods" : "Unknown " + unit.name;
        if (unit.name === ELSEWHERE || state.could) items.push({ unit, id: unit.id, label, end: unit });
      }
      continue;
    }
    if (own.length === 0) continue;
    const open = state.open.has(namespace.index);
    items.push({ namespace, open, count: own.length, id: namespace.name, label: namespace.name, end: asNamespace(namespace) });
    if (open) for (const unit of own) items.push({ unit, id: unit.id, label: unit.label, end: unit });
  }
  const wanted = state.search.toLowerCase();
  for (const item of items) item.hit = wanted !== "" && item.id.toLowerCase().includes(wanted);
  const room = Math.max(200, grid.clientWidth - headWidth() - 70);
  size = state.zoom || Math.max(14, Math.min(46, Math.floor(room / items.length)));
  offsets = [];
  space.classList.toggle("dense", size < 18);
  let at = 0;
  for (const item of items) {
    offsets.push(at);
    at += item.open ? Math.max(14, Math.min(26, size)) : Math.max(size, 14);
  }
  offsets.push(at);
  sums.clear();
}
const headWidth = () => grid.clientWidth < 520 ? 132 : 230;
const HEAD_HEIGHT = 138;

