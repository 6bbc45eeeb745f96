//! What of each kind is read, and how it becomes an event.

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use policy_core::lower::{self, Unread};
use policy_core::{Event, FieldPath, Problem, ProblemKind, Segment};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::mask::Mask;
use crate::kind::Kind;

/// The annotation that says how a policy or a namespace is enforced.
const MODE: &str = "nopal.dev/mode";

/// The annotation of the object that stands for a static pod: the uid by which kubelet and runtime know that pod. The
/// object itself has another one.
const MIRROR: &str = "kubernetes.io/config.mirror";

const METADATA: Mask = Mask::Fields(&[
    (
        "annotations",
        Mask::Fields(&[(MODE, Mask::All), (MIRROR, Mask::All)]),
    ),
    ("deletionTimestamp", Mask::All),
    ("generation", Mask::All),
    ("labels", Mask::All),
    ("name", Mask::All),
    ("namespace", Mask::All),
    ("resourceVersion", Mask::All),
    ("uid", Mask::All),
]);

const NAMESPACE: Mask = Mask::Fields(&[("metadata", METADATA)]);

const NODE: Mask = Mask::Fields(&[
    ("metadata", METADATA),
    ("status", Mask::Fields(&[("addresses", Mask::All)])),
]);

const CONTAINERS: Mask = Mask::Fields(&[
    ("name", Mask::All),
    (
        "ports",
        Mask::Fields(&[
            ("containerPort", Mask::All),
            ("name", Mask::All),
            ("protocol", Mask::All),
        ]),
    ),
    ("restartPolicy", Mask::All),
]);

const POD: Mask = Mask::Fields(&[
    ("metadata", METADATA),
    (
        "spec",
        Mask::Fields(&[
            ("containers", CONTAINERS),
            ("hostNetwork", Mask::All),
            ("initContainers", CONTAINERS),
            ("nodeName", Mask::All),
        ]),
    ),
    (
        "status",
        Mask::Fields(&[
            ("hostIP", Mask::All),
            ("hostIPs", Mask::All),
            ("phase", Mask::All),
            ("podIP", Mask::All),
            ("podIPs", Mask::All),
        ]),
    ),
]);

/// A policy is kept whole but for its metadata: a field that a later API adds may narrow what a rule means, and must
/// be seen to be refused.
const POLICY: Mask = Mask::AllBut(&[
    ("apiVersion", Mask::Nothing),
    ("kind", Mask::Nothing),
    ("metadata", METADATA),
    ("status", Mask::Nothing),
]);

/// An object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    /// What it means for the graph.
    pub event: Event,
    /// What lowering had to say about it.
    pub problems: Vec<Problem>,
}

/// The part of each kind's objects that is read from the wire.
pub(super) fn mask(kind: Kind) -> &'static Mask {
    match kind {
        Kind::Namespaces => &NAMESPACE,
        Kind::Nodes => &NODE,
        Kind::Pods => &POD,
        Kind::Policies => &POLICY,
    }
}

/// Lowers a masked object.
///
/// # Errors
/// What could not be read, for an object that is not like the API's. A policy is always read: what is not understood
/// in it closes it.
pub(super) fn read(kind: Kind, object: Value) -> Result<Read, String> {
    Ok(match kind {
        Kind::Namespaces => {
            let (namespace, problems) = lower::namespace(&typed::<Namespace>(object)?);
            let event = Event::Namespace(namespace);
            Read { event, problems }
        }
        Kind::Nodes => {
            let (node, problems) = lower::node(&typed::<Node>(object)?);
            let event = Event::Node(node);
            Read { event, problems }
        }
        Kind::Pods => {
            let (pod, problems) = lower::pod(&typed::<Pod>(object)?);
            let event = Event::Pod(pod);
            Read { event, problems }
        }
        Kind::Policies => policy(&object),
    })
}

