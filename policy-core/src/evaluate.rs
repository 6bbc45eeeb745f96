//! What becomes of a flow, and why.

use crate::cluster::{ContainerPort, Pod, PodId};
use crate::compile::has_named_ingress;
use crate::explain::{Candidate, PeerSide, candidates, rule_admits};
use crate::flow::{Direction, Flow, FlowPort, Verdict};
use crate::graph::{Action, Permission, RuleGraph, Subject, Tier};
use crate::inventory::{Owner, PodIndex};
use crate::ip_set::IpSet;
use crate::isolation::Isolation;
use crate::policy::{Policy, PolicyId};
use crate::port_set::PortSet;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// A verdict and its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the flow.
    pub verdict: Verdict,
    /// Why: for an allowed flow what admits it at either end, or what would deny it there and is only audited; for a
    /// denied one what isolates the ends that deny it.
    pub because: Vec<Because>,
    /// For a denied flow, and for one that passes because its end is only audited: each rule of the isolating policies,
    /// with the first condition that the flow fails.
    pub candidates: Vec<Candidate>,
}

impl Decision {
    /// Whether the flow passes only because policies that would deny it are in audit mode.
    pub fn is_audited(&self) -> bool {
        let is_audited = |because: &Because| matches!(because, Because::Audited { .. });
        self.because.iter().any(is_audited)
    }
}

/// One reason. `Display` gives the sentence that reports show.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Because {
    /// A pod reaches itself (semantics, rule 6).
    OwnAddress,
    /// A pod and its own node reach each other (rule 7).
    OwnNode,
    /// Several live pods say that an end's address is theirs, so nobody can tell which policies hold for it.
    Contested {
        /// The address.
        address: IpAddr,
        /// Its claimants, sorted.
        pods: Vec<PodId>,
    },
    /// A rule admits the flow at one end.
    Admitted {
        /// The policy.
        policy: PolicyId,
        /// `Egress` at the flow's source, `Ingress` at its destination.
        direction: Direction,
        /// The rule's position in the policy's list.
        rule: u32,
    },
    /// No policy isolates the flow's end in this direction.
    NotIsolated(Direction),
    /// Only policies in audit mode isolate the flow's end in this direction, this one among them, and no rule admits the
    /// flow: it passes, and would be denied if the policy were enforced.
    Audited {
        /// The policy.
        policy: PolicyId,
        /// `Egress` at the flow's source, `Ingress` at its destination.
        direction: Direction,
    },
    /// A policy isolates the flow's end in this direction, and no rule admits the flow.
    Isolates {
        /// The policy.
        policy: PolicyId,
        /// `Egress` at the flow's source, `Ingress` at its destination.
        direction: Direction,
    },
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnAddress => f.write_str("own address"),
            Self::OwnNode => f.write_str("own node"),
            Self::Contested { address, pods } => {
                let pods: Vec<String> = pods.iter().map(ToString::to_string).collect();
                write!(f, "{address} is claimed by {}", pods.join(" and "))
            }
            Self::Admitted {
                policy,
                direction,
                rule,
            } => write!(f, "{policy} {direction}[{rule}]"),
            Self::NotIsolated(direction) => write!(f, "not isolated for {direction}"),
            Self::Audited { policy, direction } => {
                write!(f, "audit: would be denied by {policy} for {direction}")
            }
            Self::Isolates { policy, direction } => write!(f, "{policy} isolates {direction}"),
        }
    }
}

/// What an end of a flow says to it.
struct Side {
    passes: bool,
    because: Vec<Because>,
    candidates: Vec<Candidate>,
}

impl RuleGraph {
    /// Decides a flow by its addresses.
    pub fn evaluate(&self, flow: &Flow) -> Decision {
        let allow = |because| Decision {
            verdict: Verdict::Allow,
            because: vec![because],
            candidates: Vec::new(),
        };
        if flow.from == flow.to {
            return allow(Because::OwnAddress);
        }
        if self.is_own_node(flow.from, flow.to) {
            return allow(Because::OwnNode);
        }
        let contested: Vec<Because> = [flow.from, flow.to]
            .into_iter()
            .filter_map(|end| self.contest(end))
            .collect();
        if !contested.is_empty() {
            return Decision {
                verdict: Verdict::Deny,
                because: contested,
                candidates: Vec::new(),
            };
        }
        let egress = self.side(flow.from, flow.to, flow.port, Direction::Egress);
        let ingress = self.side(flow.to, flow.from, flow.port, Direction::Ingress);
        let passes = egress.passes && ingress.passes;
        let mut decision = Decision {
            verdict: if passes {
                Verdict::Allow
            } else {
                Verdict::Deny
            },
            because: Vec::new(),
            candidates: Vec::new(),
        };
        for side in [egress, ingress] {
            if side.passes == passes {
                decision.because.extend(side.because);
                decision.candidates.extend(side.candidates);
            }
        }
        decision
    }

