// The cells and the heads of rows and columns.
// ---- Cells ----
const sums = new Map();
const unitsOf = (item) => item.unit ? [item.unit] : shownUnits(item.namespace);
// The ports that stand for a cell, how many pairs have any, and of how many. Ports of several pairs are a set of numbers.
function cellOf(row, column) {
  const from = items[row], to = items[column];
  if (from.open || to.open) return { kind: "gap" };
  if (from.outside && to.outside) return { kind: "self" };
  const key = row * items.length + column;
  if (!sums.has(key)) sums.set(key, sum(from, to));
  return sums.get(key);
}
function sum(from, to) {
  const ports = new Set();
  let open = 0, pairs = 0, audited = false;
  if (from.outside || to.outside) {
    const direction = from.outside ? INGRESS : EGRESS;
    for (const unit of unitsOf(from.outside ? to : from)) {
      pairs += 1;
      const passes = data.kinds[unit.kind][direction][2];
      if (passes.length) open += 1;
      for (const [, number] of passes) ports.add(number);
      audited = audited || isolation(unit, direction) === 1;
    }
  } else {
    for (const one of unitsOf(from)) {
      for (const other of unitsOf(to)) {
        const number = between(one.kind, other.kind);
        if (one === other && (number === NONE || (one.count === 1 && !one.name.includes("/") && !one.possible))) continue;
        pairs += 1;
        if (number === NONE) continue;
        open += 1;
        ports.add(number);
        audited = audited || isAudited(one, other);
      }
    }
  }
  if (pairs === 0) return { kind: "self" };
  const kind = open === 0 ? "denied" : ports.has(ALL) ? "all" : "ports";
  return { kind, ports: [...ports], open, pairs, audited: audited && open > 0 };
}
// A short text for a cell that is wide enough: one port, or how many.
function brief(cell) {
  if (cell.kind !== "ports" && cell.kind !== "all") return "";
  if (cell.open < cell.pairs) return Math.round(100 * cell.open / cell.pairs) + "%";
  if (cell.kind === "all") return "all";
  const text = data.ports[cell.ports[0]];
  const first = /\d+(-\d+)?/.exec(text);
  if (first && first[0].length > 5) return first[0].split("-")[0] + "…";
  const more = (text.match(/,|;/g) || []).length + (cell.ports.length - 1);
  return (first ? first[0] : "•") + (more ? "+" + more : "");
}
function described(row, column, cell) {
  const from = items[row], to = items[column];
  const what = cell.kind === "denied" ? "nothing" : cell.ports.map(portsText).slice(0, 3).join(" or ");
  const some = cell.pairs > 1 && cell.open && cell.open < cell.pairs ? ` (${cell.open} of ${cell.pairs} pairs)` : "";
  return `${from.label} to ${to.label}: ${what}${some}`;
}

