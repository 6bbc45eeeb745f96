//! The smallest change that would deny an allowed flow: at the end where the fewest rules admit it, what of these rules
//! admits it is removed; where no policy isolates either end, one that does is added.

use std::net::IpAddr;

use policy_core::policy::{MODE_ANNOTATION, Peers, Ports, Rule};
use policy_core::{
    Because, Cluster, Decision, Direction, Flow, Isolation, Labels, Mode, Namespace, Pod, Policy,
    PolicyId, RuleGraph, Verdict,
};
use serde_json::{Map, Value, json};

use crate::remedy::lasting;

/// One step of the change. All of them together deny the flow.
#[derive(Debug, Clone, PartialEq)]
pub enum Closing {
    /// Remove a part of a rule, or the rule.
    Remove {
        /// The policy.
        policy: PolicyId,
        /// The list that the rule is in.
        direction: Direction,
        /// Its position.
        rule: u32,
        /// What of it.
        part: Part,
    },
    /// Add a policy that isolates a pod: it closes all that no rule admits.
    Isolate {
        /// The policy, as the API has it.
        policy: Value,
        /// The direction that it isolates the pod in.
        direction: Direction,
    },
}

/// A part of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All of it.
    Whole,
    /// An entry of `from` or `to`.
    Peer(usize),
    /// An entry of `ports`.
    Port(usize),
}

/// The change that denies `flow`, which `decision` allows. Nothing where policies have no say, such as between a pod and
/// its own node, and for what is only audited: enforcing the policy denies it.
#[must_use]
pub fn closings(
    cluster: &Cluster,
    graph: &RuleGraph,
    flow: &Flow,
    decision: &Decision,
) -> Vec<Closing> {
    let is_above = |because: &Because| matches!(because, Because::OwnAddress | Because::OwnNode);
    let is_audited = decision.is_audited();
    if decision.verdict == Verdict::Deny || is_audited || decision.because.iter().any(is_above) {
        return Vec::new();
    }
    let ends = [
        (Direction::Ingress, flow.to),
        (Direction::Egress, flow.from),
    ];
    let plans = ends.into_iter().filter_map(|(direction, address)| {
        let pod = owner(cluster, graph, address)?;
        let mut steps = removals((cluster, graph), flow, decision, direction);
        let is_open = graph.isolation(pod, direction) != Isolation::Enforced;
        if is_open {
            steps.push(Closing::Isolate {
                policy: isolating(cluster, pod, direction)?,
                direction,
            });
        }
        // A policy more closes other connections too, so rules are removed rather.
        Some((is_open, steps.len(), steps))
    });
    let best = plans.min_by_key(|(is_open, length, _)| (*is_open, *length));
    best.map(|(_, _, steps)| steps).unwrap_or_default()
}

/// The pod that an address belongs to alone.
fn owner<'c>(cluster: &'c Cluster, graph: &RuleGraph, address: IpAddr) -> Option<&'c Pod> {
    let mut pods = cluster.pods().values().map(AsRef::as_ref);
    pods.find(|pod: &&Pod| {
        pod.addresses.contains(&address) && graph.addresses(pod).contains(&address)
    })
}

/// A cluster and what it means.
type Meant<'c> = (&'c Cluster, &'c RuleGraph);

/// What of the rules of a direction admits the flow.
fn removals(
    (cluster, graph): Meant<'_>,
    flow: &Flow,
    decision: &Decision,
    wanted: Direction,
) -> Vec<Closing> {
    let mut steps = Vec::new();
    for because in &decision.because {
        let Because::Admitted {
            policy,
            direction,
            rule,
        } = because
        else {
            continue;
        };
        let found = cluster.policies().get(policy);
        let written = found.and_then(|found| found.rules(*direction).get(*rule as usize));
        if let (Some(found), Some(written)) = (found, written)
            && *direction == wanted
        {
            let parts = parts((cluster, graph), flow, found, *direction, written);
            steps.extend(parts.into_iter().map(|part| Closing::Remove {
                policy: policy.clone(),
                direction: *direction,
                rule: *rule,
                part,
            }));
        }
    }
    steps
}

