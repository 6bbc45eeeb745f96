//! NP222: pods are told to call a Service that policies keep them from.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::{Direction, FlowPort, PodId};

use crate::lint::dependency::{ConfigMaps, Dependency, dependencies};
use crate::lint::{Certainty, ClassId, Finding, Findings, Input, Rule, ServicePort, Severity};
use crate::manifest::{Content, Object};
use crate::owners::maker;

rule! {
    /// ## What it finds
    /// Pods whose variables, arguments or `ConfigMaps` name a Service of the input, where policies deny the connection to
    /// every pod behind it: the pods may not go there, or those do not let them in. It reads `value`, `configMapKeyRef`,
    /// `envFrom`, `command`, `args`, and the `ConfigMaps` that stand in volumes. Of what it reads it keeps hosts and ports
    /// alone, and it prints neither passwords nor values; Secrets are not read.
    ///
    /// ## Why it matters
    /// What a pod is told to call it will call. With the first request it waits until the connection times out.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Deployment
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   selector: {matchLabels: {app: web}}
    ///   template:
    ///     metadata: {labels: {app: web}}
    ///     spec:
    ///       containers:
    ///       - name: web
    ///         env:
    ///         - name: DB_HOST
    ///           value: db
    ///         - name: DB_PORT
    ///           value: "5432"
    /// ---
    /// kind: Service
    /// metadata: {name: db, namespace: shop}
    /// spec: {selector: {app: db}, ports: [{port: 5432}]}
    /// ---
    /// kind: Pod
    /// metadata: {name: db, namespace: shop, labels: {app: db}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: db}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: api}}}]
    ///     ports: [{protocol: TCP, port: 5432}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Deployment
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   selector: {matchLabels: {app: web}}
    ///   template:
    ///     metadata: {labels: {app: web}}
    ///     spec:
    ///       containers:
    ///       - name: web
    ///         env:
    ///         - name: DB_HOST
    ///           value: db
    ///         - name: DB_PORT
    ///           value: "5432"
    /// ---
    /// kind: Service
    /// metadata: {name: db, namespace: shop}
    /// spec: {selector: {app: db}, ports: [{port: 5432}]}
    /// ---
    /// kind: Pod
    /// metadata: {name: db, namespace: shop, labels: {app: db}}
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
    /// ## No finding
    /// For a single word in a variable whose name does not end like that of a host (`DB_NAME: db`), for a port that the
    /// Service does not have, where one pod behind the Service can be called, where the input does not show the number of
    /// a port on the pods, where one of the policies was not understood, and for pods that use their node's network.
    /// Of a running cluster no `ConfigMaps` are read.
    pub(super) const RULE: Rule = Rule {
        code: "NP222",
        name: "dependency-blocked",
        severity: Severity::Warning,
        certainty: Certainty::Heuristic,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    if input
        .objects
        .iter()
        .all(|object| object.settings.is_empty())
    {
        return;
    }
    let classes: BTreeMap<&PodId, ClassId> = input
        .reach
        .numbered()
        .flat_map(|(id, class)| class.pods.iter().map(move |pod| (&pod.id, id)))
        .collect();
    let maps = ConfigMaps::new(input);
    // Each workload is told of once: at its template, or else at the first of its pods.
    let mut told = BTreeSet::new();
    let is_template = |object: &&Object| matches!(object.content, Content::Workload(_));
    let templates = input.objects.iter().filter(is_template);
    let others = input.objects.iter().filter(|object| !is_template(object));
    for object in templates.chain(others) {
        if object.settings.is_empty() {
            continue;
        }
        let Some((pod, _)) = object.pod() else {
            continue;
        };
        let Some(&class) = classes.get(&pod) else {
            continue;
        };
        let workload = workload(object, &pod);
        for dependency in dependencies(input, &maps, object) {
            let Some(denied) = denied(input, class, &dependency) else {
                continue;
            };
            let reference = &dependency.service.object.reference;
            if told.insert((
                pod.namespace.clone(),
                workload.clone(),
                reference,
                dependency.port,
            )) {
                findings.add(finding(input, object, &dependency, denied));
            }
        }
    }
}

/// The workload that an object's pod belongs to.
fn workload(object: &Object, pod: &PodId) -> String {
    let made_by = match &object.content {
        Content::Pod(pod) => maker(&pod.metadata),
        _ => None,
    };
    made_by.unwrap_or_else(|| pod.name.to_string())
}

/// Who denies a connection.
#[derive(Clone, Copy, Default)]
struct Denied {
    /// A policy at the pods' own side that does so for some of the pods behind the Service.
    egress: Option<u32>,
    /// One at the other side.
    ingress: Option<u32>,
}

/// Who denies the connections to all pods behind the Service; `None` where one may be opened, and where it is not known.
fn denied(input: &Input<'_>, class: ClassId, dependency: &Dependency<'_>) -> Option<Denied> {
    let service = dependency.service;
    let mut denied = Denied::default();
    for &backend in &service.backends {
        if backend == class || !is_understood(input, class, backend) {
            return None;
        }
        for (port, targets) in targets(input, backend, dependency) {
            if targets.is_empty() {
                return None;
            }
            for target in targets {
                let target = FlowPort::Port(port.protocol, target);
                let goes = input.reach.allowed(class, Direction::Egress, backend);
                let comes = input.reach.allowed(backend, Direction::Ingress, class);
                let (goes, comes) = (goes.contains(target), comes.contains(target));
                if goes && comes {
                    return None;
                }
                let first = |class, direction| {
                    let isolating = input.reach.isolating(class, direction);
                    isolating.first().copied()
                };
                if !goes {
                    denied.egress = denied.egress.or(first(class, Direction::Egress));
                }
                if !comes {
                    denied.ingress = denied.ingress.or(first(backend, Direction::Ingress));
                }
            }
        }
    }
    (denied.egress.is_some() || denied.ingress.is_some()).then_some(denied)
}

/// Whether every policy that decides was understood: what a mistake in one denies is told at the mistake.
fn is_understood(input: &Input<'_>, class: ClassId, backend: ClassId) -> bool {
    let egress = input.reach.isolating(class, Direction::Egress);
    let ingress = input.reach.isolating(backend, Direction::Ingress);
    let mut policies = egress.iter().chain(ingress);
    policies.all(|&policy| input.policies[policy as usize].problems.is_empty())
}

/// The ports of the Service that are called, with their numbers on a backend. A Service without an address of its own
/// is called on the pods' own ports.
fn targets<'i>(
    input: &Input<'_>,
    backend: ClassId,
    dependency: &Dependency<'i>,
) -> Vec<(&'i ServicePort<'i>, Vec<u16>)> {
    let service = dependency.service;
    let spec = service.written.spec.as_ref();
    let is_headless = spec.and_then(|spec| spec.cluster_ip.as_deref()) == Some("None");
    let ports = service.ports.iter().filter_map(|port| {
        let targets = port.targets(input.reach.class(backend));
        match dependency.port {
            None => Some((port, targets)),
            Some(number) if is_headless && targets.contains(&number) => Some((port, vec![number])),
            Some(number) => (port.port == number).then_some((port, targets)),
        }
    });
    ports.collect()
}

