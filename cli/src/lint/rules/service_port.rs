//! NP211: the port of a Service in place of the port of its pods.

use std::collections::BTreeSet;

use policy_core::policy::{Peer, PortSpec, Ports};
use policy_core::{Direction, FlowPort, Protocol};

use crate::lint::meaning::numbered;
use crate::lint::{
    Certainty, ClassId, Finding, Findings, Input, LintPolicy, Repair, Rule, Service, Severity,
    WrittenRule,
};

rule! {
    /// ## What it finds
    /// Port numbers that are the `port` of a Service, where the Service leads to another port of its pods (`targetPort`)
    /// which the rule does not allow, and where no container declares the number.
    ///
    /// ## Why it matters
    /// Policies see packets after the Service has been translated to a pod. What counts is the port of the pod: the rule
    /// allows a port on which nobody listens.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Service
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   selector: {app: web}
    ///   ports: [{port: 80, targetPort: 8080}]
    /// ---
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// spec: {containers: [{name: web, ports: [{containerPort: 8080}]}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - ports: [{protocol: TCP, port: 80}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Service
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   selector: {app: web}
    ///   ports: [{port: 80, targetPort: 8080}]
    /// ---
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// spec: {containers: [{name: web, ports: [{containerPort: 8080}]}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - ports: [{protocol: TCP, port: 8080}]
    /// ```
    ///
    /// ## No finding
    /// Where a container of some destination declares the number, where some Service of the destinations leads to it, and
    /// where the rule allows the pods' port too. Where the input shows none of the destinations, it goes by the labels
    /// that Services ask for.
    pub(super) const RULE: Rule = Rule {
        code: "NP211",
        name: "service-port",
        severity: Severity::Error,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (index, policy) in input.policies.iter().enumerate() {
        for direction in Direction::ALL {
            for rule in policy.rules_of(direction) {
                let Ports::Listed(ports) = rule.ports else {
                    continue;
                };
                if !ports.iter().any(|port| single(port).is_some()) {
                    continue;
                }
                let destinations = destinations(input, index, &rule);
                for (position, port) in ports.iter().enumerate() {
                    if let Some((protocol, number)) = single(port) {
                        let wanted = Wanted { protocol, number };
                        findings.extend(confused(
                            input,
                            policy,
                            &rule,
                            &destinations,
                            wanted,
                            position,
                        ));
                    }
                }
            }
        }
    }
}

/// The one port that an entry names by number.
fn single(port: &PortSpec) -> Option<(Protocol, u16)> {
    match port {
        PortSpec::Range(protocol, first, last) if first == last => Some((*protocol, *first)),
        _ => None,
    }
}

/// The classes that a rule's ports are ports of.
fn destinations(input: &Input<'_>, policy: usize, rule: &WrittenRule<'_>) -> BTreeSet<ClassId> {
    match rule.direction {
        Direction::Ingress => input.reach.subjects(policy).iter().copied().collect(),
        Direction::Egress => {
            let grants = input.reach.grants(policy, Direction::Egress).iter();
            let mut grants = grants.filter(|grant| grant.rule == rule.index);
            let peers = grants.next().map(|grant| &grant.peers);
            peers.into_iter().flatten().flatten().copied().collect()
        }
    }
}

#[derive(Clone, Copy)]
struct Wanted {
    protocol: Protocol,
    number: u16,
}

fn confused(
    input: &Input<'_>,
    policy: &LintPolicy<'_>,
    rule: &WrittenRule<'_>,
    destinations: &BTreeSet<ClassId>,
    wanted: Wanted,
    position: usize,
) -> Option<Finding> {
    let Wanted { protocol, number } = wanted;
    let declares = |class: &ClassId| {
        let mut ports = input.reach.class(*class).ports.iter();
        ports.any(|port| (port.protocol, port.port) == (protocol, number))
    };
    if destinations.iter().any(declares) {
        return None;
    }
    let namespaces: BTreeSet<&str> = destinations
        .iter()
        .map(|class| input.reach.class(*class).namespace)
        .collect();
    let mut found: Option<(&Service<'_>, u16)> = None;
    for service in namespaces
        .into_iter()
        .flat_map(|name| input.services.of(name))
    {
        for class in service
            .backends
            .iter()
            .filter(|class| destinations.contains(class))
        {
            for port in service
                .ports
                .iter()
                .filter(|port| port.protocol == protocol)
            {
                for target in port.targets(input.reach.class(*class)) {
                    if target == number {
                        return None;
                    }
                    if port.port == number {
                        found.get_or_insert((service, target));
                    }
                }
            }
        }
    }
    let (service, target) = if destinations.is_empty() {
        confused_unseen(input, policy, rule, wanted)?
    } else {
        found?
    };
    if numbered(rule.ports).contains(FlowPort::Port(protocol, target)) {
        return None;
    }
    let reference = &service.object.reference;
    let message = format!(
        "{number} is the port of {reference}, which leads to port {target} of its pods: policies see port {target}, and this rule does not allow it"
    );
    let path = rule.port_path(position).field("port");
    let repair = Repair::scalar(&policy.place(&path), &target.to_string()).unsafely();
    Some(
        Finding::new(&RULE, policy, path, message)
            .with_repair(Some(repair))
            .with_fix(format!("write port: {target}"))
            .with_related(service.object.place.clone(), "the Service"),
    )
}

/// The Service whose port the rule names, and the number on its pods, where the input shows none of these pods.
fn confused_unseen<'i>(
    input: &'i Input<'_>,
    policy: &LintPolicy<'_>,
    rule: &WrittenRule<'_>,
    wanted: Wanted,
) -> Option<(&'i Service<'i>, u16)> {
    let own = policy.meaning.id.namespace.as_ref();
    let is_meant = |service: &&Service<'_>| match rule.direction {
        Direction::Ingress => {
            service.namespace == own && service.means_unseen(&policy.meaning.subjects)
        }
        Direction::Egress => rule.numbered_peers().any(|(_, peer)| match peer {
            Peer::Pods { namespaces, pods } => {
                let mut matching = input.world.matching(own, namespaces);
                !pods.is_everything()
                    && service.means_unseen(pods)
                    && matching.any(|namespace| namespace == service.namespace)
            }
            Peer::Block(_) => false,
        }),
    };
    let meant: Vec<&Service<'_>> = input.services.iter().filter(is_meant).collect();
    let ports = meant.iter().flat_map(|service| {
        let ports = service.ports.iter();
        ports.map(move |port| (*service, port))
    });
    let ports = ports.filter(|(_, port)| port.protocol == wanted.protocol);
    // A name may stand for the very number on pods that nobody sees.
    if ports
        .clone()
        .any(|(_, port)| port.target().is_none_or(|target| target == wanted.number))
    {
        return None;
    }
    let mut ports = ports.filter(|(_, port)| port.port == wanted.number);
    let (service, port) = ports.next()?;
    Some((service, port.target()?))
}
