//! NP122: an address block that pods are in.

use policy_core::policy::Peer;
use policy_core::problem::ObjectRef;
use policy_core::{Cidr, IpSet};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};
use crate::manifest::{Content, Object};

rule! {
    /// ## What it finds
    /// With `--profile`: `ipBlock` peers that hold addresses of pods, or the network of a node's pods. It is a warning for
    /// a network plugin whose blocks do not match pods, and information for others, whose blocks do.
    ///
    /// ## Why it matters
    /// The API leaves open whether a block matches pods. nopal and Calico match them by their addresses; Cilium does not.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: db, namespace: shop, labels: {app: db}}
    /// status: {podIPs: [{ip: 10.0.1.7}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{ipBlock: {cidr: 10.0.0.0/16}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: db, namespace: shop, labels: {app: db}}
    /// status: {podIPs: [{ip: 10.0.1.7}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: db}}}]
    /// ```
    ///
    /// ## No finding
    /// Blocks of the prefix length 0, which mean everyone.
    pub(super) const RULE: Rule = Rule {
        code: "NP122",
        name: "block-of-pods",
        severity: Severity::Warning,
        certainty: Certainty::Profile,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let Some(profile) = input.profile else { return };
    let networks: Vec<(IpSet, &ObjectRef)> = input.objects.iter().flat_map(networks).collect();
    for (policy, rule, index, peer) in input.peers() {
        let Peer::Block(block) = peer else { continue };
        if block.cidr.prefix() == 0 {
            continue;
        }
        let addresses = block.addresses();
        let mut pods = input.world.pods();
        let within = pods.find(|pod| {
            let mut own = pod.addresses.iter();
            own.any(|address| addresses.contains(*address))
        });
        let inside = within.map(|pod| format!("{} in it", pod.id)).or_else(|| {
            let mut networks = networks.iter();
            let network = networks.find(|(network, _)| addresses.contains_all(network))?;
            Some(format!("those of {}", network.1))
        });
        let Some(inside) = inside else { continue };
        let (severity, verb) = if profile.blocks_match_pods() {
            (Severity::Info, "matches pods too")
        } else {
            (Severity::Warning, "does not match pods")
        };
        let message = format!(
            "with {} this block {verb}, such as {inside}",
            profile.name()
        );
        let path = rule.peer_path(index).field("ipBlock");
        findings.add(
            Finding::new(&RULE, policy, path, message)
                .with_severity(severity)
                .with_fix("select pods by their labels"),
        );
    }
}

/// The networks from which a Node gives addresses to its pods.
fn networks(object: &Object) -> Vec<(IpSet, &ObjectRef)> {
    let Content::Node(node) = &object.content else {
        return Vec::new();
    };
    let spec = node.spec.iter();
    let written = spec.flat_map(|spec| spec.pod_cidrs.iter().flatten().chain(&spec.pod_cidr));
    let networks = written.filter_map(|text| Cidr::parse(text));
    networks
        .map(|network| (IpSet::from(network.cidr), &object.reference))
        .collect()
}
