//! Whether pods that may not open just any connection may still ask for names.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::{Namespaces, Peer, Peers, Ports};
use policy_core::selector::Values;
use policy_core::{Direction, FlowPort, Labels, PortSet, Protocol, Selector};

use super::meaning::{are_disjoint, named, numbered};
use super::reach::{Class, ClassId};
use super::{Input, LintPolicy, WrittenRule};

/// Where name servers listen when the input does not show them: behind Services of most distributions, and on the pods
/// of one.
const USUAL_PORTS: [u16; 2] = [53, 5353];

/// What a policy's pods lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lack {
    /// The policy, by its position in the input: one that isolates the pods for egress and allows them something.
    pub(super) policy: usize,
    /// The pods, where the input holds any.
    pub(super) class: Option<ClassId>,
    /// The protocol that no rule allows.
    pub(super) protocol: Protocol,
    /// Whether names are surely asked for: the policy allows connections to pods, which are found by name.
    pub(super) asks_by_name: bool,
}

/// The policies whose pods cannot ask for names. Policies that allow nothing are not meant to let anybody ask.
pub(super) fn lacks(input: &Input<'_>) -> Vec<Lack> {
    let servers = servers(input);
    let mut found: BTreeMap<(usize, Protocol), Lack> = BTreeMap::new();
    for (index, policy) in input.policies.iter().enumerate() {
        if !policy.meaning.isolates(Direction::Egress)
            || policy.rules_of(Direction::Egress).is_empty()
            || !policy.problems.is_empty()
        {
            continue;
        }
        let asks_by_name = policy.rules_of(Direction::Egress).iter().any(goes_to_pods);
        let lack = |class, protocol| Lack {
            policy: index,
            class,
            protocol,
            asks_by_name,
        };
        let subjects = input.reach.subjects(index);
        if subjects.is_empty() {
            let neighbours = neighbours_of(input, policy);
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                let mut rules = neighbours.iter().flat_map(|policy| {
                    policy
                        .rules_of(Direction::Egress)
                        .into_iter()
                        .map(move |rule| (policy, rule))
                });
                if !rules.any(|(policy, rule)| may_ask(policy, &rule, protocol)) {
                    found.insert((index, protocol), lack(None, protocol));
                }
            }
        }
        for &class in subjects {
            // Each pod is told of once, at the first policy that allows it something.
            if first_allowing(input, class) != Some(index) || !asks_the_cluster(input, class) {
                continue;
            }
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                if !can_ask(input, class, &servers, protocol) {
                    let lack = lack(Some(class), protocol);
                    found.entry((index, protocol)).or_insert(lack);
                }
            }
        }
    }
    found.into_values().collect()
}

/// The classes of name servers in the input: those with a usual label of `CoreDNS`, and those whose ports are named for
/// DNS.
pub(super) fn servers(input: &Input<'_>) -> Vec<ClassId> {
    let all = input.reach.numbered();
    all.filter(|(_, class)| is_server(class))
        .map(|(id, _)| id)
        .collect()
}

fn is_server(class: &Class<'_>) -> bool {
    let has = |key: &str, value: &str| class.labels.value(key) == Some(value);
    has("k8s-app", "kube-dns")
        || has("k8s-app", "coredns")
        || has("app.kubernetes.io/name", "coredns")
        || has("dns.operator.openshift.io/daemonset-dns", "default")
        || class.ports.iter().any(|port| {
            port.protocol == Protocol::Udp && port.name.as_deref().is_some_and(|name| name == "dns")
        })
}

fn goes_to_pods(rule: &WrittenRule<'_>) -> bool {
    match rule.peers {
        Peers::Everyone => true,
        Peers::Listed(peers) => peers.iter().any(|peer| matches!(peer, Peer::Pods { .. })),
    }
}

pub(super) fn first_allowing(input: &Input<'_>, class: ClassId) -> Option<usize> {
    let isolating = input.reach.isolating(class, Direction::Egress).iter();
    let mut allowing = isolating.map(|&policy| policy as usize);
    allowing.find(|&policy| !input.reach.grants(policy, Direction::Egress).is_empty())
}

pub(super) fn asks_the_cluster(input: &Input<'_>, class: ClassId) -> bool {
    let pods = &input.reach.class(class).pods;
    !is_server(input.reach.class(class))
        && pods.iter().any(|pod| input.world.uses_cluster_dns(&pod.id))
}