/// The metadata of a masked object, as far as it can be read; the uid is the one that the runtime knows.
pub(super) fn metadata(object: &Value) -> ObjectMeta {
    let written = &object["metadata"];
    let text = |field: &str| written[field].as_str().map(str::to_owned);
    ObjectMeta {
        name: text("name"),
        namespace: text("namespace"),
        resource_version: text("resourceVersion"),
        uid: written["annotations"][MIRROR]
            .as_str()
            .map(str::to_owned)
            .or_else(|| text("uid")),
        generation: written["generation"].as_i64(),
        ..ObjectMeta::default()
    }
}

fn typed<T: DeserializeOwned>(object: Value) -> Result<T, String> {
    serde_json::from_value(object).map_err(|error| error.to_string())
}

fn policy(written: &Value) -> Read {
    let mut unread = Vec::new();
    let note = |path: serde_ignored::Path<'_>| unread.push(unknown(&path));
    let (object, unread) = match serde_ignored::deserialize(written, note) {
        Ok(object) => (object, unread),
        Err(error) => closed(written, &error),
    };
    let (policy, problems) = lower::policy(&object, &unread);
    Read {
        event: Event::Policy(policy),
        problems,
    }
}

/// A policy that is not like the API's isolates both directions of what it can be seen to select, and allows nothing.
fn closed(written: &Value, error: &serde_json::Error) -> (NetworkPolicy, Vec<Unread>) {
    let selector = &written["spec"]["podSelector"];
    let mut is_known = true;
    let selector =
        serde_ignored::deserialize::<_, _, LabelSelector>(selector, |_| is_known = false);
    let spec = NetworkPolicySpec {
        pod_selector: selector.ok().filter(|_| is_known),
        ..NetworkPolicySpec::default()
    };
    let object = NetworkPolicy {
        metadata: metadata(written),
        spec: Some(spec),
    };
    let kind = ProblemKind::Mistyped {
        expected: "a NetworkPolicy's spec".to_owned(),
        found: error.to_string(),
    };
    let path = FieldPath::root().field("spec");
    (object, vec![Unread { path, kind }])
}

fn unknown(path: &serde_ignored::Path<'_>) -> Unread {
    let mut segments = Vec::new();
    collect(path, &mut segments);
    let field = match segments.last() {
        Some(Segment::Field(name)) => name.clone(),
        _ => path.to_string(),
    };
    Unread {
        path: segments.into_iter().collect(),
        kind: ProblemKind::UnknownField { field },
    }
}

fn collect(path: &serde_ignored::Path<'_>, segments: &mut Vec<Segment>) {
    use serde_ignored::Path;
    match path {
        Path::Root => {}
        Path::Seq { parent, index } => {
            collect(parent, segments);
            segments.push(Segment::Index(*index));
        }
        Path::Map { parent, key } => {
            collect(parent, segments);
            segments.push(Segment::Field(key.clone()));
        }
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => collect(parent, segments),
    }
}

#[cfg(test)]
mod tests {
    use super::super::mask::project;
    use super::*;
    use serde_json::json;

