//! A demonstration for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use policy_core::{FlowPort, PortSet, Verdict};
use serde_json::{Value, json};

use super::counted;
use super::demo_matrix::{self, Style};
use crate::demo::{Cast, Disagreement, Kind, Outcome, Plan, SwitchedBridge, Trial};

/// At most so many lines tell which ports are open, and which disagreements there are; JSON has them all.
const MOST_LINES: usize = 40;

/// At most so many names stand in one line.
const MOST_NAMES: usize = 4;

/// Longer lines are broken.
const WIDTH: usize = 80;

/// The demonstration for people.
pub fn text(cast: &Cast, plan: &Plan, outcome: &Outcome, is_colored: bool) -> String {
    let style = Style::new(is_colored);
    let mut text = roles(cast);
    text += &tried_ports(plan);
    text.push('\n');
    text += &demo_matrix::matrix(cast, plan, outcome, style);
    text.push('\n');
    text += &open_ports(cast, plan, outcome);
    for left_out in &cast.left_out {
        text += &wrapped(&format!("left out: {}: {}", left_out.what, left_out.why));
    }
    if plan.trials.len() < plan.total {
        let (tried, total) = (plan.trials.len(), plan.total);
        let _ = writeln!(
            text,
            "tried: {tried} of {total} flows, an even sample; --probes changes that"
        );
    }
    let audited = audited(plan);
    if audited > 0 {
        let flows = counted(audited, "flow");
        let _ = writeln!(
            text,
            "{flows} would be denied by policies in audit mode, and must pass"
        );
    }
    let (agree, disagree) = counts(plan, outcome);
    let summary = format!(
        "{}, {}, {agree} agree, {disagree} disagree",
        counted(cast.pod_count(), "pod"),
        counted(plan.trials.len(), "probe"),
    );
    let summary = if disagree == 0 {
        style.good(&summary)
    } else {
        style.bad(&summary)
    };
    let _ = writeln!(text, "{summary}");
    for disagreement in outcome.disagreements.iter().take(MOST_LINES) {
        text += &disagreement_text(cast, plan, outcome, disagreement, style);
    }
    if disagree > MOST_LINES {
        let more = disagree - MOST_LINES;
        let _ = writeln!(
            text,
            "and {more} more disagreements; --format json lists all"
        );
    }
    text
}

/// Which bridges had to be switched, for people.
pub fn switched(bridges: &[SwitchedBridge]) -> String {
    let line = |SwitchedBridge { node, bridge }: &SwitchedBridge| {
        wrapped(&format!(
            "{node}: the bridge {bridge} passed packets between its pods to no rule; it calls netfilter now"
        ))
    };
    bridges.iter().map(line).collect()
}

/// The demonstration for programs.
pub fn json(cast: &Cast, plan: &Plan, outcome: &Outcome) -> Value {
    let (agree, _) = counts(plan, outcome);
    let disagree = outcome.disagreements.iter().map(|disagreement| {
        let trial = &plan.trials[disagreement.trial];
        let (port, protocol) = match trial.flow.port {
            FlowPort::Port(protocol, port) => (Some(port), protocol.to_string()),
            FlowPort::Other => (None, "ICMP".to_owned()),
        };
        json!({
            "from": cast.endpoints[trial.from].name,
            "to": cast.endpoints[trial.to].name,
            "port": port,
            "protocol": protocol,
            "family": family(trial),
            "expect": trial.expect.to_string(),
            "seen": outcome.seen[disagreement.trial].to_string(),
        })
    });
    let mut value = json!({
        "pods": cast.pod_count(),
        "probes": plan.trials.len(),
        "agree": agree,
        "disagree": disagree.collect::<Vec<_>>(),
    });
    if audited(plan) > 0 {
        value["audited"] = json!(audited(plan));
    }
    value
}

/// How many flows are expected to pass only because policies are in audit mode.
fn audited(plan: &Plan) -> usize {
    plan.trials.iter().filter(|trial| trial.is_audited).count()
}

fn counts(plan: &Plan, outcome: &Outcome) -> (usize, usize) {
    let disagree = outcome.disagreements.len();
    (plan.trials.len() - disagree, disagree)
}

/// Which pods run where.
fn roles(cast: &Cast) -> String {
    let mut pods: BTreeMap<&str, usize> = BTreeMap::new();
    for endpoint in &cast.endpoints {
        if let Kind::Pod { node } = &endpoint.kind {
            *pods.entry(node.as_str()).or_default() += 1;
        }
    }
    let mut text = String::new();
    for endpoint in &cast.endpoints {
        let Kind::Node { host_network } = &endpoint.kind else {
            continue;
        };
        let count = pods.get(endpoint.name.as_str()).copied().unwrap_or(0);
        let mut line = format!("{}: {}", endpoint.name, counted(count, "pod"));
        if !host_network.is_empty() {
            let names = names(host_network.iter().map(String::as_str));
            let _ = write!(line, ", and on its own network {names}");
        }
        text += &wrapped(&line);
    }
    text
}

