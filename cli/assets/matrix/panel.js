// The panel beside the matrix: why a cell is as it is, all about a workload, what is exposed.
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
  if (audited) parts.push(make("p", "", "An end is only audited: its policies are in audit mode and limit nothing yet."));
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

