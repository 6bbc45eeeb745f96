//! NP123: the address of a Service in a block.

use policy_core::policy::Peer;
use policy_core::{Direction, IpSet};

use crate::lint::dns::{allows_asking, uses_node_cache};
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

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
    let services: Vec<_> = input
        .services
        .iter()
        .flat_map(|service| {
            let spec = service.written.spec.as_ref();
            let listed = spec
                .and_then(|spec| spec.cluster_ips.as_ref())
                .into_iter()
                .flatten();
            let single = spec.and_then(|spec| spec.cluster_ip.as_ref());
            let addresses = listed.chain(single).filter_map(|text| text.parse().ok());
            addresses.map(move |address: std::net::IpAddr| (address, service))
        })
        .collect();
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
            .filter(|(address, _)| addresses.contains(*address));
        let Some((address, service)) = within.next() else {
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
        let message = format!(
            "{address} is the address of {}: packets to it are sent on to its pods before policies see them, so the block does not match them",
            service.object.reference
        );
        findings.add(
            Finding::new(
                &RULE,
                policy,
                rule.peer_path(index).field("ipBlock"),
                message,
            )
            .with_severity(severity)
            .with_fix("select the pods behind the Service by their labels")
            .with_related(service.object.place.clone(), "the Service"),
        );
    }
}
