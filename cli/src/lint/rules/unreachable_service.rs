//! NP212: a Service that nobody reaches.

use policy_core::{Direction, FlowPort};

use crate::lint::{
    Certainty, ClassId, Finding, Findings, Input, Rule, Service, ServicePort, Severity,
};

rule! {
    /// ## What it finds
    /// Services whose pods are isolated for ingress, and whose ports no rule allows to anybody.
    ///
    /// ## Why it matters
    /// The Service is there to be used, and nobody can use it.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Service
    /// metadata: {name: web, namespace: shop}
    /// spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
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
    ///   - from: [{podSelector: {}}]
    ///     ports: [{protocol: TCP, port: 9100}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Service
    /// metadata: {name: web, namespace: shop}
    /// spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
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
    ///   - from: [{podSelector: {}}]
    ///     ports: [{protocol: TCP, port: 8080}]
    /// ```
    ///
    /// ## No finding
    /// Where some rule allows one of the ports to peers that the input does not hold, and where one of the pods is open.
    pub(super) const RULE: Rule = Rule {
        code: "NP212",
        name: "unreachable-service",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for service in input.services.iter() {
        if service.backends.is_empty() || service.ports.is_empty() {
            continue;
        }
        let mut pairs = service
            .backends
            .iter()
            .flat_map(|class| service.ports.iter().map(move |port| (*class, port)));
        if pairs.any(|(class, port)| is_reachable(input, class, port)) {
            continue;
        }
        findings.extend(finding(input, service));
    }
}

/// Whether some rule gives the port of the Service to anybody. Where the input does not show the port's number on the
/// pod, it is taken to be reachable.
fn is_reachable(input: &Input<'_>, class: ClassId, port: &ServicePort<'_>) -> bool {
    if !input.reach.is_isolated(class, Direction::Ingress) {
        return true;
    }
    let destination = input.reach.class(class);
    let targets = port.targets(destination);
    let mut grants = input.reach.given(class, Direction::Ingress);
    targets.is_empty()
        || grants.any(|grant| {
            let mut targets = targets.iter();
            targets.any(|&target| grant.gives(destination, FlowPort::Port(port.protocol, target)))
        })
}

fn finding(input: &Input<'_>, service: &Service<'_>) -> Option<Finding> {
    let class = *service.backends.first()?;
    let isolating = *input.reach.isolating(class, Direction::Ingress).first()?;
    let policy = &input.policies[isolating as usize];
    let reference = &service.object.reference;
    let message = format!(
        "nobody reaches {reference}: its pods are isolated for ingress, and no rule allows any of its ports"
    );
    let path = policy_core::FieldPath::root().field("spec");
    let place = policy
        .policy
        .fields
        .place(&path, crate::manifest::Part::Key);
    Some(
        Finding::of_object(&RULE, reference, &service.object.place, message)
            .with_fix("allow the port of the pods in a policy that selects them")
            .with_related(place, "isolates them"),
    )
}
