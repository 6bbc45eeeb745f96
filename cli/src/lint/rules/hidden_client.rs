//! NP236: an allow-list of addresses behind a Service that hides its clients.

use policy_core::{Direction, FlowPort};

use crate::lint::{Certainty, ClassId, Finding, Findings, Grant, Input, Rule, Service, Severity};

rule! {
    /// ## What it finds
    /// Services of type `LoadBalancer` or `NodePort` without `externalTrafficPolicy: Local`, whose pods let in only some
    /// address blocks on their port.
    ///
    /// ## Why it matters
    /// A node that sends a request on to a pod of another node puts its own address in place of the client's. The policy then
    /// sees a node, not the client: the allowed client is refused, or, where nodes are allowed, everyone comes in.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Service
    /// metadata: {name: web, namespace: shop}
    /// spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 443, targetPort: 8443}]}
    /// ---
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{ipBlock: {cidr: 203.0.113.0/24}}]
    ///     ports: [{protocol: TCP, port: 8443}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Service
    /// metadata: {name: web, namespace: shop}
    /// spec: {type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: web}, ports: [{port: 443, targetPort: 8443}]}
    /// ---
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{ipBlock: {cidr: 203.0.113.0/24}}]
    ///     ports: [{protocol: TCP, port: 8443}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP236",
        name: "hidden-client",
        severity: Severity::Warning,
        certainty: Certainty::Heuristic,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for service in input
        .services
        .iter()
        .filter(|service| hides_clients(service))
    {
        for &class in &service.backends {
            let Some((policy, rule)) = by_blocks_alone(input, service, class) else {
                continue;
            };
            let policy = &input.policies[policy];
            let Some(rule) = policy.rule(Direction::Ingress, rule) else {
                continue;
            };
            let message = format!(
                "{} may put a node's address in place of the client's, so this list of addresses is compared with nodes",
                service.object.reference
            );
            findings.add(
                Finding::new(&RULE, policy, rule.path(), message)
                    .with_fix("set externalTrafficPolicy: Local on the Service")
                    .with_related(service.object.place.clone(), "the Service"),
            );
            break;
        }
    }
}

fn hides_clients(service: &Service<'_>) -> bool {
    let Some(spec) = &service.written.spec else {
        return false;
    };
    matches!(spec.type_.as_deref(), Some("LoadBalancer" | "NodePort"))
        && spec.external_traffic_policy.as_deref() != Some("Local")
}

/// The policy and rule that let blocks in on a port of the Service, where nothing lets everyone in.
fn by_blocks_alone(
    input: &Input<'_>,
    service: &Service<'_>,
    class: ClassId,
) -> Option<(usize, usize)> {
    let destination = input.reach.class(class);
    let gives = |grant: &Grant| {
        service.ports.iter().any(|port| {
            let mut targets = port.targets(destination).into_iter();
            targets.any(|target| grant.gives(destination, FlowPort::Port(port.protocol, target)))
        })
    };
    let mut found = None;
    for &policy in input.reach.isolating(class, Direction::Ingress) {
        let policy = policy as usize;
        for grant in input.reach.grants(policy, Direction::Ingress) {
            if !gives(grant) {
                continue;
            }
            if grant.is_for_everyone || grant.blocks.v4.is_full() {
                return None;
            }
            if !grant.blocks.is_empty() {
                found = found.or(Some((policy, grant.rule)));
            }
        }
    }
    found
}
