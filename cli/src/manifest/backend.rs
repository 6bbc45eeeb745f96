//! What Ingresses, webhooks and monitors say of the Services and pods behind them.

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
    pub port: IntOrString,
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

/// The backends of an Ingress.
pub(super) fn of_ingress(ingress: &Value, namespace: &str) -> Vec<Backend> {
    let spec = &ingress["spec"];
    let rules = entries(&spec["rules"]).flat_map(|rule| entries(&rule["http"]["paths"]));
    let backends = rules
        .map(|path| &path["backend"])
        .chain([&spec["defaultBackend"]]);
    let backend = |backend: &Value| {
        let service = &backend["service"];
        Some(Backend {
            namespace: namespace.to_owned(),
            name: service["name"].as_str()?.to_owned(),
            port: port(&service["port"]["number"]).or_else(|| port(&service["port"]["name"]))?,
        })
    };
    backends.filter_map(backend).collect()
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
            port: port(&service["port"]).unwrap_or(IntOrString::Int(443)),
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
