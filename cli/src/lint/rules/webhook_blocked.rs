//! NP214: a webhook that the API server cannot reach.

use policy_core::{Direction, FlowPort};

use super::ingress_backend_blocked::opens_beyond_the_namespace;
use crate::lint::{Certainty, ClassId, Finding, Findings, Input, Rule, ServicePort, Severity};
use crate::manifest::Content;

rule! {
    /// ## What it finds
    /// Admission and conversion webhooks whose pods are isolated for ingress, where no rule allows their port to addresses
    /// (an `ipBlock`, or everyone).
    ///
    /// ## Why it matters
    /// The API server calls webhooks, and it is no pod that selectors find: it runs on the nodes' network or outside of the
    /// cluster. When it cannot reach the webhook, objects of that kind can no longer be created or changed.
    ///
    /// ## Example
    /// ```yaml
    /// kind: ValidatingWebhookConfiguration
    /// metadata: {name: checks}
    /// webhooks: [{clientConfig: {service: {name: hook, namespace: ops, port: 443}}}]
    /// ---
    /// kind: Service
    /// metadata: {name: hook, namespace: ops}
    /// spec: {selector: {app: hook}, ports: [{port: 443, targetPort: 9443}]}
    /// ---
    /// kind: Pod
    /// metadata: {name: hook, namespace: ops, labels: {app: hook}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: hook, namespace: ops}
    /// spec:
    ///   podSelector: {matchLabels: {app: hook}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]
    ///     ports: [{protocol: TCP, port: 9443}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: ValidatingWebhookConfiguration
    /// metadata: {name: checks}
    /// webhooks: [{clientConfig: {service: {name: hook, namespace: ops, port: 443}}}]
    /// ---
    /// kind: Service
    /// metadata: {name: hook, namespace: ops}
    /// spec: {selector: {app: hook}, ports: [{port: 443, targetPort: 9443}]}
    /// ---
    /// kind: Pod
    /// metadata: {name: hook, namespace: ops, labels: {app: hook}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: hook, namespace: ops}
    /// spec:
    ///   podSelector: {matchLabels: {app: hook}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{ipBlock: {cidr: 192.0.2.0/24}}]
    ///     ports: [{protocol: TCP, port: 9443}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP214",
        name: "webhook-blocked",
        severity: Severity::Error,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for object in input.objects {
        let Content::Webhooks(backends) = &object.content else {
            continue;
        };
        let mut told: Vec<ClassId> = Vec::new();
        for backend in backends {
            let ports = input.services.find(backend);
            let classes = ports.flat_map(|(service, port)| {
                let classes = service.backends.iter();
                classes.map(move |&class| (service, port, class))
            });
            for (service, port, class) in classes {
                if told.contains(&class) || !is_blocked(input, class, port) {
                    continue;
                }
                told.push(class);
                let isolating = input.reach.isolating(class, Direction::Ingress);
                let message = format!(
                    "the API server cannot reach {}, the pods of {}: no rule allows their port to addresses, and the API server is no pod",
                    input.reach.class(class).name(),
                    service.object.reference
                );
                let finding = Finding::of_object(&RULE, &object.reference, &object.place, message)
                    .with_fix("allow the port to the addresses of the API server (an ipBlock), or to everyone");
                findings.add(match isolating.first() {
                    Some(&policy) => finding.with_related(
                        input.policies[policy as usize].name_place(),
                        "isolates the pods",
                    ),
                    None => finding,
                });
            }
        }
    }
}

fn is_blocked(input: &Input<'_>, class: ClassId, port: &ServicePort<'_>) -> bool {
    let destination = input.reach.class(class);
    let targets = port.targets(destination);
    let opening = opens_beyond_the_namespace(input, class, |grant| {
        let mut targets = targets.iter();
        targets.any(|&target| grant.gives(destination, FlowPort::Port(port.protocol, target)))
    });
    input.reach.is_isolated(class, Direction::Ingress)
        && !targets.is_empty()
        && !opening.is_open(true)
}
