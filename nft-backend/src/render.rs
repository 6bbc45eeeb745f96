//! Turns a rule graph into the contents of our nftables table, for one node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_core::graph::{RuleGraph, Subject};
use policy_core::{Direction, Pod, PolicyId};

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
    let mut classes = Classes::default();
    let mut pool = PeerPool::default();
    let mut ingress = Drafts::default();
    let mut egress = Drafts::default();
    for (local, subject) in local_subjects(graph, node) {
        let addresses: Vec<IpAddr> = local.iter().flat_map(|pod| graph.addresses(pod)).collect();
        let dispatch = Dispatch {
            ingress: ingress.add(graph, &subject, Direction::Ingress, &local, &mut pool),
            egress: egress.add(graph, &subject, Direction::Egress, &local, &mut pool),
        };
        classes.pods.extend(
            addresses
                .into_iter()
                .map(|address| (address, dispatch.clone())),
        );
    }
    let contested = graph
        .contested()
        .filter(|(_, pods)| pods.iter().any(|pod| is_on(pod, node)));
    for (address, pods) in contested {
        let label = Label::numbered(0, "contested");
        ingress.add_contested(&label, address, &pods);
        egress.add_contested(&label, address, &pods);
        let dispatch = Dispatch {
            ingress: Some(label.clone()),
            egress: Some(label),
        };
        classes.pods.insert(address, dispatch);
    }
    classes.ingress = ingress.into_classes();
    classes.egress = egress.into_classes();
    classes.shared_peers = pool
        .into_sets()
        .map(|(label, addresses)| {
            (
                label,
                SharedPeers {
                    addresses,
                    comment: Vec::new(),
                },
            )
        })
        .collect();
    classes
}

/// The subjects with pods on the node that have addresses, each with these pods. Their order, and so the classes'
/// numbers, follows these pods alone: a graph of this node gives the same as one of the whole cluster.
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

/// The classes of one direction as they are found. Subjects with equal permissions share a class.
#[derive(Default)]
struct Drafts {
    by_grants: BTreeMap<Vec<Grant>, Draft>,
    contested: BTreeMap<Label, Vec<String>>,
}

struct Draft {
    label: Label,
    pods: BTreeSet<String>,
    policies: BTreeSet<String>,
}

impl Drafts {
    /// Files a subject under the class with its permissions; `None` when it is not isolated in `direction`.
    fn add(
        &mut self,
        graph: &RuleGraph,
        subject: &Subject<'_>,
        direction: Direction,
        local: &[&Pod],
        pool: &mut PeerPool,
    ) -> Option<Label> {
        if !subject.is_isolated(direction) {
            return None;
        }
        let policies: BTreeSet<&PolicyId> = local
            .iter()
            .flat_map(|pod| graph.isolating(pod, direction))
            .collect();
        let number = self.by_grants.len() + 1;
        let draft = self
            .by_grants
            .entry(grants(subject, direction, pool))
            .or_insert_with(|| {
                let first = policies
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                Draft {
                    label: Label::numbered(number, &first),
                    pods: BTreeSet::new(),
                    policies: BTreeSet::new(),
                }
            });
        draft
            .pods
            .extend(local.iter().map(|pod| pod.id.to_string()));
        draft
            .policies
            .extend(policies.iter().map(ToString::to_string));
        Some(draft.label.clone())
    }

    fn add_contested(&mut self, label: &Label, address: IpAddr, pods: &[&Pod]) {
        let pods: Vec<String> = pods.iter().map(|pod| pod.id.to_string()).collect();
        let line = format!("{address} is claimed by {}", pods.join(" and "));
        self.contested.entry(label.clone()).or_default().push(line);
    }

    fn into_classes(self) -> BTreeMap<Label, Class> {
        let drafts = self.by_grants.into_iter().map(|(grants, draft)| {
            let comment = vec![
                listed("pods", &draft.pods),
                listed("policies", &draft.policies),
            ];
            (draft.label, Class { grants, comment })
        });
        let contested = self.contested.into_iter().map(|(label, comment)| {
            (
                label,
                Class {
                    grants: Vec::new(),
                    comment,
                },
            )
        });
        drafts.chain(contested).collect()
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