/// Whether a class may ask some server of the input, or, where that holds none, one that it may be.
fn can_ask(input: &Input<'_>, class: ClassId, servers: &[ClassId], protocol: Protocol) -> bool {
    let reaches = |server: &ClassId| {
        let allowed = input.reach.allowed(class, Direction::Egress, *server);
        !allowed
            .intersection(&listens(input.reach.class(*server), protocol))
            .is_empty()
    };
    if servers.iter().any(reaches) {
        return true;
    }
    let isolating = input.reach.isolating(class, Direction::Egress).iter();
    let policies = isolating.map(|&policy| &input.policies[policy as usize]);
    let mut rules = policies.flat_map(|policy| {
        let rules = policy.rules_of(Direction::Egress).into_iter();
        rules.map(move |rule| (policy, rule))
    });
    if servers.is_empty() {
        rules.any(|(policy, rule)| may_ask(policy, &rule, protocol))
    } else {
        // A server outside, or one on the nodes, is reached by its address.
        rules.any(|(_, rule)| reaches_addresses(&rule) && allows_asking(&rule, protocol))
    }
}

/// The ports on which a name server of the input listens.
fn listens(server: &Class<'_>, protocol: Protocol) -> PortSet {
    let declared = server.ports.iter().filter(|port| {
        let is_named = port
            .name
            .as_deref()
            .is_some_and(|name| name.starts_with("dns"));
        port.protocol == protocol && (is_named || USUAL_PORTS.contains(&port.port))
    });
    let declared: PortSet = declared
        .map(|port| (protocol, port.port, port.port))
        .collect();
    if declared.is_empty() {
        return USUAL_PORTS
            .into_iter()
            .map(|port| (protocol, port, port))
            .collect();
    }
    declared
}

/// The policies that select all or some of a policy's pods, itself among them.
fn neighbours_of<'i, 'a>(input: &'i Input<'a>, policy: &LintPolicy<'_>) -> Vec<&'i LintPolicy<'a>> {
    let all = input.policies.iter().filter(|other| {
        other.meaning.id.namespace == policy.meaning.id.namespace
            && !are_disjoint(&other.meaning.subjects, &policy.meaning.subjects)
    });
    all.collect()
}

/// Whether a rule can be one that lets pods ask the cluster's name servers, of which nothing is known but how they are
/// usually labelled.
fn may_ask(policy: &LintPolicy<'_>, rule: &WrittenRule<'_>, protocol: Protocol) -> bool {
    if !allows_asking(rule, protocol) {
        return false;
    }
    let names_the_port = !matches!(rule.ports, Ports::All);
    match rule.peers {
        Peers::Everyone => true,
        Peers::Listed(peers) => peers.iter().any(|peer| match peer {
            Peer::Block(_) => true,
            Peer::Pods { namespaces, pods } => match namespaces {
                Namespaces::Own => policy.meaning.id.namespace.as_ref() == "kube-system",
                Namespaces::Matching(selector) if names_the_port => {
                    may_be_another(policy, selector)
                }
                Namespaces::Matching(selector) => {
                    let system: Labels = [(NAMESPACE_NAME_LABEL, "kube-system")]
                        .into_iter()
                        .collect();
                    let server: Labels = [("k8s-app", "kube-dns")].into_iter().collect();
                    selector.matches(&system) && pods.matches(&server)
                }
            },
        }),
    }
}

/// Whether a `namespaceSelector` can match another namespace than the policy's own.
fn may_be_another(policy: &LintPolicy<'_>, selector: &Selector) -> bool {
    let mut constraints = selector.constraints();
    let own = policy.meaning.id.namespace.as_ref();
    let named = constraints.find(|(key, _)| *key == NAMESPACE_NAME_LABEL);
    own == "kube-system"
        || named.is_none_or(|(_, constraint)| match &constraint.values {
            Values::Only(values) => values.iter().any(|value| **value != *own),
            Values::Except(_) => true,
        })
}

fn reaches_addresses(rule: &WrittenRule<'_>) -> bool {
    match rule.peers {
        Peers::Everyone => true,
        Peers::Listed(peers) => peers.iter().any(|peer| matches!(peer, Peer::Block(_))),
    }
}

pub(super) fn allows_asking(rule: &WrittenRule<'_>, protocol: Protocol) -> bool {
    let numbers = numbered(rule.ports);
    let mut usual = USUAL_PORTS.into_iter();
    usual.any(|port| numbers.contains(FlowPort::Port(protocol, port)))
        || named(rule.ports).any(|(of, name)| of == protocol && name.starts_with("dns"))
}

/// Where a node-local DNS cache usually listens.
pub(super) const NODE_CACHE: Ipv4Addr = Ipv4Addr::new(169, 254, 20, 10);

/// Whether the input holds a node-local DNS cache.
pub(super) fn uses_node_cache(input: &Input<'_>) -> bool {
    let mut pods = input.world.host_pods();
    pods.any(|pod| pod.labels.value("k8s-app") == Some("node-local-dns"))
}
