//! NP239: replicas that cannot reach each other.

use policy_core::{Direction, FieldPath, PodId};

use crate::lint::{Certainty, ClassId, Finding, Findings, Input, Rule, Severity};
use crate::manifest::Content;

rule! {
    /// ## What it finds
    /// A `StatefulSet` with two replicas or more and a headless Service, whose pods may not reach each other on any port. It
    /// is information where the input does not hold the Service.
    ///
    /// ## Why it matters
    /// A headless Service gives each pod a name of its own, mostly so that they find each other: databases and queues join
    /// their members that way. Members that cannot reach each other do not form a cluster.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Service
    /// metadata: {name: db, namespace: shop}
    /// spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}
    /// ---
    /// kind: StatefulSet
    /// metadata: {name: db, namespace: shop}
    /// spec: {replicas: 3, serviceName: db, template: {metadata: {labels: {app: db}}}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: db}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: web}}}]
    ///     ports: [{protocol: TCP, port: 5432}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Service
    /// metadata: {name: db, namespace: shop}
    /// spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}
    /// ---
    /// kind: StatefulSet
    /// metadata: {name: db, namespace: shop}
    /// spec: {replicas: 3, serviceName: db, template: {metadata: {labels: {app: db}}}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: db}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: web}}}, {podSelector: {matchLabels: {app: db}}}]
    ///     ports: [{protocol: TCP, port: 5432}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP239",
        name: "members-apart",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let path = FieldPath::root().field("metadata").field("name");
    for object in input.objects {
        let Content::Workload(workload) = &object.content else {
            continue;
        };
        let is_set = object.reference.kind == "StatefulSet"
            && workload.replicas.is_some_and(|replicas| replicas > 1);
        let Some(service) = workload.service_name.as_deref().filter(|_| is_set) else {
            continue;
        };
        let namespace = object.reference.namespace.as_deref().unwrap_or_default();
        let id = PodId::new(namespace, &format!("StatefulSet/{}", object.reference.name));
        let mut classes = input.reach.numbered();
        let Some((class, _)) = classes.find(|(_, class)| class.pods.iter().any(|pod| pod.id == id))
        else {
            continue;
        };
        let Some(isolating) = apart(input, class) else {
            continue;
        };
        let severity = if is_headless(input, namespace, service) {
            Severity::Warning
        } else {
            Severity::Info
        };
        let policy = &input.policies[isolating as usize];
        let message = "its pods may not reach each other on any port".to_owned();
        findings.add(
            Finding::of_object(&RULE, &object.reference, &object.place, message)
                .with_severity(severity)
                .with_fix("let the pods in from each other, on the ports that members use")
                .with_related(policy.place(&path), "isolates them"),
        );
    }
}

/// The policy that keeps pods of a class from each other, if nothing at all passes.
fn apart(input: &Input<'_>, class: ClassId) -> Option<u32> {
    let side = |direction| input.reach.allowed(class, direction, class);
    let passes = side(Direction::Ingress).intersection(&side(Direction::Egress));
    let mut isolating = Direction::ALL
        .into_iter()
        .flat_map(|direction| input.reach.isolating(class, direction));
    passes
        .is_empty()
        .then(|| isolating.next().copied())
        .flatten()
}

fn is_headless(input: &Input<'_>, namespace: &str, name: &str) -> bool {
    input.services.of(namespace).iter().any(|service| {
        let spec = service.written.spec.as_ref();
        service.object.reference.name == name
            && spec.and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
    })
}
