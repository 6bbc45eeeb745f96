//! Turns a rule graph into the contents of our nftables table, for one node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use policy_core::graph::{RuleGraph, Subject};
use policy_core::{ContainerPort, Direction, Isolation, Pod, PolicyId};

use crate::class::{Class, Classes, Dispatch, Grant, SharedPeers};
use crate::config::Config;
use crate::grants::{PeerPool, grants};
use crate::layout::{LayoutError, lay_out};
use crate::names::Label;
use crate::ruleset::Ruleset;

/// The table that enforces `graph` for the pods of `node`. Same graph, same bytes.
///
/// Only pods that run on the node and have an address are dispatched; a pod that no policy isolates is not, so its
/// traffic passes. An address that several live pods claim, one of them here, goes to a class without permissions.
pub fn render(graph: &RuleGraph, node: &str, config: &Config) -> Result<Ruleset, LayoutError> {
    lay_out(config, &classes(&graph.minimize(), node))
}

/// The isolated local pods of `node` and what they may exchange. `graph` is minimal.
fn classes(graph: &RuleGraph, node: &str) -> Classes {
    let mut pool = PeerPool::default();
    let mut ingress = Drafts::default();
    let mut egress = Drafts::default();
    let mut members = Vec::new();
    for (pods, subject) in local_subjects(graph, node) {
        let ingress = ingress.add(graph, &subject, Direction::Ingress, &pods, &mut pool);
        let egress = egress.add(graph, &subject, Direction::Egress, &pods, &mut pool);
        let numbers = ingress.into_iter().zip(egress);
        members.extend(pods.into_iter().zip(numbers));
    }
    let (ingress_labels, egress_labels) = (ingress.labels(), egress.labels());
    let label = |labels: &[Label], class: Option<usize>| class.map(|class| labels[class].clone());
    let mut classes = Classes::default();
    for (pod, (ingress, egress)) in members {
        let dispatch = Dispatch {
            ingress: label(&ingress_labels, ingress),
            egress: label(&egress_labels, egress),
        };
        let addresses = graph.addresses(pod).into_iter();
        classes
            .pods
            .extend(addresses.map(|address| (address, dispatch.clone())));
    }
    classes.ingress = ingress.into_classes(&ingress_labels);
    classes.egress = egress.into_classes(&egress_labels);
    add_contested(&mut classes, graph, node);
    let shared = |(label, addresses)| {
        let comment = Vec::new();
        (label, SharedPeers { addresses, comment })
    };
    classes.shared_peers = pool.into_sets().map(shared).collect();
    classes
}

/// The subjects with pods on the node that have addresses, each with these pods. Their order follows these pods alone:
/// a graph of this node gives the same as one of the whole cluster.
fn local_subjects<'g>(graph: &'g RuleGraph, node: &str) -> Vec<(Vec<&'g Pod>, Subject<'g>)> {
    let local = |subject: &Subject<'g>| -> Vec<&'g Pod> {
        let pods = subject.pods().into_iter();
        pods.filter(|pod| is_on(pod, node) && !graph.addresses(pod).is_empty())
            .collect()
    };
    let subjects = graph.subjects().map(|subject| (local(&subject), subject));
    let mut subjects: Vec<_> = subjects.filter(|(local, _)| !local.is_empty()).collect();
    subjects.sort_by(|(left, _), (right, _)| left[0].id.cmp(&right[0].id));
    subjects
}

fn is_on(pod: &Pod, node: &str) -> bool {
    pod.node.as_deref() == Some(node)
}

/// The classes of one direction as they are found: pods with the same policies and the same permissions. Pods of other
/// policies with these permissions have a class of their own, so that a policy of theirs changes no class but theirs.
#[derive(Default)]
struct Drafts {
    by_meaning: BTreeMap<(Identity, Vec<Grant>), usize>,
    drafts: Vec<Draft>,
}

/// What a class is known by, and has its label from, as long as it lasts: whether it is audited, the policies, and the
/// named ports of its pods by which policies can mean different numbers. So a class that comes into force is a new one,
/// which pods are led to, and no chain of the node changes its rules.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    is_audited: bool,
    policies: BTreeSet<PolicyId>,
    named_ports: Vec<ContainerPort>,
}

struct Draft {
    identity: Identity,
    pods: BTreeSet<String>,
}