/// The parts of a rule without which it does not admit the flow, the fewest of them.
fn parts(
    meant: Meant<'_>,
    flow: &Flow,
    policy: &Policy,
    direction: Direction,
    rule: &Rule,
) -> Vec<Part> {
    let Rule::Allow { peers, ports } = rule else {
        return vec![Part::Whole];
    };
    let admits = |rule| admits(meant, flow, policy, direction, rule);
    let mut plans = vec![vec![Part::Whole]];
    if let Peers::Listed(listed) = peers {
        let admitting = |index: &usize| {
            let peers = Peers::Listed(vec![listed[*index].clone()]);
            admits(Rule::Allow {
                peers,
                ports: ports.clone(),
            })
        };
        let found: Vec<usize> = (0..listed.len()).filter(admitting).collect();
        if found.len() < listed.len() {
            plans.insert(0, found.into_iter().map(Part::Peer).collect());
        }
    }
    if let Ports::Listed(listed) = ports {
        let admitting = |index: &usize| {
            let ports = Ports::Listed(vec![listed[*index].clone()]);
            admits(Rule::Allow {
                peers: peers.clone(),
                ports,
            })
        };
        let found: Vec<usize> = (0..listed.len()).filter(admitting).collect();
        if found.len() < listed.len() {
            let before = plans.len() - 1;
            plans.insert(before, found.into_iter().map(Part::Port).collect());
        }
    }
    plans.retain(|plan| !plan.is_empty());
    // Of equals the first: it leaves the most.
    plans.into_iter().min_by_key(Vec::len).unwrap_or_default()
}

/// Whether a policy with this rule alone admits the flow, asked of the ends alone.
fn admits(
    (cluster, graph): Meant<'_>,
    flow: &Flow,
    policy: &Policy,
    direction: Direction,
    rule: Rule,
) -> bool {
    let mut alone = policy.clone();
    alone.stated_mode = Some(Mode::Enforce);
    (alone.ingress, alone.egress) = (Vec::new(), Vec::new());
    (alone.isolates_ingress, alone.isolates_egress) = (false, false);
    match direction {
        Direction::Ingress => {
            alone.isolates_ingress = true;
            alone.ingress.push(rule);
        }
        Direction::Egress => {
            alone.isolates_egress = true;
            alone.egress.push(rule);
        }
    }
    let mut ends = Cluster::default();
    for pod in [flow.from, flow.to]
        .into_iter()
        .filter_map(|end| owner(cluster, graph, end))
    {
        if let Some(namespace) = cluster.namespaces().get(&pod.id.namespace) {
            ends.insert_namespace(Namespace {
                mode: Mode::default(),
                ..namespace.clone()
            });
        }
        ends.insert_pod(pod.clone());
    }
    ends.insert_policy(alone);
    RuleGraph::compile(&ends).evaluate(flow).verdict == Verdict::Allow
}

/// A policy that isolates the pod and those that its labels select, in an audited namespace too; `None` where no label tells
/// it from the others.
fn isolating(cluster: &Cluster, pod: &Pod, direction: Direction) -> Option<Value> {
    let labels: Labels = lasting(&pod.labels);
    let pairs = labels
        .iter()
        .map(|(key, value)| (key.to_owned(), json!(value)));
    let pairs: Map<String, Value> = pairs.collect();
    if pairs.is_empty() {
        return None;
    }
    let kind = match direction {
        Direction::Ingress => "Ingress",
        Direction::Egress => "Egress",
    };
    let taken = |name: &str| {
        let id = PolicyId {
            namespace: pod.id.namespace.clone(),
            name: name.into(),
        };
        cluster.policies().contains_key(&id)
    };
    let mut names = (1..).map(|number| match number {
        1 => format!("isolate-{direction}"),
        _ => format!("isolate-{direction}-{number}"),
    });
    let name = names.find(|name| !taken(name)).unwrap_or_default();
    let mut metadata = json!({ "name": name, "namespace": &*pod.id.namespace });
    let home = cluster.namespaces().get(&pod.id.namespace);
    if home.is_some_and(|home| home.mode == Mode::Audit) {
        metadata["annotations"] = json!({ MODE_ANNOTATION: "enforce" });
    }
    Some(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": { "podSelector": { "matchLabels": pairs }, "policyTypes": [kind] },
    }))
}
