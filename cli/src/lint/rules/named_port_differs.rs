//! NP209: a port name with different numbers.

use std::collections::BTreeSet;

use policy_core::PodId;

use super::named_port_absent::{destinations, named_ports};
use crate::lint::{Certainty, Class, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Port names that stand for different numbers on different destinations. It is a warning where one Service leads to
    /// both.
    ///
    /// ## Why it matters
    /// On each pod its own number is allowed. That is what names are for, but some data planes resolve a name once for all
    /// pods, and readers seldom expect it.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}]}]}
    /// ---
    /// kind: Pod
    /// metadata: {name: api, namespace: shop, labels: {app: api}}
    /// spec: {containers: [{name: api, ports: [{name: http, containerPort: 3000}]}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - ports: [{protocol: TCP, port: http}]
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
    pub(super) const RULE: Rule = Rule {
        code: "NP209",
        name: "named-port-differs",
        severity: Severity::Info,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for named in named_ports(input) {
        let destinations = destinations(input.world, named.policy, &named.rule);
        let numbers = destinations.iter().flat_map(|pod| {
            let ports = pod.ports.iter().filter(|port| {
                port.protocol == named.protocol && port.name.as_deref() == Some(named.name)
            });
            ports.map(|port| (port.port, &pod.id))
        });
        let numbers: BTreeSet<(u16, &PodId)> = numbers.collect();
        let (Some((first, one)), Some((last, other))) = (numbers.first(), numbers.last()) else {
            continue;
        };
        if first == last {
            continue;
        }
        let message = format!(
            "port {:?} is {first} on {one} and {last} on {other}: each pod's own number is allowed",
            named.name
        );
        let path = named.rule.port_path(named.index);
        let of_destinations = |class: &Class<'_>| {
            let mut pods = class.pods.iter();
            pods.any(|pod| destinations.iter().any(|known| known.id == pod.id))
        };
        let behind_one = input.services.iter().find(|service| {
            let classes = service.backends.iter().map(|id| input.reach.class(*id));
            let classes = classes.filter(|class| of_destinations(class));
            let numbers: BTreeSet<u16> = classes
                .flat_map(|class| class.numbers(named.protocol, named.name))
                .collect();
            numbers.len() > 1
        });
        let finding = Finding::new(&RULE, named.policy, path, message);
        findings.add(match behind_one {
            Some(service) => finding
                .with_severity(Severity::Warning)
                .with_fix("give the port one number on all pods behind the Service")
                .with_related(service.object.place.clone(), "leads to both"),
            None => finding,
        });
    }
}
