// The page of `nopal matrix --format html`. It looks up what nopal computed and decides nothing itself.
// Names come from manifests that nobody vouches for: they reach the page as text nodes only.
"use strict";
(() => {
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

  // ---- The panel ----
  const link = (text, act) => {
    const button = make("button", "link", text);
    button.type = "button";
    button.addEventListener("click", act);
    return button;
  };
  const place = (policy, direction, rule) => {
    const [, file, line, , lines] = data.policies[policy];
    const at = rule === undefined ? line : lines[direction][rule] || line;
    return make("span", "where", at ? `${file}:${at}` : file);
  };
  const word = (direction) => direction === INGRESS ? "ingress" : "egress";
  const tag = (unit, direction) => make("span", "tag " + ["open", "audit", ""][isolation(unit, direction)],
    ["not isolated", "audited", "isolated"][isolation(unit, direction)]);

  function explainCell(from, to) {
    if (from.outside || to.outside) return explainOutside(from.outside ? to : from, from.outside ? INGRESS : EGRESS);
    if (from.isNamespace || to.isNamespace) return explainMany(from, to);
    const number = between(from.kind, to.kind);
    const audited = number !== NONE && isAudited(from, to);
    const style = number === NONE ? " no" : audited ? " audit" : number === ALL ? " everything" : "";
    const verdict = number === NONE ? "denied" : number === ALL ? "everything passes" : "allowed: " + data.ports[number];
    const parts = [
      make("h2", "", link(from.id, () => showUnit(from)), " → ", link(to.id, () => showUnit(to))),
      make("span", "verdict" + style, verdict),
    ];
    if (audited) parts.push(make("p", "", "Passes whatever the rules say: policies that would limit it are in audit mode."));
    const sides = [side(from, to, EGRESS), side(to, from, INGRESS)];
    if (number === NONE) {
      const closed = [sides[0].admits ? null : `${from.id} may not open it`, sides[1].admits ? null : `${to.id} does not accept it`];
      const said = closed.filter((each) => each !== null);
      parts.push(make("p", "", said.length ? "Denied because " + said.join(", and ") + "." : "Denied because no port is admitted at both ends."));
    } else if (number === ALL && !(sides[0].admits && sides[1].admits)) {
      parts.push(make("p", "", "Passes whatever policies say: they share an address, or one of them is the other's node."));
    }
    for (const each of sides) parts.push(...each.parts);
    const probe = /(TCP|UDP|SCTP) (\d+)/.exec(data.ports[number]);
    const port = probe ? `${probe[2]}/${probe[1]}` : "80/TCP";
    if (!from.possible && !to.possible) {
      const named = (unit) => unit.name.includes(" ") || unit.count > 1 ? null : unit.id;
      if (named(from) && named(to)) parts.push(make("h3", "", "More"), make("pre", "", `nopal explain PATHS --from ${from.id} --to ${to.id} --port ${port}`));
    }
    return parts;
  }
  // What one end says: the policies that isolate it, and each rule with what it admits.
  function side(unit, peer, direction) {
    const parts = [make("h3", "", `${word(direction)} of ${unit.id}`), tag(unit, direction)];
    const [state, isolating] = data.kinds[unit.kind][direction];
    const [, , subject, contested] = data.kinds[unit.kind];
    if (contested) {
      parts.push(make("p", "", "Several live pods claim its address, so nobody can tell whose policies hold: nothing passes."));
      return { parts, admits: false };
    }
    if (state === 0) {
      parts.push(make("p", "", `No policy isolates it for ${word(direction)}: nothing is limited here.`));
      return { parts, admits: true };
    }
    const grants = subject === null ? [] : data.subjects[subject][direction];
    const admitting = grants.filter((grant) => grant[1] < 0 || inRanges(data.peers[grant[1]], peer.kind));
    const others = grants.filter((grant) => !admitting.includes(grant));
    if (admitting.length) parts.push(make("p", "", "Admitted by:"), ruleList(admitting, direction));
    else parts.push(make("p", "", state === 1 ? "No rule admits it; it is only audited." : "No rule admits it. Isolated by:"), policyList(isolating));
    if (others.length) {
      parts.push(make("details", "", make("summary", "", `${others.length} ${others.length === 1 ? "rule is" : "rules are"} for others`), ruleList(others, direction, true)));
    }
    return { parts, admits: admitting.length > 0 || state === 1 };
  }
  function ruleList(grants, direction, withPeers) {
    const list = make("ul", "rules");
    for (const [ports, peers, blocks, rules] of grants) {
      for (let at = 0; at < rules.length; at += 2) {
        const [policy, rule] = [rules[at], rules[at + 1]];
        const whom = peers < 0 ? "everyone" : withPeers ? peerNames(peers, blocks) : null;
        list.append(make("li", "", make("b", "", `${data.policies[policy][0]} ${word(direction)}[${rule}]`), ": ",
          portsText(ports), whom ? ` ${direction === INGRESS ? "from" : "to"} ${whom}` : null, place(policy, direction, rule)));
      }
    }
    return list;
  }
  function peerNames(peers, blocks) {
    const names = units.filter((unit) => inRanges(data.peers[peers], unit.kind)).map((unit) => unit.id);
    const shown = names.slice(0, 4);
    if (names.length > 4) shown.push(`${names.length - 4} more`);
    if (blocks >= 0) shown.push(data.addresses[blocks]);
    return shown.join(", ") || "no pod of the input";
  }
  function policyList(policies) {
    const list = make("ul", "policies");
    for (const policy of policies) list.append(make("li", "", make("b", "", data.policies[policy][0]), place(policy)));
    return list;
  }
  function explainOutside(peer, direction) {
    const whom = peer.isNamespace ? shownUnits(peer.of) : [peer];
    const title = direction === INGRESS ? ["Other addresses → ", peer.id] : [peer.id, " → other addresses"];
    const parts = [make("h2", "", ...title), make("p", "", "Addresses that are no pod's: the internet, nodes, machines beside the cluster.")];
    for (const unit of whom) {
      const passes = data.kinds[unit.kind][direction][2];
      if (whom.length > 1 && passes.length === 0) continue;
      parts.push(make("h3", "", link(unit.id, () => showUnit(unit))), outsideList(passes));
      if (whom.length === 1) parts.push(...outsideRules(unit, direction));
    }
    if (parts.length === 2) parts.push(make("span", "verdict no", "nothing passes"));
    return parts;
  }
  function outsideRules(unit, direction) {
    const [state, isolating] = data.kinds[unit.kind][direction];
    const subject = data.kinds[unit.kind][2];
    if (state === 0 || subject === null) return [make("p", "", `No policy isolates it for ${word(direction)}.`)];
    const grants = data.subjects[subject][direction].filter((grant) => grant[1] < 0 || grant[2] >= 0);
    return grants.length ? [make("p", "", "Admitted by:"), ruleList(grants, direction, true)] : [make("p", "", "No rule names addresses. Isolated by:"), policyList(isolating)];
  }
  function outsideList(passes) {
    if (passes.length === 0) return make("p", "", make("span", "verdict no", "nothing passes"));
    const list = make("ul", "");
    for (const [addresses, ports] of passes) list.append(make("li", "", make("b", "", portsText(ports)), " ", data.addresses[addresses]));
    return list;
  }
  function explainMany(from, to) {
    const one = from.isNamespace ? shownUnits(from.of) : [from], other = to.isNamespace ? shownUnits(to.of) : [to];
    const found = new Map();
    let pairs = 0, open = 0;
    for (const source of one) {
      for (const target of other) {
        const number = between(source.kind, target.kind);
        if (source === target && number === NONE) continue;
        pairs += 1;
        if (number === NONE) continue;
        open += 1;
        if (!found.has(number)) found.set(number, []);
        found.get(number).push([source, target]);
      }
    }
    const parts = [make("h2", "", `${from.id} → ${to.id}`),
      make("span", "verdict" + (open ? "" : " no"), open ? `${open} of ${pairs} pairs open` : "denied")];
    for (const [number, list] of [...found].sort((a, b) => b[1].length - a[1].length)) {
      parts.push(make("h3", "", portsText(number)));
      const shown = make("ul", "pairs");
      for (const [source, target] of list.slice(0, 12)) {
        shown.append(make("li", "", link(`${source.id} → ${target.id}`, () => showCell(source, target))));
      }
      if (list.length > 12) shown.append(make("li", "", `and ${list.length - 12} more`));
      parts.push(shown);
    }
    return parts;
  }
  function explainUnit(unit) {
    if (unit.isNamespace) return explainMany(unit, unit);
    const parts = [make("h2", "", unit.id)];
    if (unit.possible) parts.push(make("p", "", "No object of the input: it stands for pods that policies speak of, or that anybody may start."));
    if (unit.count > 1) parts.push(make("p", "", `${unit.count} pods that policies treat alike.`));
    for (const direction of [INGRESS, EGRESS]) {
      parts.push(make("h3", "", word(direction)), tag(unit, direction));
      const [state, isolating, outside] = data.kinds[unit.kind][direction];
      if (state) parts.push(policyList(isolating));
      parts.push(make("p", "", direction === INGRESS ? "From other addresses:" : "To other addresses:"), outsideList(outside));
      const unknown = byId.get(ELSEWHERE + "/" + ELSEWHERE);
      if (unknown && unit !== unknown) {
        const number = direction === INGRESS ? between(unknown.kind, unit.kind) : between(unit.kind, unknown.kind);
        parts.push(make("p", "", direction === INGRESS ? "From unknown pods: " : "To unknown pods: ", make("b", "", number === NONE ? "nothing" : portsText(number))));
      }
      const peers = units.filter((peer) => !peer.possible && peer !== unit)
        .map((peer) => [peer, direction === INGRESS ? between(peer.kind, unit.kind) : between(unit.kind, peer.kind)])
        .filter(([, number]) => number !== NONE);
      const list = make("ul", "pairs");
      for (const [peer, number] of peers.slice(0, 8)) {
        list.append(make("li", "", link(peer.id, () => direction === INGRESS ? showCell(peer, unit) : showCell(unit, peer)), " " + portsText(number)));
      }
      if (peers.length > 8) list.append(make("li", "", `and ${peers.length - 8} more`));
      parts.push(make("details", "", make("summary", "", `${peers.length} ${direction === INGRESS ? "workloads may reach it" : "workloads it may reach"}`), list));
    }
    return parts;
  }
  function overview() {
    const known = units.filter((unit) => !unit.possible);
    const unknown = byId.get(ELSEWHERE + "/" + ELSEWHERE);
    const lists = [
      ["Reachable from any address", known.filter((unit) => data.kinds[unit.kind][INGRESS][2].some(([at]) => data.addresses[at].startsWith("any ")))],
      ["Reachable from unknown pods", unknown ? known.filter((unit) => between(unknown.kind, unit.kind) !== NONE) : []],
      ["May connect to any address", known.filter((unit) => data.kinds[unit.kind][EGRESS][2].some(([at]) => data.addresses[at].startsWith("any ")))],
      ["Not isolated for ingress", known.filter((unit) => isolation(unit, INGRESS) === 0)],
      ["Not isolated for egress", known.filter((unit) => isolation(unit, EGRESS) === 0)],
    ];
    const parts = [make("h2", "", "Exposure"), make("p", "", "Click on a cell to see which rules decide, or on a name for all about it.")];
    for (const [title, list] of lists) {
      const names = make("ul", "");
      for (const unit of list.slice(0, 200)) names.append(make("li", "", link(unit.id, () => showUnit(unit))));
      if (list.length > 200) names.append(make("li", "", `and ${list.length - 200} more`));
      parts.push(make("h3", "", title), list.length
        ? make("details", "", make("summary", "", `${list.length} of ${known.length} workloads`), names) : make("p", "", "none"));
    }
    return parts;
  }
  function fillPanel() {
    panel.replaceChildren(...(state.cell ? explainCell(...state.cell) : state.unit ? explainUnit(state.unit) : overview()));
    panel.scrollTop = 0;
  }

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
    const entries = [["denied", "nothing passes"], ["ports", "some ports"], ["all", "everything"], ["ports audited", "audited only"]];
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
})();
