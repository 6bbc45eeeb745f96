//! NP213: an Ingress whose backend its controller cannot reach.

use policy_core::policy::{Namespaces, Peer, Peers};
use policy_core::{Direction, FlowPort, PortSet};

use crate::lint::{
    Certainty, Class, ClassId, Finding, Findings, Input, Rule, ServicePort, Severity,
};
use crate::manifest::{Content, Sender};

rule! {
    /// ## What it finds
    /// Backends of an Ingress, of a Route (`route.openshift.io`) or of a route of the Gateway API (such as an `HTTPRoute`)
    /// whose pods are isolated for ingress, where no rule lets the pods of an ingress controller in on their port. The
    /// controllers are the pods of the input with the usual labels of one. Where there is none, and for routes, it is a
    /// finding if the port is open to known pods of the own namespace at most.
    ///
    /// ## Why it matters
    /// Requests from outside come to the pods from the controller. It answers with an error when it cannot reach them.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Ingress
    /// metadata: {name: web, namespace: shop}
    /// spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
    /// ---
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
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Ingress
    /// metadata: {name: web, namespace: shop}
    /// spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
    /// ---
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
    ///   - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}]
    ///     ports: [{protocol: TCP, port: 8080}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP213",
        name: "ingress-backend-blocked",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

/// Names that the pods of well-known controllers carry in one of the usual labels.
const CONTROLLERS: [&str; 10] = [
    "ingress-nginx",
    "nginx-ingress",
    "traefik",
    "haproxy-ingress",
    "kubernetes-ingress",
    "contour",
    "envoy",
    "kong",
    "ingress-controller",
    "router",
];

/// Whether pods of a class are an ingress controller's, by the usual labels.
pub(super) fn is_controller(class: &Class<'_>) -> bool {
    ["app.kubernetes.io/name", "app", "k8s-app", "name"]
        .iter()
        .any(|key| {
            let value = class.labels.value(key);
            value.is_some_and(|value| CONTROLLERS.contains(&value))
        })
}

/// The ingress controllers of the input.
pub(super) fn controllers(input: &Input<'_>) -> Vec<ClassId> {
    let all = input.reach.numbered();
    let found = all.filter(|(_, class)| is_controller(class));
    found.map(|(id, _)| id).collect()
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let controllers = controllers(input);
    for object in input.objects {
        let Content::Entrance(entrance) = &object.content else {
            continue;
        };
        let (who, known) = match entrance.sender {
            Sender::Controller => ("ingress controller", controllers.as_slice()),
            Sender::Elsewhere | Sender::OwnNamespace => ("router or gateway", [].as_slice()),
        };
        for backend in &entrance.backends {
            let ports: Vec<_> = input.services.find(backend).collect();
            let Some((service, _)) = ports.first() else {
                continue;
            };
            let mut classes = service.backends.iter().copied();
            let is_blocked = |class: &ClassId| {
                let mut ports = ports.iter();
                ports.all(|(_, port)| is_blocked(input, *class, port, known, entrance.sender))
            };
            let Some(class) = classes.find(is_blocked) else {
                continue;
            };
            let message = format!(
                "no {who} may connect to {}, the pods of {}, on the port of {}",
                input.reach.class(class).name(),
                service.object.reference,
                object.reference
            );
            let isolating = input.reach.isolating(class, Direction::Ingress);
            let finding = Finding::of_object(&RULE, &object.reference, &object.place, message)
                .with_fix(format!(
                    "allow the {who}'s namespace on the port of the pods"
                ));
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

fn is_blocked(
    input: &Input<'_>,
    class: ClassId,
    port: &ServicePort<'_>,
    controllers: &[ClassId],
    sender: Sender,
) -> bool {
    let destination = input.reach.class(class);
    let targets = port.targets(destination);
    if !input.reach.is_isolated(class, Direction::Ingress) || targets.is_empty() {
        return false;
    }
    let wanted: PortSet = targets
        .iter()
        .map(|&target| (port.protocol, target, target))
        .collect();
    let lets_in = |controller: &ClassId| {
        let allowed = input.reach.allowed(class, Direction::Ingress, *controller);
        !allowed.intersection(&wanted).is_empty()
    };
    let open_beyond = opens_beyond_the_namespace(input, class, |grant| {
        let mut targets = targets.iter();
        targets.any(|&target| grant.gives(destination, FlowPort::Port(port.protocol, target)))
    });
    // A controller on its node's network, or outside, is let in by address.
    let to_neighbours = sender == Sender::OwnNamespace && open_beyond.to_all_neighbours;
    !controllers.iter().any(lets_in)
        && !open_beyond.is_open(!controllers.is_empty())
        && !to_neighbours
}

/// How far a port is open.
#[derive(Debug, Default)]
pub(super) struct Opening {
    by_address: bool,
    /// To pods of other namespaces, or to some of the own namespace that the input may not show.
    to_unseen_pods: bool,
    to_all_neighbours: bool,
}

impl Opening {
    /// Whether somebody who is not known may be let in; when who is asked for `is_known`, only what goes by address
    /// counts.
    pub(super) fn is_open(&self, is_known: bool) -> bool {
        self.by_address || (!is_known && self.to_unseen_pods)
    }
}

/// Whether grants that `gives` admits let in addresses, or pods that the input does not show.
pub(super) fn opens_beyond_the_namespace(
    input: &Input<'_>,
    class: ClassId,
    gives: impl Fn(&crate::lint::Grant) -> bool,
) -> Opening {
    let mut opening = Opening::default();
    let own = input.reach.class(class).namespace;
    for &index in input.reach.isolating(class, Direction::Ingress) {
        let policy = &input.policies[index as usize];
        for grant in input.reach.grants(index as usize, Direction::Ingress) {
            if !gives(grant) {
                continue;
            }
            opening.by_address |= grant.is_for_everyone || !grant.blocks.is_empty();
            let rule = policy.rule(Direction::Ingress, grant.rule);
            let Some(Peers::Listed(peers)) = rule.map(|rule| rule.peers) else {
                continue;
            };
            for peer in peers {
                match peer {
                    Peer::Pods {
                        namespaces: Namespaces::Matching(_),
                        ..
                    } => opening.to_unseen_pods = true,
                    Peer::Pods { pods, .. } if pods.is_everything() => {
                        opening.to_all_neighbours = true;
                    }
                    Peer::Pods { pods, .. } => {
                        opening.to_unseen_pods |= input.world.has_match(own, pods).is_none();
                    }
                    Peer::Block(_) => {}
                }
            }
        }
    }
    opening
}