// ---- Drawing: only what can be seen ----
function visible(start, length) {
  let first = 0;
  while (first < items.length - 1 && offsets[first + 1] <= start) first += 1;
  let last = first;
  while (last < items.length && offsets[last] < start + length) last += 1;
  return [Math.max(0, first - 1), Math.min(items.length, last + 1)];
}
const width = (at) => offsets[at + 1] - offsets[at];
function draw() {
  const head = headWidth(), total = offsets[items.length];
  space.style.width = head + total + 70 + "px";
  space.style.height = HEAD_HEIGHT + total + 8 + "px";
  const [firstRow, lastRow] = visible(grid.scrollTop, grid.clientHeight - HEAD_HEIGHT);
  const [firstColumn, lastColumn] = visible(grid.scrollLeft, grid.clientWidth - head);
  grid.setAttribute("aria-rowcount", items.length + 1);
  grid.setAttribute("aria-colcount", items.length + 1);
  const columns = make("div", "");
  columns.id = "cols";
  columns.style.cssText = `height:${HEAD_HEIGHT}px;width:${head + total + 70}px`;
  columns.setAttribute("role", "row");
  columns.setAttribute("aria-rowindex", 1);
  const corner = make("div", "", make("span", "", "from ↓"), make("span", "", "to →"));
  corner.id = "corner";
  corner.style.cssText = `width:${head}px;height:${HEAD_HEIGHT}px`;
  columns.append(corner);
  for (let column = firstColumn; column < lastColumn; column += 1) columns.append(columnHead(column, head));
  const rows = [];
  for (let row = firstRow; row < lastRow; row += 1) rows.push(drawRow(row, firstColumn, lastColumn, head, total));
  space.replaceChildren(columns, ...rows);
  if (picked) grid.setAttribute("aria-activedescendant", `c${picked[0]}-${picked[1]}`);
}
function classOf(item) {
  const could = item.unit && item.unit.possible ? " could" : "";
  return (item.namespace || item.outside ? "ns" : "unit") + could + (item.hit ? " hit" : "");
}
function columnHead(column, head) {
  const item = items[column];
  const label = make("span", classOf(item), (item.namespace ? (item.open ? "▾ " : "▸ ") : "") + item.label);
  label.title = item.id;
  const element = make("div", "col", label);
  element.style.cssText = `left:${head + offsets[column]}px;width:${width(column)}px;height:100%`;
  element.setAttribute("role", "columnheader");
  element.setAttribute("aria-colindex", column + 2);
  element.dataset.head = column;
  return element;
}
function drawRow(row, first, last, head, total) {
  const item = items[row];
  const element = make("div", "row");
  element.style.cssText = `top:${HEAD_HEIGHT + offsets[row]}px;height:${width(row)}px;width:${head + total}px`;
  element.setAttribute("role", "row");
  element.setAttribute("aria-rowindex", row + 2);
  const mark = item.namespace ? make("i", "", item.open ? "▾" : "▸") : null;
  const name = make("span", "name", item.label);
  name.title = item.id;
  const count = item.namespace && !item.open ? make("small", "", String(item.count))
    : item.unit && item.unit.count > 1 ? make("small", "", "×" + item.unit.count) : null;
  const heading = make("div", "head " + classOf(item), mark, name, count, dotOf(item));
  heading.style.width = head + "px";
  heading.setAttribute("role", "rowheader");
  if (item.namespace) heading.setAttribute("aria-expanded", item.open);
  heading.dataset.head = row;
  element.append(heading);
  for (let column = first; column < last; column += 1) element.append(drawCell(row, column, head));
  return element;
}
function dotOf(item) {
  if (!item.unit) return null;
  const state = isolation(item.unit, INGRESS);
  const dot = make("b", "dot" + [" open", " audit", ""][state]);
  dot.title = ["nothing limits what it receives", "what it receives is audited", "what it receives is limited"][state];
  return dot;
}
function drawCell(row, column, head) {
  const cell = cellOf(row, column);
  const element = make("div", "cell " + cell.kind);
  const wide = width(column);
  element.style.left = head + offsets[column] + 1 + "px";
  element.style.width = wide - 2 + "px";
  element.id = `c${row}-${column}`;
  element.setAttribute("role", "gridcell");
  element.setAttribute("aria-colindex", column + 2);
  if (cell.kind === "gap") { element.setAttribute("aria-hidden", "true"); return element; }
  if (wide > 30) element.classList.add("wide");
  if (cell.audited) element.classList.add("audited");
  if (cell.open && cell.open < cell.pairs) {
    element.classList.add("mixed");
    element.style.setProperty("--rest", 0.78 - 0.7 * cell.open / cell.pairs);
  }
  if (cell.kind !== "self") {
    const text = described(row, column, cell);
    element.title = text;
    element.setAttribute("aria-label", text);
    element.dataset.cell = row + "-" + column;
    if (wide >= 34 && width(row) >= 18) {
      const text = brief(cell);
      element.append(make("b", text.length > 5 ? "long" : "", text));
    }
  } else element.setAttribute("aria-label", items[row].label + " itself");
  if (picked && picked[0] === row && picked[1] === column) element.classList.add("here");
  return element;
}

