//! NP224: workloads that no policy isolates.

use std::collections::BTreeMap;

use policy_core::{Direction, Pod};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};
use crate::manifest::{Content, Object};

rule! {
    /// ## What it finds
    /// Workloads and pods that no policy isolates for ingress or for egress. The directions are separate: a policy for
    /// egress does not protect from connections that others open. It is information: which pods should be open is for
    /// people to decide.
    ///
    /// ## Why it matters
    /// Such a pod can be reached by everyone, or can reach everyone, whatever other policies say.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Deployment
    /// metadata: {name: web, namespace: shop}
    /// spec: {template: {metadata: {labels: {app: web}}}}
    /// ---
    /// kind: Deployment
    /// metadata: {name: admin, namespace: shop}
    /// spec: {template: {metadata: {labels: {app: admin}}}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress, Egress]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Deployment
    /// metadata: {name: web, namespace: shop}
    /// spec: {template: {metadata: {labels: {app: web}}}}
    /// ---
    /// kind: Deployment
    /// metadata: {name: admin, namespace: shop}
    /// spec: {template: {metadata: {labels: {app: admin}}}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: default-deny, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress, Egress]
    /// ```
    ///
    /// ## No finding
    /// Pods of namespaces without any policy (NP226), pods on their node's network, finished pods, and namespaces of the
    /// cluster itself, such as `kube-system`.
    pub(super) const RULE: Rule = Rule {
        code: "NP224",
        name: "not-isolated",
        severity: Severity::Info,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

/// Namespaces that belong to the cluster itself.
pub(super) fn is_of_the_cluster(namespace: &str) -> bool {
    matches!(namespace, "kube-system" | "kube-public" | "kube-node-lease")
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let mut objects: BTreeMap<(&str, &str, &str), &Object> = BTreeMap::new();
    for object in input.objects {
        if matches!(object.content, Content::Pod(_) | Content::Workload(_)) {
            let reference = &object.reference;
            let namespace = reference.namespace.as_deref().unwrap_or_default();
            objects.insert((namespace, &reference.kind, &reference.name), object);
        }
    }
    for (neighbours, _) in &input.neighbours {
        let Some(&first) = neighbours.policies.first() else {
            continue;
        };
        let namespace = input.policies[first].meaning.id.namespace.as_ref();
        if is_of_the_cluster(namespace) {
            continue;
        }
        for direction in Direction::ALL {
            let open = input.reach.numbered().filter(|(id, class)| {
                class.namespace == namespace && !input.reach.is_isolated(*id, direction)
            });
            let pods = open.flat_map(|(_, class)| &class.pods);
            for pod in pods.filter(|pod| !pod.finished) {
                let Some(object) = object_of(&objects, pod) else {
                    continue;
                };
                findings.add(finding(object, direction));
            }
        }
    }
}

/// The object that a pod is, or whose template it stands for.
fn object_of<'a>(
    objects: &BTreeMap<(&str, &str, &str), &'a Object>,
    pod: &Pod,
) -> Option<&'a Object> {
    let (kind, name) = pod.id.name.split_once('/').unwrap_or(("Pod", &pod.id.name));
    objects.get(&(&*pod.id.namespace, kind, name)).copied()
}

fn finding(object: &Object, direction: Direction) -> Finding {
    let meaning = match direction {
        Direction::Ingress => "everyone may connect to it",
        Direction::Egress => "it may connect to everyone",
    };
    let message = format!("no policy isolates it for {direction}: {meaning}");
    Finding::of_object(&RULE, &object.reference, &object.place, message)
        .with_fix("select its pods in a policy, or add a policy for all pods of the namespace")
}