    fn read_policy(spec: &Value) -> (policy_core::Policy, Vec<Problem>) {
        let object = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {
                "name": "p", "namespace": "shop", "resourceVersion": "7", "uid": "u",
                "managedFields": [{"manager": "kubectl"}],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
            },
            "spec": spec,
        });
        let object = project(mask(Kind::Policies), object).unwrap();
        let read = read(Kind::Policies, object).unwrap();
        match read.event {
            Event::Policy(policy) => (policy, read.problems),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_policy_of_the_api_is_read_without_a_problem() {
        let (policy, problems) = read_policy(&json!({
            "podSelector": {"matchLabels": {"app": "web"}},
            "ingress": [{"ports": [{"port": 80, "protocol": "TCP"}]}],
            "policyTypes": ["Ingress"],
        }));
        assert_eq!(problems, []);
        assert!(policy.isolates_ingress && !policy.isolates_egress);
        assert_ne!(policy.ingress, [policy_core::policy::Rule::NotUnderstood]);
    }

    #[test]
    fn a_field_that_the_api_does_not_have_closes_the_rule_that_it_stands_in() {
        let (policy, problems) = read_policy(&json!({
            "podSelector": {},
            "ingress": [{"onlyOnSundays": true}, {}],
        }));
        let messages: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(
            messages[0].contains("spec.ingress[0].onlyOnSundays"),
            "{messages:?}"
        );
        assert_eq!(policy.ingress[0], policy_core::policy::Rule::NotUnderstood);
        assert_ne!(policy.ingress[1], policy_core::policy::Rule::NotUnderstood);
    }

    #[test]
    fn a_policy_of_another_shape_isolates_what_it_is_seen_to_select_and_allows_nothing() {
        let (policy, problems) = read_policy(&json!({
            "podSelector": {"matchLabels": {"app": "web"}},
            "ingress": "everybody",
        }));
        assert_eq!(problems.len(), 1);
        assert!(policy.isolates_ingress && policy.isolates_egress);
        assert_eq!((policy.ingress.len(), policy.egress.len()), (0, 0));
        let labels = |app| [("app", app)].into_iter().collect();
        assert!(policy.subjects.matches(&labels("web")));
        assert!(!policy.subjects.matches(&labels("db")));
        let (policy, _) = read_policy(&json!({"podSelector": 5}));
        assert!(policy.subjects.matches(&labels("db")));
    }

    #[test]
    fn a_pod_of_sixty_kilobytes_keeps_some_hundred_bytes() {
        let env: Vec<Value> = (0..1_000)
            .map(|n| json!({"name": format!("VARIABLE_{n}"), "value": "x".repeat(40)}))
            .collect();
        let pod = json!({
            "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}, "managedFields": [{}]},
            "spec": {"nodeName": "a", "containers": [{"name": "c", "image": "i", "env": env,
                "ports": [{"name": "http", "containerPort": 80}]}]},
            "status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [{}], "phase": "Running"},
        });
        assert!(pod.to_string().len() > 60_000);
        let kept = project(mask(Kind::Pods), pod).unwrap();
        assert!(kept.to_string().len() < 400, "{kept}");
        let Event::Pod(pod) = read(Kind::Pods, kept).unwrap().event else {
            panic!("a pod is read as a pod");
        };
        assert_eq!(pod.labels.value("app"), Some("web"));
        assert_eq!(pod.ports[0].port, 80);
        assert_eq!(
            pod.addresses,
            ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]
        );
    }

    #[test]
    fn a_static_pod_has_the_uid_by_which_the_runtime_knows_it() {
        let annotations = json!({"kubernetes.io/config.mirror": "hash", "other": "x"});
        let object = json!({"metadata": {"name": "p", "uid": "u", "annotations": annotations}});
        let object = project(mask(Kind::Pods), object).unwrap();
        assert_eq!(metadata(&object).uid.as_deref(), Some("hash"));
        assert_eq!(object["metadata"]["annotations"]["other"], Value::Null);
        let bare = json!({"metadata": {"uid": "u"}});
        assert_eq!(metadata(&bare).uid.as_deref(), Some("u"));
    }

    #[test]
    fn a_namespace_is_read_with_the_mode_of_its_policies() {
        let annotations = json!({"nopal.dev/mode": "audit", "other": "x"});
        let object = json!({"metadata": {"name": "shop", "annotations": annotations}});
        let object = project(mask(Kind::Namespaces), object).unwrap();
        let Event::Namespace(namespace) = read(Kind::Namespaces, object).unwrap().event else {
            panic!("a namespace is read as a namespace");
        };
        assert_eq!(namespace.mode, policy_core::Mode::Audit);
        let object =
            json!({"metadata": {"name": "shop", "annotations": {"nopal.dev/mode": "off"}}});
        assert_eq!(read(Kind::Namespaces, object).unwrap().problems.len(), 1);
    }

    #[test]
    fn a_pod_of_another_shape_is_told() {
        let reason = read(Kind::Pods, json!({"spec": {"hostNetwork": "yes"}})).unwrap_err();
        assert!(
            reason.contains("hostNetwork") || reason.contains("boolean"),
            "{reason}"
        );
    }
}
