//! A parsed document to the objects in it, lists followed.

use std::sync::Arc;

use policy_core::lower;
use policy_core::problem::{FieldPath, ObjectRef, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::account;
use super::backend;
use super::error::InputError;
use super::kind::{self, Kind};
use super::maker::may_make_pods;
use super::object::{Content, Object, PolicyObject, RepeatedKey, Workload};
use super::scalar::Scalar;
use super::setting::{config_map, settings};
use super::source::{Source, Span};
use super::source_map::{Place, SourceMap};
use super::take::{Taken, UnknownFields, take};
use super::tree::{Node, Value as NodeValue};
use super::{ForeignPolicy, Manifests, PassedOver};

/// The namespace of objects that name none, where none was given. It may well be another one's.
pub(crate) const UNSTATED_NAMESPACE: &str = "default";

/// Reads the objects of one document into `manifests`.
pub(super) fn read(
    root: &Node<'_>,
    source: &Arc<Source>,
    namespace: &str,
    manifests: &mut Manifests,
) {
    Reader {
        source,
        namespace,
        manifests,
    }
    .document(root);
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    namespace: &'a str,
    manifests: &'a mut Manifests,
}

/// `apiVersion` and `kind` that entries of a typed list (`PodList`) need not repeat.
#[derive(Clone, Copy)]
struct Inherited<'a> {
    api_version: &'a str,
    kind: &'a str,
}