    /// Everything that may flow from one address to another.
    pub fn allowed(&self, from: IpAddr, to: IpAddr) -> PortSet {
        self.passing(from, to, |isolation| isolation == Isolation::Enforced)
    }

    /// What would still flow if every policy were enforced: [`allowed`](Self::allowed) without what is only audited.
    pub fn admitted(&self, from: IpAddr, to: IpAddr) -> PortSet {
        self.passing(from, to, |isolation| isolation != Isolation::None)
    }

    fn passing(&self, from: IpAddr, to: IpAddr, is_closed: impl Fn(Isolation) -> bool) -> PortSet {
        if from == to || self.is_own_node(from, to) {
            return PortSet::all();
        }
        let side = |end, peer, direction| match self.inventory().owner(end) {
            Owner::NoPod => PortSet::all(),
            Owner::Contested(_) => PortSet::empty(),
            Owner::Pod(pod) => match self.subject_of_pod(pod) {
                Some(subject) if is_closed(subject.isolation(direction)) => {
                    let matching = subject.permissions(direction).into_iter();
                    matching
                        .filter(|permission| self.is_peer(permission, peer))
                        .fold(PortSet::empty(), |set, permission| {
                            set.union(permission.ports())
                        })
                }
                _ => PortSet::all(),
            },
        };
        side(from, to, Direction::Egress).intersection(&side(to, from, Direction::Ingress))
    }

    /// What the policies make of the pod in `direction`; [`Isolation::None`] for what is no subject.
    pub fn isolation(&self, pod: &Pod, direction: Direction) -> Isolation {
        let subject = self
            .index_of(pod)
            .and_then(|index| self.subject_of_pod(index));
        subject.map_or(Isolation::None, |subject| subject.isolation(direction))
    }

    /// The policies that isolate the pod in `direction`, enforced or audited, sorted; none for what is no subject.
    pub fn isolating(&self, pod: &Pod, direction: Direction) -> Vec<&PolicyId> {
        let subject = self
            .index_of(pod)
            .and_then(|index| self.subject_of_pod(index));
        let policies = subject.map(|subject| self.policies_isolating(&subject, pod, direction));
        policies
            .into_iter()
            .flatten()
            .map(|policy| &policy.id)
            .collect()
    }

    /// The named ports of the pod that policies which isolate it for ingress can mean by name, so that other pods of the
    /// same policies may be allowed other numbers; none when no such policy names a port.
    pub fn named_ports(&self, pod: &Pod) -> Vec<ContainerPort> {
        let subject = self
            .index_of(pod)
            .and_then(|index| self.subject_of_pod(index));
        let policies =
            subject.map(|subject| self.policies_isolating(&subject, pod, Direction::Ingress));
        if !policies.into_iter().flatten().any(has_named_ingress) {
            return Vec::new();
        }
        let named = pod.ports.iter().filter(|port| port.name.is_some());
        named.cloned().collect()
    }

    /// What a pod may exchange in `direction` with addresses that are no pod's: disjoint address sets, each with what
    /// passes there; addresses in none of them exchange nothing.
    pub fn outside(&self, pod: &Pod, direction: Direction) -> Vec<(IpSet, PortSet)> {
        let subject = self
            .index_of(pod)
            .and_then(|index| self.subject_of_pod(index));
        let is_enforced =
            |subject: &Subject<'_>| subject.isolation(direction) == Isolation::Enforced;
        let Some(subject) = subject.filter(is_enforced) else {
            return vec![(IpSet::full(), PortSet::all())];
        };
        crate::minimize::outside(&subject, direction)
    }

    fn side(&self, end: IpAddr, peer: IpAddr, port: FlowPort, direction: Direction) -> Side {
        let Owner::Pod(pod) = self.inventory().owner(end) else {
            return Side::not_isolated(direction);
        };
        match self.subject_of_pod(pod) {
            Some(subject) => self.subject_side(&subject, pod, peer, port, direction),
            None => Side::not_isolated(direction),
        }
    }

    /// Asks the tiers in their order (semantics, rule 27).
    fn subject_side(
        &self,
        subject: &Subject<'_>,
        pod: PodIndex,
        peer: IpAddr,
        port: FlowPort,
        direction: Direction,
    ) -> Side {
        let mut matching = subject.edges(direction);
        matching.retain(|edge| edge.ports().contains(port) && self.is_peer(edge, peer));
        let ranked = |wanted: fn(Tier) -> Option<Action>| {
            matching.iter().find_map(|edge| wanted(edge.edge.tier))
        };
        let admin = ranked(|tier| match tier {
            Tier::Admin(ranked) => Some(ranked.action),
            _ => None,
        });
        match admin {
            Some(Action::Accept) => return Side::decided(true),
            Some(Action::Deny) => return Side::decided(false),
            Some(Action::Pass) | None => {}
        }
        if subject.is_isolated(direction) {
            matching.retain(|edge| edge.edge.tier == Tier::NetworkPolicy);
            return self.policies_side(subject, pod, peer, port, direction, &matching);
        }
        let baseline = ranked(|tier| match tier {
            Tier::Baseline(ranked) => Some(ranked.action),
            _ => None,
        });
        match baseline {
            Some(Action::Deny) => Side::decided(false),
            _ => Side::not_isolated(direction),
        }
    }

