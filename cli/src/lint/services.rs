//! The Services of the input, and what their ports are on the pods behind them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use policy_core::selector::Constraint;
use policy_core::{Labels, Protocol, Selector};

use super::reach::{Class, ClassId, Reach};
use crate::manifest::{Backend, BackendPort, Content, Object};

/// A Service that selects pods.
#[derive(Debug)]
pub struct Service<'a> {
    /// The object.
    pub object: &'a Object,
    /// Its type, addresses and traffic policy.
    pub written: &'a k8s_openapi::api::core::v1::Service,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its ports.
    pub ports: Vec<ServicePort<'a>>,
    /// The classes of the pods behind it.
    pub backends: Vec<ClassId>,
    selector: Selector,
}

/// A port of a Service.
#[derive(Debug)]
pub struct ServicePort<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number on the Service.
    pub port: u16,
    target: Target<'a>,
}

#[derive(Debug)]
enum Target<'a> {
    Number(u16),
    Name(&'a str),
}

impl Service<'_> {
    /// Whether it selects pods that a selector selects too, of which the input shows none: such pods have the labels that
    /// the Service asks for at least.
    pub(super) fn means_unseen(&self, selector: &Selector) -> bool {
        let spec = self.written.spec.as_ref();
        let labels = spec.and_then(|spec| spec.selector.as_ref());
        let labels: Labels = labels.into_iter().flatten().collect();
        self.backends.is_empty() && selector.matches(&labels)
    }
}

impl ServicePort<'_> {
    /// Its number on all pods, where pods do not give a number to its name.
    pub(super) fn target(&self) -> Option<u16> {
        match self.target {
            Target::Number(number) => Some(number),
            Target::Name(_) => None,
        }
    }

    /// Whether it leads to this number, whatever pods say.
    fn is_target(&self, number: i32) -> bool {
        matches!(self.target, Target::Number(target) if i32::from(target) == number)
    }

    /// Its numbers on the pods of a class.
    pub fn targets(&self, class: &Class<'_>) -> Vec<u16> {
        match self.target {
            Target::Number(number) => vec![number],
            Target::Name(name) => class.numbers(self.protocol, name).collect(),
        }
    }
}

/// The Services of the input, by namespace.
#[derive(Debug, Default)]
pub struct Services<'a> {
    by_namespace: BTreeMap<&'a str, Vec<Service<'a>>>,
}

impl<'a> Services<'a> {
    /// Takes the Services that have selectors, and finds their pods.
    pub(super) fn new(objects: &'a [Object], reach: &Reach<'_>) -> Self {
        let mut services = Self::default();
        for object in objects {
            let Content::Service(written) = &object.content else {
                continue;
            };
            let namespace = object.reference.namespace.as_deref().unwrap_or_default();
            if let Some(service) = service(object, written, namespace) {
                let known = services.by_namespace.entry(namespace).or_default();
                known.retain(|other| other.object.reference != object.reference);
                known.push(service);
            }
        }
        services.find_backends(reach);
        services
    }

    fn find_backends(&mut self, reach: &Reach<'_>) {
        for (id, class) in reach.numbered() {
            for service in self
                .by_namespace
                .get_mut(class.namespace)
                .into_iter()
                .flatten()
            {
                if service.selector.matches(class.labels) {
                    service.backends.push(id);
                }
            }
        }
    }

    /// The Services of a namespace.
    pub fn of(&self, namespace: &str) -> &[Service<'a>] {
        self.by_namespace.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// All Services.
    pub fn iter(&self) -> impl Iterator<Item = &Service<'a>> {
        self.by_namespace.values().flatten()
    }

    /// The Service that a backend means, and those of its ports.
    pub fn find<'s>(
        &'s self,
        backend: &'s Backend,
    ) -> impl Iterator<Item = (&'s Service<'a>, &'s ServicePort<'a>)> {
        let services = self.of(&backend.namespace).iter();
        let named = services.filter(|service| service.object.reference.name == backend.name);
        named.flat_map(|service| {
            let ports = service.ports.iter();
            let meant = ports.filter(|port| match &backend.port {
                BackendPort::Of(IntOrString::Int(number)) => i32::from(port.port) == *number,
                BackendPort::Of(IntOrString::String(name)) => port.name == Some(name),
                BackendPort::OnPods(number) => port.is_target(*number),
                BackendPort::Every => true,
            });
            meant.map(move |port| (service, port))
        })
    }
}

fn service<'a>(
    object: &'a Object,
    written: &'a k8s_openapi::api::core::v1::Service,
    namespace: &'a str,
) -> Option<Service<'a>> {
    let selector = selector(written)?;
    let ports = written.spec.as_ref()?.ports.iter().flatten();
    let ports = ports.filter_map(|port| {
        let number = u16::try_from(port.port).ok()?;
        let target = match &port.target_port {
            None => Target::Number(number),
            Some(IntOrString::Int(target)) => Target::Number(u16::try_from(*target).ok()?),
            Some(IntOrString::String(name)) => Target::Name(name),
        };
        Some(ServicePort {
            name: port.name.as_deref(),
            protocol: match port.protocol.as_deref() {
                None => Protocol::Tcp,
                Some(protocol) => Protocol::from_api(protocol)?,
            },
            port: number,
            target,
        })
    });
    Some(Service {
        object,
        written,
        namespace,
        ports: ports.collect(),
        backends: Vec::new(),
        selector,
    })
}

fn selector(written: &k8s_openapi::api::core::v1::Service) -> Option<Selector> {
    let labels = written.spec.as_ref()?.selector.as_ref()?;
    let demands = labels
        .iter()
        .map(|(key, value)| (key, Constraint::one_of([value])));
    (!labels.is_empty()).then(|| demands.collect())
}