fn finding(
    input: &Input<'_>,
    object: &Object,
    dependency: &Dependency<'_>,
    denied: Denied,
) -> Finding {
    let service = &dependency.service.object.reference;
    let port = dependency.port.map(|port| format!(" on port {port}"));
    let port = port.unwrap_or_default();
    let name = |policy: u32| {
        let reference = &input.policies[policy as usize].object.reference;
        reference.to_string()
    };
    let (reason, fix) = match (denied.egress, denied.ingress) {
        (Some(egress), Some(ingress)) => (
            format!(
                "{} isolates them for egress, {} those behind it for ingress, and no rule allows it",
                name(egress),
                name(ingress)
            ),
            "allow it in the egress rules of these pods and in the ingress rules of those behind the Service",
        ),
        (Some(egress), None) => (
            format!(
                "{} isolates them for egress, and no rule allows it",
                name(egress)
            ),
            "allow it in the egress rules of a policy that selects these pods",
        ),
        (None, ingress) => (
            format!(
                "{} isolates those behind it for ingress, and no rule lets them in",
                ingress.map(name).unwrap_or_default()
            ),
            "let them in by the ingress rules of a policy that selects the pods behind the Service",
        ),
    };
    let by = &dependency.by;
    let message = format!("{by} tells these pods to call {service}{port}: {reason}");
    let setting = dependency.setting;
    // No other place is shown: what lies between would be drawn too, and may be secret.
    let mut finding =
        Finding::of_object(&RULE, &object.reference, &setting.place, message).with_fix(fix);
    finding.path = setting.path.clone();
    if input.is_open_world {
        return finding.with_severity(Severity::Info);
    }
    finding
}