impl Reader<'_> {
    fn document(&mut self, root: &Node<'_>) {
        if !root.is_null() {
            self.object(root, None);
        }
    }

    fn object(&mut self, node: &Node<'_>, inherited: Option<Inherited<'_>>) {
        if !node.is_mapping() {
            let found = node.description();
            self.error(
                node.span,
                format!("expected a Kubernetes object, found {found}"),
            );
            return;
        }
        let kind = text(node, "kind").or(inherited.map(|inherited| inherited.kind));
        let api_version =
            text(node, "apiVersion").or(inherited.map(|inherited| inherited.api_version));
        let (Some(kind), Some(api_version)) = (kind, api_version) else {
            let missing = if kind.is_none() { "kind" } else { "apiVersion" };
            self.error(
                node.span,
                format!("not a Kubernetes object: it has no {missing}"),
            );
            return;
        };
        if kind::is_of_another_version(api_version, kind) {
            let message = format!("no {kind} of {api_version} is known: write nopal.dev/v1alpha1");
            self.error(node.span, message);
            return;
        }
        match (Kind::of(api_version, kind), node.get("items")) {
            (Some(known), _) => self.known(node, known, api_version, kind),
            (None, Some(items)) if kind.ends_with("List") => self.list(items, api_version, kind),
            (None, _) if kind::is_config_map(api_version, kind) => {
                match config_map(node, self.namespace) {
                    Some(map) => self.manifests.config_maps.push(map),
                    None => self.pass_over(api_version, kind),
                }
            }
            (None, _) if kind::is_role_binding(api_version, kind) => {
                let bound = account::bound(node, self.namespace);
                self.manifests.bound_accounts.extend(bound);
                self.manifests.has_bindings = true;
            }
            (None, _) => {
                if kind::is_foreign_policy(api_version, kind) {
                    self.foreign(node, api_version, kind);
                }
                if may_make_pods(api_version, kind) {
                    let own = node.get("metadata").and_then(|own| text(own, "namespace"));
                    let namespace = own.unwrap_or(self.namespace).to_owned();
                    self.manifests.makers.insert(namespace);
                }
                self.pass_over(api_version, kind);
            }
        }
    }

    fn pass_over(&mut self, api_version: &str, kind: &str) {
        self.manifests.passed_over.push(PassedOver {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        });
    }

    fn foreign(&mut self, node: &Node<'_>, api_version: &str, kind: &str) {
        let field = |name: &str| {
            let metadata = node.get("metadata")?;
            text(metadata, name).map(str::to_owned)
        };
        self.manifests.foreign.push(ForeignPolicy {
            api_version: api_version.to_owned(),
            reference: ObjectRef {
                kind: kind.to_owned(),
                namespace: field("namespace"),
                name: field("name").unwrap_or_default(),
            },
            place: Place {
                source: Arc::clone(self.source),
                span: start_of(node),
            },
        });
    }

    fn list(&mut self, items: &Node<'_>, api_version: &str, list: &str) {
        let NodeValue::Sequence(entries) = &items.resolved().value else {
            if !items.is_null() {
                let found = items.description();
                self.error(items.span, format!("items: expected a list, found {found}"));
            }
            return;
        };
        let kind = list.strip_suffix("List").filter(|kind| !kind.is_empty());
        let inherited = kind.map(|kind| Inherited { api_version, kind });
        for entry in entries {
            self.object(entry, inherited);
        }
    }

    fn known(&mut self, node: &Node<'_>, kind: Kind, api_version: &str, kind_name: &str) {
        let unknown = match kind {
            Kind::NetworkPolicy | Kind::ConnectivityTest => UnknownFields::Report,
            _ => UnknownFields::Ignore,
        };
        let mut taken = take(node, kind.fields(), unknown);
        let written = taken.value.pointer("/metadata/namespace");
        let is_placed = written.is_some_and(|name| name.as_str() != Some(""))
            || self.namespace != UNSTATED_NAMESPACE;
        let reference = reference(&mut taken.value, kind, kind_name, self.namespace);
        let place = Place {
            source: Arc::clone(self.source),
            span: start_of(node),
        };
        let Some(content) = self.content(node, kind, &reference, &place, &mut taken) else {
            return;
        };
        for problem in problems(&content, &reference) {
            let span = node.find(&problem.path).span;
            self.object_error(span, &reference, problem.path, problem.kind.to_string());
        }
        let told = settings(node, kind, self.source, &place);
        let mut object = Object {
            api_version: api_version.to_owned(),
            reference,
            is_placed,
            place,
            repeated: Vec::new(),
            settings: told,
            content,
        };
        for (path, key) in taken.repeated {
            let (earlier, later) = (object.place_of(key.earlier), object.place_of(key.later));
            object.repeated.push(RepeatedKey {
                path,
                earlier,
                later,
            });
        }
        self.manifests.objects.push(object);
    }

    fn content(
        &mut self,
        node: &Node<'_>,
        kind: Kind,
        reference: &ObjectRef,
        place: &Place,
        taken: &mut Taken,
    ) -> Option<Content> {
        if kind != Kind::NetworkPolicy {
            let errors = std::mem::take(&mut taken.unread);
            let understood = errors.is_empty();
            for (unread, span) in errors {
                self.object_error(span, reference, unread.path, unread.kind.to_string());
            }
            if !understood {
                return None;
            }
            if reference.name.is_empty() && kind != Kind::ConnectivityTest {
                self.error(
                    place.span,
                    format!("{} has no metadata.name", reference.kind),
                );
                return None;
            }
        }
        let mut value = taken.value.take();
        let content = match kind {
            Kind::Namespace => typed(value).map(Content::Namespace),
            Kind::Node => typed(value).map(Content::Node),
            Kind::Pod => typed(value).map(Content::Pod),
            Kind::Workload => workload(value, &["spec", "template"]).map(Content::Workload),
            Kind::CronJob => {
                workload(value, &["spec", "jobTemplate", "spec", "template"]).map(Content::Workload)
            }
            Kind::NetworkPolicy => typed(value).map(|object| {
                let unread = std::mem::take(&mut taken.unread);
                let unread = unread.into_iter().map(|(unread, _)| unread).collect();
                let fields = SourceMap::new(Arc::clone(self.source), node);
                Content::Policy(Box::new(PolicyObject {
                    object: *object,
                    unread,
                    fields,
                }))
            }),
            Kind::ConnectivityTest => {
                let tests = value
                    .get_mut("tests")
                    .map_or_else(|| Value::Array(Vec::new()), Value::take);
                serde_json::from_value(tests).map(Content::Tests)
            }
            Kind::Service => typed(value).map(Content::Service),
            Kind::Ingress => {
                let namespace = reference.namespace.as_deref().unwrap_or_default();
                Ok(Content::Entrance(backend::of_ingress(&value, namespace)))
            }
            Kind::Route => {
                let namespace = reference.namespace.as_deref().unwrap_or_default();
                Ok(Content::Entrance(backend::of_route(&value, namespace)))
            }
            Kind::GatewayRoute => {
                let namespace = reference.namespace.as_deref().unwrap_or_default();
                let entrance = backend::of_gateway_route(&value, namespace);
                Ok(Content::Entrance(entrance))
            }
            Kind::WebhookConfiguration | Kind::CustomResourceDefinition => {
                Ok(Content::Webhooks(backend::of_webhooks(&value)))
            }
            Kind::Monitor => {
                let namespace = reference.namespace.as_deref().unwrap_or_default();
                backend::of_monitor(&value, &reference.kind, namespace)
                    .map(|monitor| Content::Monitor(Box::new(monitor)))
            }
            Kind::Named => Ok(Content::Known),
        };
        content
            .map_err(|error| self.error(place.span, format!("{reference}: {error}")))
            .ok()
    }

    fn error(&mut self, span: Span, message: String) {
        self.manifests.errors.push(InputError {
            file: self.source.name().to_owned(),
            position: Some(self.source.position(span.start)),
            object: None,
            path: FieldPath::root(),
            message,
        });
    }

    fn object_error(
        &mut self,
        span: Span,
        reference: &ObjectRef,
        path: FieldPath,
        message: String,
    ) {
        self.manifests.errors.push(InputError {
            file: self.source.name().to_owned(),
            position: Some(self.source.position(span.start)),
            object: Some(reference.clone()),
            path,
            message,
        });
    }
}

