//! The objects that a document holds.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    Namespace, Node as NodeObject, Pod, PodSpec, PodTemplateSpec, Service,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use policy_core::PodId;
use policy_core::lower::Unread;
use policy_core::problem::{FieldPath, ObjectRef};
use serde::Deserialize;

use super::backend::{Backend, Entrance, Monitor};
use super::setting::Setting;
use super::source::Span;
use super::source_map::{Place, SourceMap};

/// One Kubernetes object of the input.
#[derive(Debug)]
pub struct Object {
    /// `apiVersion`.
    pub api_version: String,
    /// Kind, namespace (the default one where none is written) and name.
    pub reference: ObjectRef,
    /// Whether its namespace is known: it is written, or was given for the whole input. Otherwise it lands in the one that
    /// is current when it is applied.
    pub is_placed: bool,
    /// Where it begins.
    pub place: Place,
    /// Keys that stand twice.
    pub repeated: Vec<RepeatedKey>,
    /// What its containers are told about whom to call.
    pub settings: Vec<Setting>,
    /// The object itself.
    pub content: Content,
}

/// The object itself, by kind.
#[derive(Debug)]
pub enum Content {
    /// A Namespace.
    Namespace(Box<Namespace>),
    /// A Node.
    Node(Box<NodeObject>),
    /// A Pod.
    Pod(Box<Pod>),
    /// Something that makes Pods.
    Workload(Box<Workload>),
    /// A `NetworkPolicy`.
    Policy(Box<PolicyObject>),
    /// A Service.
    Service(Box<Service>),
    /// An Ingress or a route: the Services behind it.
    Entrance(Entrance),
    /// An object that makes the API server call Services: these.
    Webhooks(Vec<Backend>),
    /// A `ServiceMonitor` or `PodMonitor`.
    Monitor(Box<Monitor>),
    /// A `ConnectivityTest`.
    Tests(Vec<ConnectivityTest>),
    /// A kind that is known and that no command reads yet.
    Known,
}

/// A Deployment, `ReplicaSet`, `StatefulSet`, `DaemonSet`, Job, `CronJob` or `ReplicationController`, or a workload of
/// another project with a pod template in the same place.
#[derive(Debug)]
pub struct Workload {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// `spec.replicas`.
    pub replicas: Option<i32>,
    /// `spec.serviceName`: the Service that gives the pods of a `StatefulSet` their names.
    pub service_name: Option<String>,
    /// Where its pod template stands, such as `spec.template`.
    pub template_path: FieldPath,
    /// Its pod template.
    pub template: PodTemplateSpec,
}

/// A `NetworkPolicy` as far as it could be read.
#[derive(Debug)]
pub struct PolicyObject {
    /// The typed object, without what could not be read.
    pub object: NetworkPolicy,
    /// What could not be read: fields that the API does not have, and values of a wrong type.
    pub unread: Vec<Unread>,
    /// Where its fields stand.
    pub fields: SourceMap,
}

/// One entry of a `ConnectivityTest`, as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ConnectivityTest {
    /// What the test shows.
    pub name: Option<String>,
    /// Who opens the connection.
    pub from: WrittenEnd,
    /// Whom to.
    pub to: WrittenEnd,
    /// The port; `None` means any.
    pub port: Option<i32>,
    /// `TCP` where absent.
    pub protocol: Option<String>,
    /// `IPv4` where absent and both ends have it.
    pub family: Option<String>,
    /// `allow` or `deny`.
    pub expect: String,
}

/// An end of a [`ConnectivityTest`]: exactly one of the three.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct WrittenEnd {
    /// `namespace/name` of a Pod.
    pub pod: Option<String>,
    /// `namespace/Kind/name` of a workload.
    pub workload: Option<String>,
    /// An address.
    pub ip: Option<String>,
}

/// A key that stands twice in one mapping. The later one counts.
#[derive(Debug, Clone)]
pub struct RepeatedKey {
    /// The field.
    pub path: FieldPath,
    /// The earlier key.
    pub earlier: Place,
    /// The later key.
    pub later: Place,
}

impl Object {
    /// The pod that it is or makes, by the inventory's name, and what is written of it.
    pub fn pod(&self) -> Option<(PodId, Option<&PodSpec>)> {
        let reference = &self.reference;
        let (spec, name) = match &self.content {
            Content::Pod(pod) => (pod.spec.as_ref(), reference.name.clone()),
            Content::Workload(workload) => (
                workload.template.spec.as_ref(),
                format!("{}/{}", reference.kind, reference.name),
            ),
            _ => return None,
        };
        let namespace = reference.namespace.as_deref()?;
        Some((PodId::new(namespace, &name), spec))
    }

    pub(super) fn place_of(&self, span: Span) -> Place {
        Place {
            source: Arc::clone(&self.place.source),
            span,
        }
    }
}
