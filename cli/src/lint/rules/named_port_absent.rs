//! NP207: a named port that no destination has.

use std::sync::Arc;

use policy_core::policy::{Namespaces, Peer, Peers, PortSpec, Ports};
use policy_core::{Direction, Pod, Protocol};

use crate::lint::{
    Certainty, Finding, Findings, Input, LintPolicy, Rule, Severity, World, WrittenRule,
};

rule! {
    /// ## What it finds
    /// Port names that no container of any destination has: of the selected pods for ingress, of the peers for egress.
    ///
    /// ## Why it matters
    /// A name is looked up on the destination pod. Where no pod has it, the entry allows nothing.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}]}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - ports: [{protocol: TCP, port: web}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}]}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - ports: [{protocol: TCP, port: http}]
    /// ```
    ///
    /// ## No finding
    /// Where the input holds none of the destinations, and where only some of them lack the name.
    pub(super) const RULE: Rule = Rule {
        code: "NP207",
        name: "named-port-absent",
        severity: Severity::Error,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for named in named_ports(input) {
        if named.protocols.is_empty() {
            let message = format!(
                "no container of {} has a port named {:?}: the entry allows nothing",
                named.whose(),
                named.name
            );
            findings.add(
                Finding::new(
                    &RULE,
                    named.policy,
                    named.rule.port_path(named.index),
                    message,
                )
                .with_fix("use a name that the containers give to a port, or the number"),
            );
        }
    }
}

/// A port name in a rule whose destinations are known.
pub(super) struct NamedPort<'a> {
    pub(super) policy: &'a LintPolicy<'a>,
    pub(super) rule: WrittenRule<'a>,
    pub(super) index: usize,
    pub(super) name: &'a str,
    pub(super) protocol: Protocol,
    /// The protocols for which destinations have the name.
    pub(super) protocols: Vec<Protocol>,
}

impl NamedPort<'_> {
    /// Whose containers are asked.
    pub(super) fn whose(&self) -> &'static str {
        match self.rule.direction {
            Direction::Ingress => "the selected pods",
            Direction::Egress => "the peers",
        }
    }
}

/// Every port name of rules with at least one destination in the input.
pub(super) fn named_ports<'a>(input: &'a Input<'_>) -> Vec<NamedPort<'a>> {
    let mut found = Vec::new();
    for (policy, rule) in input.rules() {
        let Ports::Listed(ports) = rule.ports else {
            continue;
        };
        if !ports.iter().any(|port| matches!(port, PortSpec::Named(..))) {
            continue;
        }
        let destinations = destinations(input.world, policy, &rule);
        if destinations.is_empty() {
            continue;
        }
        for (index, port) in ports.iter().enumerate() {
            let PortSpec::Named(protocol, name) = port else {
                continue;
            };
            let declared = destinations.iter().flat_map(|pod| pod.ports.iter());
            let mut protocols: Vec<Protocol> = declared
                .filter(|port| port.name.as_ref() == Some(name))
                .map(|port| port.protocol)
                .collect();
            protocols.sort_unstable();
            protocols.dedup();
            found.push(NamedPort {
                policy,
                rule,
                index,
                name,
                protocol: *protocol,
                protocols,
            });
        }
    }
    found
}

/// The pods on which the rule's port names are looked up; none where the rule also speaks of others.
pub(super) fn destinations<'w>(
    world: &'w World,
    policy: &'w LintPolicy<'_>,
    rule: &WrittenRule<'w>,
) -> Vec<&'w Arc<Pod>> {
    let own = policy.meaning.id.namespace.as_ref();
    match (rule.direction, rule.peers) {
        (Direction::Ingress, _) => {
            let selected = world.selected(own, &Namespaces::Own, &policy.meaning.subjects);
            selected.collect()
        }
        (Direction::Egress, Peers::Everyone) => Vec::new(),
        (Direction::Egress, Peers::Listed(peers)) => {
            let of_peer = |peer: &'w Peer| match peer {
                Peer::Pods { namespaces, pods } => Some(world.selected(own, namespaces, pods)),
                Peer::Block(_) => None,
            };
            peers.iter().filter_map(of_peer).flatten().collect()
        }
    }
}