    fn policies_side(
        &self,
        subject: &Subject<'_>,
        pod: PodIndex,
        peer: IpAddr,
        port: FlowPort,
        direction: Direction,
        admitting: &[Permission<'_>],
    ) -> Side {
        let subject_pod = &self.inventory().pods[pod as usize];
        let other = PeerSide::new(self.inventory(), subject_pod, peer);
        if admitting.is_empty() {
            let isolating = self.policies_isolating(subject, subject_pod, direction);
            let is_audited = subject.isolation(direction) == Isolation::Audited;
            let because = isolating.iter().map(|policy| {
                let policy = policy.id.clone();
                if is_audited {
                    Because::Audited { policy, direction }
                } else {
                    Because::Isolates { policy, direction }
                }
            });
            return Side {
                passes: is_audited,
                because: because.collect(),
                candidates: candidates(&isolating, direction, &other, port),
            };
        }
        let sources = admitting.iter().flat_map(Permission::sources);
        let rules: BTreeSet<_> = sources.map(|source| (source.policy, source.rule)).collect();
        let admitted = rules.into_iter().filter_map(|(policy, rule)| {
            let policy = &self.world.policies[policy as usize];
            let admits = selects(policy, subject_pod)
                && rule_admits(policy, direction, rule as usize, &other, port);
            admits.then(|| Because::Admitted {
                policy: policy.id.clone(),
                direction,
                rule,
            })
        });
        Side {
            passes: true,
            because: admitted.collect(),
            candidates: Vec::new(),
        }
    }

    /// The policies that isolate this very pod, sorted. A merged subject class may know policies of other pods.
    fn policies_isolating<'g>(
        &'g self,
        subject: &Subject<'g>,
        pod: &Pod,
        direction: Direction,
    ) -> Vec<&'g Policy> {
        let groups = subject.class().groups.iter();
        let policies = groups.flat_map(|&group| &self.world.groups[group as usize]);
        let mut isolating: Vec<&Policy> = policies
            .map(|&policy| self.world.policies[policy as usize].as_ref())
            .filter(|policy| policy.isolates(direction) && selects(policy, pod))
            .collect();
        isolating.sort_by(|left, right| left.id.cmp(&right.id));
        isolating
    }

    fn is_peer(&self, permission: &Permission<'_>, address: IpAddr) -> bool {
        permission.is_for_everyone()
            || permission.blocks().contains(address)
            || match self.inventory().owner(address) {
                Owner::Pod(pod) => permission.has_class(self.inventory().class_of[pod as usize]),
                Owner::Contested(_) | Owner::NoPod => false,
            }
    }

    /// Whether one end is a pod and the other its node. An address that a live pod has is no node's, even when a
    /// Node object claims it: that pod's policies hold for it.
    pub(crate) fn is_own_node(&self, one: IpAddr, other: IpAddr) -> bool {
        let inventory = self.inventory();
        let is_node_of = |node, pod| inventory.is_own_node(pod, node);
        match (inventory.owner(one), inventory.owner(other)) {
            (Owner::Pod(pod), Owner::NoPod) => is_node_of(other, pod),
            (Owner::NoPod, Owner::Pod(pod)) => is_node_of(one, pod),
            (Owner::Contested(pods), Owner::NoPod) => {
                pods.iter().any(|&pod| is_node_of(other, pod))
            }
            (Owner::NoPod, Owner::Contested(pods)) => pods.iter().any(|&pod| is_node_of(one, pod)),
            _ => false,
        }
    }

    fn contest(&self, address: IpAddr) -> Option<Because> {
        let inventory = self.inventory();
        let Owner::Contested(pods) = inventory.owner(address) else {
            return None;
        };
        let pods = pods
            .iter()
            .map(|&pod| inventory.pods[pod as usize].id.clone())
            .collect();
        Some(Because::Contested { address, pods })
    }

    fn index_of(&self, pod: &Pod) -> Option<PodIndex> {
        self.inventory().pod_index(&pod.id)
    }

    fn inventory(&self) -> &crate::inventory::Inventory {
        &self.world.inventory
    }
}

impl Side {
    fn not_isolated(direction: Direction) -> Self {
        let because = vec![Because::NotIsolated(direction)];
        Self {
            passes: true,
            because,
            candidates: Vec::new(),
        }
    }

    fn decided(passes: bool) -> Self {
        Self {
            passes,
            because: Vec::new(),
            candidates: Vec::new(),
        }
    }
}

pub(crate) fn selects(policy: &Policy, pod: &Pod) -> bool {
    policy.id.namespace == pod.id.namespace && policy.subjects.matches(&pod.labels)
}
