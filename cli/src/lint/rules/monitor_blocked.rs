//! NP215: metrics that Prometheus cannot read.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use policy_core::{Direction, FlowPort, PortSet, Protocol, Selector};

use super::ingress_backend_blocked::opens_beyond_the_namespace;
use crate::lint::{Certainty, Class, ClassId, Finding, Findings, Input, Rule, Severity};
use crate::manifest::{Content, Monitor};

rule! {
    /// ## What it finds
    /// Targets of a `ServiceMonitor` or `PodMonitor` whose pods are isolated for ingress, where no rule lets Prometheus in on
    /// the port of their metrics. Prometheus is the pods of the input with its usual labels. Where there is none, it is a
    /// finding if the port is open to pods of the own namespace at most.
    ///
    /// ## Why it matters
    /// The metrics are missing, and so are the alerts that are made of them.
    ///
    /// ## Example
    /// ```yaml
    /// kind: PodMonitor
    /// metadata: {name: web, namespace: shop}
    /// spec: {selector: {matchLabels: {app: web}}, podMetricsEndpoints: [{port: metrics}]}
    /// ---
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// spec: {containers: [{name: web, ports: [{name: metrics, containerPort: 9100}]}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - ports: [{protocol: TCP, port: 8080}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: PodMonitor
    /// metadata: {name: web, namespace: shop}
    /// spec: {selector: {matchLabels: {app: web}}, podMetricsEndpoints: [{port: metrics}]}
    /// ---
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// spec: {containers: [{name: web, ports: [{name: metrics, containerPort: 9100}]}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - ports: [{protocol: TCP, port: 8080}]
    ///   - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
    ///     ports: [{protocol: TCP, port: metrics}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP215",
        name: "monitor-blocked",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let scrapers: Vec<ClassId> = input
        .reach
        .numbered()
        .filter(|(_, class)| is_scraper(class))
        .map(|(id, _)| id)
        .collect();
    for object in input.objects {
        let Content::Monitor(monitor) = &object.content else {
            continue;
        };
        let targets = targets(input, monitor).into_iter();
        let mut blocked = targets.filter(|(class, ports)| {
            !ports.is_empty() && is_blocked(input, *class, ports, &scrapers)
        });
        let Some((class, ports)) = blocked.next() else {
            continue;
        };
        let message = format!(
            "Prometheus may not connect to {} on {ports}, which {} reads",
            input.reach.class(class).name(),
            object.reference
        );
        let isolating = input.reach.isolating(class, Direction::Ingress);
        let finding = Finding::of_object(&RULE, &object.reference, &object.place, message)
            .with_fix("allow the namespace of Prometheus on the port of the metrics");
        findings.add(match isolating.first() {
            Some(&policy) => finding.with_related(
                input.policies[policy as usize].name_place(),
                "isolates the pods",
            ),
            None => finding,
        });
    }
}

fn is_scraper(class: &Class<'_>) -> bool {
    ["app.kubernetes.io/name", "app"].iter().any(|key| {
        let value = class.labels.value(key);
        value.is_some_and(|value| matches!(value, "prometheus" | "vmagent" | "grafana-agent"))
    })
}

/// The classes that a monitor reads, with the ports that are read.
fn targets(input: &Input<'_>, monitor: &Monitor) -> Vec<(ClassId, PortSet)> {
    let Some(selector) = selector(monitor) else {
        return Vec::new();
    };
    let is_watched = |namespace: &str| {
        let names = monitor.namespaces.as_ref();
        names.is_none_or(|names| names.iter().any(|name| name == namespace))
    };
    let mut found = Vec::new();
    if monitor.selects_pods {
        for (id, class) in input.reach.numbered() {
            if is_watched(class.namespace) && selector.matches(class.labels) {
                found.push((id, pod_ports(monitor, class)));
            }
        }
        return found;
    }
    for service in input
        .services
        .iter()
        .filter(|service| is_watched(service.namespace))
    {
        let labels = service.written.metadata.labels.iter().flatten().collect();
        if !selector.matches(&labels) {
            continue;
        }
        for &class in &service.backends {
            let destination = input.reach.class(class);
            let mut ports = pod_ports(monitor, destination);
            for port in &service.ports {
                let is_read = monitor.ports.iter().any(
                    |wanted| matches!(wanted, IntOrString::String(name) if port.name == Some(name)),
                );
                if is_read {
                    let numbers = port.targets(destination).into_iter();
                    let numbers = numbers.map(|number| (port.protocol, number, number));
                    ports = numbers.collect();
                }
            }
            found.push((class, ports));
        }
    }
    found
}

fn selector(monitor: &Monitor) -> Option<Selector> {
    let is_plain = monitor
        .selector
        .match_expressions
        .iter()
        .flatten()
        .next()
        .is_none();
    let labels = monitor.selector.match_labels.iter().flatten();
    let demands =
        labels.map(|(key, value)| (key, policy_core::selector::Constraint::one_of([value])));
    is_plain.then(|| demands.collect())
}

/// The ports of pods that a monitor names or numbers.
fn pod_ports(monitor: &Monitor, class: &Class<'_>) -> PortSet {
    let numbers = monitor.ports.iter().flat_map(|port| match port {
        IntOrString::Int(number) => u16::try_from(*number).into_iter().collect::<Vec<_>>(),
        IntOrString::String(name) => class.numbers(Protocol::Tcp, name).collect(),
    });
    numbers
        .map(|number| (Protocol::Tcp, number, number))
        .collect()
}

fn is_blocked(input: &Input<'_>, class: ClassId, ports: &PortSet, scrapers: &[ClassId]) -> bool {
    if !input.reach.is_isolated(class, Direction::Ingress) {
        return false;
    }
    let lets_in = |scraper: &ClassId| {
        let allowed = input.reach.allowed(class, Direction::Ingress, *scraper);
        !allowed.intersection(ports).is_empty()
    };
    let destination = input.reach.class(class);
    let opening = opens_beyond_the_namespace(input, class, |grant| {
        let mut numbers = ports.ports(Protocol::Tcp).ranges().iter();
        numbers.any(|(number, _)| grant.gives(destination, FlowPort::Port(Protocol::Tcp, *number)))
    });
    !scrapers.iter().any(lets_in) && !opening.is_open(!scrapers.is_empty())
}
