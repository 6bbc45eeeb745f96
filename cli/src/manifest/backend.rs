//! What Ingresses, routes, webhooks and monitors say of the Services and pods behind them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

/// A port of a Service that an object sends traffic to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub name: String,
    /// The Service's port.
    pub port: BackendPort,
}

/// How a port of a Service is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendPort {
    /// By its number or name.
    Of(IntOrString),
    /// By its number on the pods.
    OnPods(i32),
    /// Not at all: all of them are meant.
    Every,
}

/// What lets requests from outside in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// The Services that requests are sent on to.
    pub backends: Vec<Backend>,
    /// Who sends them.
    pub sender: Sender,
}

/// Whose pods send requests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// An ingress controller's.
    Controller,
    /// A router's or gateway's in another namespace.
    Elsewhere,
    /// A gateway's that stands in the own namespace.
    OwnNamespace,
}

/// A `ServiceMonitor` or `PodMonitor`.
#[derive(Debug, Clone)]
pub struct Monitor {
    /// The Services (or pods) that it selects.
    pub selector: LabelSelector,
    /// The namespaces that these are in; `None` means every one.
    pub namespaces: Option<Vec<String>>,
    /// The ports that are read: names, or numbers of containers.
    pub ports: Vec<IntOrString>,
    /// Whether it selects pods and not Services.
    pub selects_pods: bool,
}

/// What an Ingress lets in.
pub(super) fn of_ingress(ingress: &Value, namespace: &str) -> Entrance {
    let spec = &ingress["spec"];
    let rules = entries(&spec["rules"]).flat_map(|rule| entries(&rule["http"]["paths"]));
    let backends = rules
        .map(|path| &path["backend"])
        .chain([&spec["defaultBackend"], &spec["backend"]]);
    let backend = |backend: &Value| {
        let service = &backend["service"];
        let name = service["name"]
            .as_str()
            .or_else(|| backend["serviceName"].as_str())?;
        let port = port(&service["port"]["number"])
            .or_else(|| port(&service["port"]["name"]))
            .or_else(|| port(&backend["servicePort"]))?;
        Some(Backend {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            port: BackendPort::Of(port),
        })
    };
    Entrance {
        backends: backends.filter_map(backend).collect(),
        sender: Sender::Controller,
    }
}

/// What a Route of `OpenShift` lets in. Its port is a number on the pods, or the name of a port of the Service.
pub(super) fn of_route(route: &Value, namespace: &str) -> Entrance {
    let spec = &route["spec"];
    let targets = [&spec["to"]]
        .into_iter()
        .chain(entries(&spec["alternateBackends"]));
    let port = match port(&spec["port"]["targetPort"]) {
        Some(IntOrString::Int(number)) => BackendPort::OnPods(number),
        Some(name) => BackendPort::Of(name),
        None => BackendPort::Every,
    };
    let backend = |target: &Value| {
        is_service(target).then_some(())?;
        Some(Backend {
            namespace: namespace.to_owned(),
            name: target["name"].as_str()?.to_owned(),
            port: port.clone(),
        })
    };
    Entrance {
        backends: targets.filter_map(backend).collect(),
        sender: Sender::Elsewhere,
    }
}

/// What a route of the Gateway API lets in. Routes whose parents are Services are for traffic inside a mesh: they let in
/// nothing.
pub(super) fn of_gateway_route(route: &Value, namespace: &str) -> Entrance {
    let spec = &route["spec"];
    let mut gateways = entries(&spec["parentRefs"])
        .filter(|parent| parent["kind"].as_str().unwrap_or("Gateway") == "Gateway")
        .peekable();
    let is_let_in = gateways.peek().is_some();
    let is_own = |gateway: &Value| gateway["namespace"].as_str().unwrap_or(namespace) == namespace;
    let sender = if gateways.any(is_own) {
        Sender::OwnNamespace
    } else {
        Sender::Elsewhere
    };
    let references = entries(&spec["rules"])
        .filter(|_| is_let_in)
        .flat_map(|rule| entries(&rule["backendRefs"]));
    let backend = |reference: &Value| {
        is_service(reference).then_some(())?;
        let own = reference["namespace"].as_str().unwrap_or(namespace);
        Some(Backend {
            namespace: own.to_owned(),
            name: reference["name"].as_str()?.to_owned(),
            port: port(&reference["port"]).map_or(BackendPort::Every, BackendPort::Of),
        })
    };
    Entrance {
        backends: references.filter_map(backend).collect(),
        sender,
    }
}

fn is_service(reference: &Value) -> bool {
    reference["kind"].as_str().unwrap_or("Service") == "Service"
}

/// The Services that the API server calls for a webhook configuration or a custom resource definition.
pub(super) fn of_webhooks(object: &Value) -> Vec<Backend> {
    let configured = entries(&object["webhooks"]).map(|webhook| &webhook["clientConfig"]);
    let conversion = &object["spec"]["conversion"]["webhook"]["clientConfig"];
    let service = |config: &Value| {
        let service = &config["service"];
        Some(Backend {
            namespace: service["namespace"].as_str()?.to_owned(),
            name: service["name"].as_str()?.to_owned(),
            port: BackendPort::Of(port(&service["port"]).unwrap_or(IntOrString::Int(443))),
        })
    };
    configured.chain([conversion]).filter_map(service).collect()
}

/// A monitor of `kind` in `namespace`.
pub(super) fn of_monitor(
    object: &Value,
    kind: &str,
    namespace: &str,
) -> serde_json::Result<Monitor> {
    let spec = &object["spec"];
    let names: Vec<String> = entries(&spec["namespaceSelector"]["matchNames"])
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let namespaces = if spec["namespaceSelector"]["any"] == Value::Bool(true) {
        None
    } else if names.is_empty() {
        Some(vec![namespace.to_owned()])
    } else {
        Some(names)
    };
    let endpoints = entries(&spec["endpoints"]).chain(entries(&spec["podMetricsEndpoints"]));
    let ports = endpoints
        .filter_map(|endpoint| port(&endpoint["port"]).or_else(|| port(&endpoint["targetPort"])));
    let selector = match &spec["selector"] {
        Value::Null => LabelSelector::default(),
        selector => serde_json::from_value(selector.clone())?,
    };
    Ok(Monitor {
        selector,
        namespaces,
        ports: ports.collect(),
        selects_pods: kind == "PodMonitor",
    })
}

fn entries(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn port(value: &Value) -> Option<IntOrString> {
    match value {
        Value::Number(number) => i32::try_from(number.as_i64()?).ok().map(IntOrString::Int),
        Value::String(name) => Some(IntOrString::String(name.clone())),
        _ => None,
    }
}