/// What lowering says about an object that is no policy. Policies are lint's business.
fn problems(content: &Content, reference: &ObjectRef) -> Vec<Problem> {
    let namespace = reference.namespace.as_deref().unwrap_or_default();
    match content {
        Content::Node(node) => lower::node(node).1,
        Content::Pod(pod) => lower::pod(pod).1,
        Content::Workload(workload) => {
            let (path, template) = (&workload.template_path, &workload.template);
            lower::template(&reference.kind, namespace, &reference.name, path, template).1
        }
        _ => Vec::new(),
    }
}

fn text<'n>(node: &'n Node<'_>, field: &str) -> Option<&'n str> {
    match node.get(field).and_then(Node::scalar) {
        Some(Scalar::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// The object's identity. Where no namespace is written, the default one is written in.
fn reference(value: &mut Value, kind: Kind, kind_name: &str, default: &str) -> ObjectRef {
    let metadata = value.get("metadata");
    let field = |name: &str| {
        let text = metadata
            .and_then(|metadata| metadata.get(name))
            .and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let mut name = field("name");
    if kind != Kind::NetworkPolicy {
        name = name.or_else(|| field("generateName"));
    }
    let namespace = kind
        .is_namespaced()
        .then(|| field("namespace").unwrap_or_else(|| default.to_owned()));
    let object = value.as_object_mut();
    let metadata = object.map(|object| {
        object
            .entry("metadata")
            .or_insert_with(|| Value::Object(serde_json::Map::new()))
    });
    if let Some(Value::Object(metadata)) = metadata {
        if let Some(namespace) = &namespace {
            metadata.insert("namespace".to_owned(), Value::from(namespace.as_str()));
        }
        if let Some(name) = &name {
            metadata.insert("name".to_owned(), Value::from(name.as_str()));
        }
    }
    ObjectRef {
        kind: kind_name.to_owned(),
        namespace,
        name: name.unwrap_or_default(),
    }
}

/// The place of a whole object: its first key, or the opening brace.
fn start_of(node: &Node<'_>) -> Span {
    match &node.resolved().value {
        NodeValue::Mapping(pairs) => pairs.first().map_or(node.span, |(key, _)| key.span),
        _ => node.span,
    }
}

/// The typed object. Its version and kind are known already, and older versions are read like today's.
fn typed<T: DeserializeOwned>(mut value: Value) -> serde_json::Result<Box<T>> {
    if let Value::Object(fields) = &mut value {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    serde_json::from_value(value).map(Box::new)
}

fn workload(mut value: Value, path: &[&str]) -> serde_json::Result<Box<Workload>> {
    let nothing = || Value::Object(serde_json::Map::new());
    let pointer: String = path.iter().flat_map(|field| ["/", field]).collect();
    let template = value
        .pointer_mut(&pointer)
        .map_or_else(nothing, Value::take);
    let metadata = value.get_mut("metadata").map_or_else(nothing, Value::take);
    let replicas = value["spec"]["replicas"].as_i64();
    let service_name = value["spec"]["serviceName"].as_str().map(str::to_owned);
    Ok(Box::new(Workload {
        metadata: serde_json::from_value(metadata)?,
        replicas: replicas.and_then(|replicas| i32::try_from(replicas).ok()),
        service_name,
        template_path: path
            .iter()
            .fold(FieldPath::root(), |path, field| path.field(field)),
        template: serde_json::from_value(template)?,
    }))
}