/// On which ports every pair was tried.
fn tried_ports(plan: &Plan) -> String {
    let has = |is_v4| {
        let mut sources = plan.trials.iter().map(|trial| trial.flow.from);
        sources.any(|source| source.is_ipv4() == is_v4)
    };
    let families = match (has(true), has(false)) {
        (true, true) => "IPv4 and IPv6",
        (true, false) => "IPv4",
        (false, _) => "IPv6",
    };
    let with_number = plan.ports.iter().filter_map(|port| match port {
        FlowPort::Port(protocol, port) => Some((*protocol, *port, *port)),
        FlowPort::Other => None,
    });
    let ports: PortSet = with_number.collect();
    let ports = ports.to_string().replace(',', ", ");
    wrapped(&format!("tried over {families}: {ports}; ICMP"))
}

/// Whom the matrix shows as partly open, with what got through.
fn open_ports(cast: &Cast, plan: &Plan, outcome: &Outcome) -> String {
    let mut tried: BTreeMap<(usize, usize), (usize, Vec<FlowPort>)> = BTreeMap::new();
    for (trial, seen) in plan.trials.iter().zip(&outcome.seen) {
        let (count, open) = tried.entry((trial.to, trial.from)).or_default();
        *count += 1;
        if *seen == Verdict::Allow {
            open.push(trial.flow.port);
        }
    }
    let mut lines: BTreeMap<(usize, Vec<FlowPort>), Vec<&str>> = BTreeMap::new();
    for ((to, from), (count, mut open)) in tried {
        if open.is_empty() || open.len() == count {
            continue;
        }
        open.sort_unstable();
        open.dedup();
        let from = cast.endpoints[from].name.as_str();
        lines.entry((to, open)).or_default().push(from);
    }
    let mut text = String::new();
    for ((to, ports), from) in lines.iter().take(MOST_LINES) {
        let ports: Vec<String> = ports.iter().map(|port| port_name(*port)).collect();
        let (to, from) = (&cast.endpoints[*to].name, names(from.iter().copied()));
        text += &wrapped(&format!("{to} on {} from {from}", ports.join(", ")));
    }
    if lines.len() > MOST_LINES {
        let _ = writeln!(text, "and {} more such lines", lines.len() - MOST_LINES);
    }
    if !text.is_empty() {
        text = format!("Partly open:\n{text}\n");
    }
    text
}

fn disagreement_text(
    cast: &Cast,
    plan: &Plan,
    outcome: &Outcome,
    disagreement: &Disagreement,
    style: Style,
) -> String {
    let trial = &plan.trials[disagreement.trial];
    let (from, to) = (&cast.endpoints[trial.from], &cast.endpoints[trial.to]);
    let mut text = format!(
        "{}  {} -> {} {} {}: expected {}, seen {}\n",
        style.bad("WRONG"),
        from.name,
        to.name,
        port_name(trial.flow.port),
        family(trial),
        trial.expect,
        outcome.seen[disagreement.trial],
    );
    for because in &disagreement.because {
        let _ = writeln!(text, "       expected because {because}");
    }
    text
}

fn port_name(port: FlowPort) -> String {
    match port {
        FlowPort::Other => "ICMP".to_owned(),
        FlowPort::Port(..) => port.to_string(),
    }
}

fn family(trial: &Trial) -> &'static str {
    if trial.flow.from.is_ipv4() {
        "IPv4"
    } else {
        "IPv6"
    }
}

fn names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MOST_NAMES);
    let shown: Vec<&str> = names.take(MOST_NAMES).collect();
    let shown = shown.join(", ");
    if more == 0 {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}

/// The line, broken between words where it gets too long, with what follows set in.
fn wrapped(line: &str) -> String {
    let mut text = String::new();
    let mut length = 0;
    for word in line.split(' ') {
        let width = word.chars().count();
        if length > 0 && length + 1 + width > WIDTH {
            text += "\n   ";
            length = 3;
        }
        if length > 0 {
            text.push(' ');
            length += 1;
        }
        text += word;
        length += width;
    }
    text.push('\n');
    text
}

/// How to look into a cluster that was left standing, and how to take it away.
pub fn kept(count: usize, node: Option<&str>, pod: Option<&str>) -> String {
    let mut text = format!("left {count} network namespaces standing; look into them with\n");
    let node = node.map(|name| format!("ip netns exec {name} nft list table inet nopal"));
    let pod = pod.map(|name| format!("ip netns exec {name} ip address"));
    let list = "ip netns list | grep nopal-kept".to_owned();
    for command in node.into_iter().chain(pod).chain([list]) {
        let _ = writeln!(text, "  {command}");
    }
    text + "and take them away with\n  nopal demo --clean"
}
