//! NP235: jobs that policies forget.

use policy_core::{Direction, PodId};

use super::cut_off::gives_nothing;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};
use crate::manifest::Content;

rule! {
    /// ## What it finds
    /// Pods of Jobs and `CronJobs` that no policy isolates where other pods of the namespace are isolated, and those that
    /// may not open any connection.
    ///
    /// ## Why it matters
    /// Jobs run seldom: migrations, backups, tests of a release. They are easily forgotten, and fail at the wrong moment.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Job
    /// metadata: {name: migrate, namespace: shop}
    /// spec: {template: {metadata: {labels: {app: migrate}}}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: default-deny, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress, Egress]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Job
    /// metadata: {name: migrate, namespace: shop}
    /// spec: {template: {metadata: {labels: {app: migrate}}}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: default-deny, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress, Egress]
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: migrate, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: migrate}}
    ///   policyTypes: [Egress]
    ///   egress:
    ///   - to: [{podSelector: {matchLabels: {app: db}}}]
    ///     ports: [{protocol: TCP, port: 5432}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP235",
        name: "job-forgotten",
        severity: Severity::Info,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for object in input.objects {
        let is_job = matches!(object.reference.kind.as_str(), "Job" | "CronJob");
        if !is_job || !matches!(object.content, Content::Workload(_)) {
            continue;
        }
        let namespace = object.reference.namespace.as_deref().unwrap_or_default();
        let name = format!("{}/{}", object.reference.kind, object.reference.name);
        let id = PodId::new(namespace, &name);
        let mut classes = input.reach.numbered();
        let Some((class, _)) = classes.find(|(_, class)| class.pods.iter().any(|pod| pod.id == id))
        else {
            continue;
        };
        let is_open = Direction::ALL
            .into_iter()
            .all(|direction| !input.reach.is_isolated(class, direction));
        let has_policies = input
            .policies
            .iter()
            .any(|policy| policy.meaning.id.namespace.as_ref() == namespace);
        let message = if is_open && has_policies {
            "no policy selects its pods, unlike others of the namespace"
        } else if gives_nothing(input, class, Direction::Egress) {
            "its pods may not open any connection"
        } else {
            continue;
        };
        findings.add(
            Finding::of_object(&RULE, &object.reference, &object.place, message.to_owned())
                .with_fix("select its pods in a policy that allows what they need"),
        );
    }
}