impl Identity {
    /// Named ports of egress belong to the peers.
    fn new(graph: &RuleGraph, pod: &Pod, direction: Direction) -> Self {
        let policies = graph.isolating(pod, direction).into_iter().cloned();
        let is_named =
            |port: &&ContainerPort| direction == Direction::Ingress && port.name.is_some();
        Self {
            is_audited: graph.isolation(pod, direction) == Isolation::Audited,
            policies: policies.collect(),
            named_ports: pod.ports.iter().filter(is_named).cloned().collect(),
        }
    }

    fn label(&self) -> Label {
        let first = self.policies.first().map(ToString::to_string);
        Label::stable(&first.unwrap_or_default(), &self.to_string())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_audited {
            f.write_str("audited ")?;
        }
        for policy in &self.policies {
            write!(f, "{policy} ")?;
        }
        for port in &self.named_ports {
            let name = port.name.as_deref().unwrap_or_default();
            write!(f, "{name}={}/{} ", port.protocol, port.port)?;
        }
        Ok(())
    }
}

impl Drafts {
    /// Files the pods of a subject under their classes and tells the number of each one's; `None` when it is not
    /// isolated in `direction`.
    fn add(
        &mut self,
        graph: &RuleGraph,
        subject: &Subject<'_>,
        direction: Direction,
        pods: &[&Pod],
        pool: &mut PeerPool,
    ) -> Vec<Option<usize>> {
        if !subject.is_isolated(direction) {
            return vec![None; pods.len()];
        }
        let mut numbers = BTreeMap::new();
        let mut file = |pod: &&Pod| {
            let identity = Identity::new(graph, pod, direction);
            let number = *numbers.entry(identity.clone()).or_insert_with(|| {
                let grants = grants(subject, direction, &identity.to_string(), pool);
                self.number(identity, grants)
            });
            self.drafts[number].pods.insert(pod.id.to_string());
            Some(number)
        };
        pods.iter().map(&mut file).collect()
    }

    fn number(&mut self, identity: Identity, grants: Vec<Grant>) -> usize {
        let next = self.drafts.len();
        let meaning = (identity.clone(), grants);
        let number = *self.by_meaning.entry(meaning).or_insert(next);
        if number == next {
            let pods = BTreeSet::new();
            self.drafts.push(Draft { identity, pods });
        }
        number
    }

    /// The label of each class. Where several would have the same, they are counted in the order of their first pods.
    fn labels(&self) -> Vec<Label> {
        let labels = self.drafts.iter().map(|draft| draft.identity.label());
        let mut labels: Vec<Label> = labels.collect();
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by_key(|&draft| self.drafts[draft].pods.first());
        let mut taken: BTreeMap<Label, usize> = BTreeMap::new();
        for draft in order {
            let number = taken.entry(labels[draft].clone()).or_default();
            *number += 1;
            labels[draft] = labels[draft].distinct(*number);
        }
        labels
    }

    fn into_classes(self, labels: &[Label]) -> BTreeMap<Label, Class> {
        let class = |((identity, grants), number): ((Identity, Vec<Grant>), usize)| {
            let policies = identity.policies.iter().map(ToString::to_string).collect();
            let what = if identity.is_audited {
                "policies, all in audit mode"
            } else {
                "policies"
            };
            let comment = vec![
                listed("pods", &self.drafts[number].pods),
                listed(what, &policies),
            ];
            let class = Class {
                grants,
                audited: identity.is_audited,
                comment,
            };
            (labels[number].clone(), class)
        };
        self.by_meaning.into_iter().map(class).collect()
    }
}

/// Sends addresses that several live pods claim, one of them here, to a class without permissions.
fn add_contested(classes: &mut Classes, graph: &RuleGraph, node: &str) {
    let label = Label::fixed("contested");
    let contested = graph
        .contested()
        .filter(|(_, pods)| pods.iter().any(|pod| is_on(pod, node)));
    for (address, pods) in contested {
        let pods: Vec<String> = pods.iter().map(|pod| pod.id.to_string()).collect();
        let line = format!("{address} is claimed by {}", pods.join(" and "));
        for classes in [&mut classes.ingress, &mut classes.egress] {
            let class = classes.entry(label.clone()).or_default();
            class.comment.push(line.clone());
        }
        let dispatch = Dispatch {
            ingress: Some(label.clone()),
            egress: Some(label.clone()),
        };
        classes.pods.insert(address, dispatch);
    }
}

/// How many names a comment lists before it only counts.
const LISTED: usize = 8;

fn listed(what: &str, names: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
    let more = match names.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{what}: {}{more}", shown.join(", "))
}
