//! The smallest change that would admit a denied flow, or one that passes only because it is audited: for each end that
//! denies it, or would, one rule for exactly the other end and the port, added to the isolating policy that selects the
//! fewest pods.

use std::collections::BTreeMap;
use std::net::IpAddr;

use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::Rule;
use policy_core::{
    Because, Cluster, Decision, Direction, Flow, FlowPort, Labels, Pod, Policy, PolicyId,
};
use serde_json::{Map, Value, json};

/// Labels that controllers put on pods: they differ from pod to pod, or from one rollout to the next.
const PASSING_LABELS: [&str; 6] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "controller-revision-hash",
    "controller-uid",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// A rule to add.
#[derive(Debug, Clone, PartialEq)]
pub struct Remedy {
    /// The policy that it belongs to.
    pub policy: PolicyId,
    /// The list that it belongs to: `spec.ingress` or `spec.egress`.
    pub direction: Direction,
    /// The rule, as the API writes it.
    pub rule: Value,
}

/// The rules that admit `flow`, egress first: one for each end that denies it or is only audited. Empty for a flow that
/// rules admit already, and where no rule can help, such as an address that several pods claim.
pub fn remedies(cluster: &Cluster, flow: &Flow, decision: &Decision) -> Vec<Remedy> {
    let mut isolating: BTreeMap<Direction, Vec<&Policy>> = BTreeMap::new();
    for because in &decision.because {
        if let Because::Isolates { policy, direction } | Because::Audited { policy, direction } =
            because
        {
            let policy = cluster.policies().get(policy);
            isolating
                .entry(*direction)
                .or_default()
                .extend(policy.map(AsRef::as_ref));
        }
    }
    let directions = [Direction::Egress, Direction::Ingress].into_iter();
    directions
        .filter_map(|direction| {
            let policies = isolating.get(&direction)?.iter().copied();
            let policy = policies.min_by_key(|policy| {
                (
                    is_closed(policy, direction),
                    selected(cluster, policy),
                    &policy.id,
                )
            })?;
            let (other, field) = match direction {
                Direction::Ingress => (flow.from, "from"),
                Direction::Egress => (flow.to, "to"),
            };
            let mut rule = Map::new();
            rule.insert(field.to_owned(), json!([peer(cluster, policy, other)]));
            if let FlowPort::Port(protocol, port) = flow.port {
                let port = json!({ "protocol": protocol.to_string(), "port": port });
                rule.insert("ports".to_owned(), json!([port]));
            }
            let (policy, rule) = (policy.id.clone(), Value::Object(rule));
            Some(Remedy {
                policy,
                direction,
                rule,
            })
        })
        .collect()
}

/// Whether the policy has rules that were not understood: another one beside them could share their fate.
fn is_closed(policy: &Policy, direction: Direction) -> bool {
    policy.rules(direction).contains(&Rule::NotUnderstood)
}

/// How many pods a policy selects.
fn selected(cluster: &Cluster, policy: &Policy) -> usize {
    let pods = cluster.pods().values();
    pods.filter(|pod| {
        pod.id.namespace == policy.id.namespace && policy.subjects.matches(&pod.labels)
    })
    .count()
}

/// The labels that all pods of a workload have, and keep.
pub(crate) fn lasting(labels: &Labels) -> Labels {
    let lasting = labels
        .iter()
        .filter(|(key, _)| !PASSING_LABELS.contains(key));
    lasting.collect()
}

/// The peer entry for an address: its pod by labels, or the address itself.
fn peer(cluster: &Cluster, policy: &Policy, address: IpAddr) -> Value {
    let is_holder = |pod: &&Pod| pod.is_selectable() && pod.addresses.contains(&address);
    let mut holders = cluster.pods().values().map(AsRef::as_ref).filter(is_holder);
    let Some(pod) = holders.next() else {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        return json!({ "ipBlock": { "cidr": format!("{address}/{prefix}") } });
    };
    let labels: Map<String, Value> = lasting(&pod.labels)
        .iter()
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect();
    let pods = if labels.is_empty() {
        json!({})
    } else {
        json!({ "matchLabels": labels })
    };
    if pod.id.namespace == policy.id.namespace {
        return json!({ "podSelector": pods });
    }
    let name = json!({ NAMESPACE_NAME_LABEL: pod.id.namespace.as_ref() });
    json!({ "namespaceSelector": { "matchLabels": name }, "podSelector": pods })
}

impl Remedy {
    /// The rule as a YAML list item, a line per part.
    pub fn yaml(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for field in ["from", "to", "ports"] {
            let Some(value) = self.rule.get(field) else {
                continue;
            };
            let lead = if lines.is_empty() { "- " } else { "  " };
            lines.push(format!("{lead}{field}: {}", flow_style(value)));
        }
        lines
    }
}

/// A value in YAML's flow style, text quoted where it could be read as something else.
pub(crate) fn flow_style(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let pairs = map
                .iter()
                .map(|(key, value)| format!("{}: {}", scalar(key), flow_style(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(flow_style).collect::<Vec<_>>().join(", ")
            )
        }
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Plain where every YAML reader takes it for text.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_plain {
        text.to_owned()
    } else {
        json!(text).to_string()
    }
}
