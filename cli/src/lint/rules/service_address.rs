//! NP123: the address of a Service in a block.

use std::net::IpAddr;

use policy_core::policy::Peer;
use policy_core::{Direction, IpSet};

use crate::lint::dns::{allows_asking, uses_node_cache};
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};
use crate::manifest::{Content, Object};

rule! {
    /// ## What it finds
    /// `ipBlock` peers of egress rules that hold the cluster address of a Service, and no address of a pod or node. It is a
    /// warning where the block is more than the one address.
    ///
    /// ## Why it matters
    /// A packet to a Service is sent on to one of its pods before policies see it. The block never matches.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Service
    /// metadata: {name: db, namespace: shop}
    /// spec: {clusterIP: 10.96.7.7, selector: {app: db}, ports: [{port: 5432}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Egress]
    ///   egress:
    ///   - to: [{ipBlock: {cidr: 10.96.7.7/32}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Service
    /// metadata: {name: db, namespace: shop}
    /// spec: {clusterIP: 10.96.7.7, selector: {app: db}, ports: [{port: 5432}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Egress]
    ///   egress:
    ///   - to: [{podSelector: {matchLabels: {app: db}}}]
    /// ```
    ///
    /// ## No finding
    /// Rules for DNS where the input holds a node-local DNS cache, which takes packets to that address on the node; and
    /// networks larger than a /12, which hardly are meant for Services alone.
    pub(super) const RULE: Rule = Rule {
        code: "NP123",
        name: "service-address",
        severity: Severity::Error,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

/// Larger blocks hold more than the addresses of Services.
const LARGEST: u32 = 12;

fn check(input: &Input<'_>, findings: &mut Findings) {
    let pods = input.world.pods().chain(input.world.host_pods());
    let taken: IpSet = pods
        .flat_map(|pod| pod.addresses.iter().chain(&pod.host_addresses).copied())
        .collect();
    let services: Vec<_> = input.objects.iter().flat_map(addresses).collect();
    if services.is_empty() {
        return;
    }
    for (policy, rule, index, peer) in input.peers() {
        let Peer::Block(block) = peer else { continue };
        if rule.direction != Direction::Egress || u32::from(block.cidr.prefix()) < LARGEST {
            continue;
        }
        let is_for_cache = uses_node_cache(input)
            && [policy_core::Protocol::Udp, policy_core::Protocol::Tcp]
                .into_iter()
                .any(|protocol| allows_asking(&rule, protocol));
        let addresses = block.addresses();
        let mut within = services
            .iter()
            .filter(|(address, _, _)| addresses.contains(*address));
        let Some((address, service, has_selector)) = within.next() else {
            continue;
        };
        if is_for_cache || !addresses.intersection(&taken).is_empty() {
            continue;
        }
        let is_whole = addresses == std::iter::once(*address).collect();
        let severity = if is_whole {
            Severity::Error
        } else {
            Severity::Warning
        };
        let (whom, fix) = if *has_selector {
            ("pods", "select the pods behind the Service by their labels")
        } else {
            (
                "endpoints",
                "name the addresses of the endpoints behind the Service",
            )
        };
        let message = format!(
            "{address} is the address of {}: packets to it are sent on to its {whom} before policies see them, so the block does not match them",
            service.reference
        );
        findings.add(
            Finding::new(
                &RULE,
                policy,
                rule.peer_path(index).field("ipBlock"),
                message,
            )
            .with_severity(severity)
            .with_fix(fix)
            .with_related(service.place.clone(), "the Service"),
        );
    }
}

/// The cluster addresses of a Service, and whether it finds its endpoints by a selector.
fn addresses(object: &Object) -> Vec<(IpAddr, &Object, bool)> {
    let Content::Service(service) = &object.content else {
        return Vec::new();
    };
    let Some(spec) = &service.spec else {
        return Vec::new();
    };
    let has_selector = spec.selector.iter().flatten().next().is_some();
    let written = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    written
        .filter_map(|text| text.parse().ok())
        .map(|address| (address, object, has_selector))
        .collect()
}
