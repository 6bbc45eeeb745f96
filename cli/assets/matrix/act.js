// Clicks, keys and the start.
// ---- What people do ----
function refresh() {
  document.documentElement.dataset.theme = state.theme || "";
  const dark = state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  find("theme").textContent = dark ? "Light" : "Dark";
  find("could").checked = state.could;
  if (find("search").value !== state.search) find("search").value = state.search;
  layOut();
  if (state.cell) {
    const rows = state.cell.map((each) => items.findIndex((item) => item.id === each.id));
    picked = rows[0] >= 0 && rows[1] >= 0 ? rows : null;
  }
  const hits = items.filter((item) => item.hit).length;
  find("hits").textContent = state.search ? `${hits} found` : "";
  draw();
  fillPanel();
  writeAddress();
}
function open(namespace, isOpen) {
  if (isOpen) state.open.add(namespace.index); else state.open.delete(namespace.index);
  state.openChanged = true;
  picked = null;
}
function reveal(each) {
  if (each.namespace !== undefined && !each.elsewhere) {
    if (!state.open.has(each.namespace)) open(namespaces[each.namespace], true);
    if (each.possible) state.could = true;
  }
}
function showCell(from, to) {
  reveal(from);
  reveal(to);
  Object.assign(state, { cell: [from, to], unit: null });
  refresh();
  keepInView();
}
function showUnit(unit) {
  reveal(unit);
  Object.assign(state, { cell: null, unit });
  picked = null;
  refresh();
}
function actOnHead(at) {
  const item = items[at];
  if (item.namespace) { open(item.namespace, !item.open); state.cell = null; state.unit = null; refresh(); } else if (item.unit) showUnit(item.unit);
}
function keepInView() {
  if (!picked) return;
  const [row, column] = picked, head = headWidth();
  const box = [offsets[column], offsets[column + 1], offsets[row], offsets[row + 1]];
  const room = [grid.clientWidth - head, grid.clientHeight - HEAD_HEIGHT];
  if (box[0] < grid.scrollLeft) grid.scrollLeft = box[0];
  if (box[1] > grid.scrollLeft + room[0]) grid.scrollLeft = box[1] - room[0] + 8;
  if (box[2] < grid.scrollTop) grid.scrollTop = box[2];
  if (box[3] > grid.scrollTop + room[1]) grid.scrollTop = box[3] - room[1] + 8;
  draw();
}
function search(text) {
  state.search = text;
  const wanted = text.toLowerCase();
  if (wanted) {
    for (const namespace of namespaces) {
      if (namespace.units.some((unit) => !unit.possible && unit.name.toLowerCase().includes(wanted))) open(namespace, true);
    }
  }
  refresh();
  const first = items.findIndex((item) => item.hit);
  if (first >= 0) {
    grid.scrollTop = Math.max(0, offsets[first] - 60);
    grid.scrollLeft = Math.max(0, offsets[first] - 60);
    draw();
  }
}
space.addEventListener("click", (event) => {
  const cell = event.target.closest("[data-cell]"), head = event.target.closest("[data-head]");
  if (cell) {
    const [row, column] = cell.dataset.cell.split("-").map(Number);
    picked = [row, column];
    Object.assign(state, { cell: [items[row].end, items[column].end], unit: null });
    refresh();
  } else if (head) actOnHead(Number(head.dataset.head));
});
const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
grid.addEventListener("keydown", (event) => {
  const move = step[event.key];
  if (move) {
    picked = picked || [0, 0];
    picked = picked.map((at, axis) => Math.max(0, Math.min(items.length - 1, at + move[axis])));
    keepInView();
  } else if (event.key === "Enter" || event.key === " ") {
    if (!picked) return;
    const [row, column] = picked;
    if (items[row].open || items[column].open) actOnHead(items[row].open ? row : column);
    else if (cellOf(row, column).kind !== "self") { Object.assign(state, { cell: [items[row].end, items[column].end], unit: null }); refresh(); }
  } else if (event.key === "o" && picked) {
    const target = items[picked[0]].namespace ? picked[0] : picked[1];
    actOnHead(target);
  } else if (event.key === "Escape") {
    Object.assign(state, { cell: null, unit: null });
    picked = null;
    refresh();
  } else if (event.key === "Home") { picked = [0, 0]; keepInView(); }
  else if (event.key === "End") { picked = [items.length - 1, items.length - 1]; keepInView(); }
  else return;
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT") return;
  if (event.key === "/") { find("search").focus(); event.preventDefault(); }
  if (event.key === "+") zoom(4);
  if (event.key === "-") zoom(-4);
});
const zoom = (by) => { state.zoom = Math.max(8, Math.min(64, size + by)); refresh(); };
find("in").addEventListener("click", () => zoom(4));
find("out").addEventListener("click", () => zoom(-4));
find("expand").addEventListener("click", () => { namespaces.forEach((each) => open(each, true)); refresh(); });
find("collapse").addEventListener("click", () => { namespaces.forEach((each) => open(each, false)); Object.assign(state, { cell: null, unit: null }); refresh(); });
find("could").addEventListener("change", (event) => { state.could = event.target.checked; picked = null; refresh(); });
find("theme").addEventListener("click", () => {
  const dark = state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  state.theme = dark ? "light" : "dark";
  refresh();
});
find("search").addEventListener("input", (event) => search(event.target.value));
let waiting = false;
const later = (act) => () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; act(); });
};
grid.addEventListener("scroll", later(draw));
addEventListener("resize", later(refresh));
addEventListener("hashchange", () => { readAddress(); refresh(); });

function legend() {
  const entries = [["denied", "nothing passes"], ["ports", "some ports"], ["all", "everything"], ["ports audited", "an end is audited"]];
  find("legend").append(...entries.map(([style, text]) => make("li", "", make("i", style), text)),
    make("li", "", make("b", "dot"), "ingress limited"), make("li", "", make("b", "dot open"), "ingress open"));
}
const plural = (count, name, names) => `${count.toLocaleString("en")} ${count === 1 ? name : names || name + "s"}`;
const known = units.filter((unit) => !unit.possible);
const inhabited = new Set(known.map((unit) => unit.namespace)).size;
find("summary").textContent = [plural(known.length, "workload"), plural(inhabited, "namespace"), plural(data.policies.length, "policy", "policies")].join(" · ");
legend();
readAddress();
for (const each of state.cell || [state.unit]) if (each) reveal(each);
if (state.search) search(state.search); else { refresh(); keepInView(); }
document.documentElement.dataset.ready = "yes";
