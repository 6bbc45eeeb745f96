//! Turns a rule graph into the contents of our nftables table, for one node.

use std::borrow::Cow;
use std::collections::BTreeSet;

use policy_core::graph::{RuleGraph, Subject};
use policy_core::rules::{RulePermission, Rules};
use policy_core::{Isolation, Pod, PodId, RuleId};

use crate::class::{Classes, CountedRule, Dispatch};
use crate::class_chain::Direction;
use crate::class_counters::ClassPolicies;
use crate::config::Config;
use crate::drafts::Drafts;
use crate::grants::Permission;
use crate::identity::Identity;
use crate::layout::{LayoutError, lay_out};
use crate::names::{CONTESTED, Label};
use crate::ruleset::Ruleset;

/// The table that enforces `graph` for the pods of `node`. Same graph, same bytes.
///
/// Only pods that run on the node and have an address are dispatched; a pod that no policy isolates is not, so its
/// traffic passes. An address that several live pods claim, one of them here, goes to a class without permissions.
pub fn render(graph: &RuleGraph, node: &str, config: &Config) -> Result<Ruleset, LayoutError> {
    lay_out(config, &classes(&graph.minimize(), node, config))
}

/// The policies behind each class of the table that [`render`] makes for `node`. A class of contested addresses has none.
pub fn class_policies(graph: &RuleGraph, node: &str) -> ClassPolicies {
    drafts(&graph.minimize(), node, None).0.policies()
}

/// The rules that the table which [`render`] makes for `node` counts packets for, where it counts for rules.
pub fn counted_rules(graph: &RuleGraph, node: &str) -> BTreeSet<RuleId> {
    let graph = graph.minimize();
    let subjects: Vec<Subject<'_>> = graph.subjects().collect();
    let pods = subjects
        .iter()
        .flat_map(|subject| local_pods(&graph, subject, node));
    let of_pod = |pod| Direction::ALL.map(|direction| graph.rule_ids(pod, direction.into()));
    pods.flat_map(of_pod).flatten().collect()
}

/// A local pod, and its class in each of [`Direction::ALL`].
type Member<'g> = (&'g Pod, [Option<Identity>; 2]);

fn drafts<'g>(
    graph: &'g RuleGraph,
    node: &str,
    mut rules: Option<Rules<'_>>,
) -> (Drafts<'g>, Vec<Member<'g>>) {
    let mut drafts = Drafts::default();
    let mut members = Vec::new();
    for subject in graph.subjects() {
        for pod in local_pods(graph, &subject, node) {
            let identities = Direction::ALL.map(|direction| {
                let identity = identity(graph, &subject, pod, direction)?;
                let permissions = || permissions(&subject, direction);
                let counted = || {
                    let rules = rules.as_mut().map(|rules| rules.of(pod, direction.into()));
                    let rules = rules.into_iter().flatten();
                    rules.map(|(id, parts)| counted(id, &parts)).collect()
                };
                let pods = [pod.id.to_string()];
                drafts.file(direction, &identity, permissions, counted, pods);
                Some(identity)
            });
            members.push((pod, identities));
        }
    }
    (drafts, members)
}

/// The isolated local pods of `node` and what they may exchange. `graph` is minimal.
fn classes(graph: &RuleGraph, node: &str, config: &Config) -> Classes {
    let rules = config.rule_counters.then(|| graph.rules());
    let (drafts, members) = drafts(graph, node, rules);
    let mut classes = drafts.classes();
    for (pod, [egress, ingress]) in members {
        let label = |direction, identity: Option<Identity>| {
            identity.and_then(|identity| drafts.label(direction, &identity))
        };
        let dispatch = Dispatch {
            ingress: label(Direction::Ingress, ingress),
            egress: label(Direction::Egress, egress),
        };
        let addresses = graph.addresses(pod).into_iter();
        classes
            .pods
            .extend(addresses.map(|address| (address, dispatch.clone())));
    }
    let contested = graph.contested();
    for (address, pods) in contested.filter(|(_, pods)| pods.iter().any(|pod| is_on(pod, node))) {
        let pods: Vec<&PodId> = pods.iter().map(|pod| &pod.id).collect();
        add_contested(&mut classes, address, &pods);
    }
    classes
}

/// The pods of a subject that are on the node and have addresses.
fn local_pods<'g>(
    graph: &RuleGraph,
    subject: &Subject<'g>,
    node: &str,
) -> impl Iterator<Item = &'g Pod> {
    let pods = subject.pods().into_iter();
    pods.filter(move |pod| is_on(pod, node) && !graph.addresses(pod).is_empty())
}

fn is_on(pod: &Pod, node: &str) -> bool {
    pod.node.as_deref() == Some(node)
}

/// The identity of a pod's class; `None` when the pod is not isolated in `direction`.
fn identity(
    graph: &RuleGraph,
    subject: &Subject<'_>,
    pod: &Pod,
    direction: Direction,
) -> Option<Identity> {
    let policies = || graph.isolating(pod, direction.into()).into_iter().cloned();
    subject.is_isolated(direction.into()).then(|| Identity {
        is_audited: graph.isolation(pod, direction.into()) == Isolation::Audited,
        policies: policies().collect(),
        // Named ports of egress belong to the peers.
        named_ports: match direction {
            Direction::Ingress => graph.named_ports(pod),
            Direction::Egress => Vec::new(),
        },
    })
}

fn permissions<'g>(subject: &Subject<'g>, direction: Direction) -> Vec<Permission<'g>> {
    let permissions = subject.permissions(direction.into()).into_iter();
    permissions
        .map(|permission| Permission {
            everyone: permission.is_for_everyone(),
            ports: permission.ports(),
            blocks: permission.blocks(),
            addresses: Cow::Owned(
                permission
                    .pods()
                    .flat_map(|(_, addresses)| addresses)
                    .collect(),
            ),
        })
        .collect()
}

fn counted(rule: RuleId, parts: &[RulePermission]) -> CountedRule {
    let permissions: Vec<Permission<'_>> = parts
        .iter()
        .map(|part| Permission {
            everyone: part.everyone,
            ports: &part.ports,
            blocks: &part.blocks,
            addresses: Cow::Borrowed(&part.addresses),
        })
        .collect();
    CountedRule::of(rule, &permissions)
}

/// Sends an address that several live pods claim, one of them here, to a class without permissions.
pub(crate) fn add_contested(classes: &mut Classes, address: std::net::IpAddr, pods: &[&PodId]) {
    let label = Label::fixed(CONTESTED);
    let pods: Vec<String> = pods.iter().map(ToString::to_string).collect();
    let line = format!("{address} is claimed by {}", pods.join(" and "));
    for classes in [&mut classes.ingress, &mut classes.egress] {
        let class = classes.entry(label.clone()).or_default();
        class.comment.push(line.clone());
    }
    let dispatch = Dispatch {
        ingress: Some(label.clone()),
        egress: Some(label),
    };
    classes.pods.insert(address, dispatch);
}
