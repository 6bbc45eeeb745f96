//! The chart, by a real Helm: what it renders with every value, and what becomes of it on a real API server.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nopal_harness::ControlPlane;
use nopal_lab::{Lab, NodeSpec, Topology};
use serde_json::{Value, json};

use crate::cluster::eventually;
use crate::flows::{CONTROL_PLANE, address};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/chart");
const MANIFEST: &str = include_str!("../../../deploy/manifests/nopal.yaml");
const VALUES: &str = include_str!("../../../deploy/chart/values.yaml");

/// Where the manifest puts everything.
const NAMESPACE: &str = "kube-system";

/// What the agent may and what it may not, in the words of `kubectl auth can-i`.
const RIGHTS: [(&str, &str, bool); 8] = [
    ("watch", "pods", true),
    ("list", "networkpolicies.networking.k8s.io", true),
    ("get", "pods", true),
    ("create", "events", true),
    ("get", "secrets", false),
    ("create", "pods", false),
    ("get", "nodes", false),
    ("update", "networkpolicies.networking.k8s.io", false),
];

/// A value of the chart, another setting for it, and what that makes of the manifest: places in the `DaemonSet`, with what
/// stands there then.
struct Setting {
    value: &'static str,
    is: Value,
    makes: Vec<(&'static str, Value)>,
}

/// One for each value of the chart.
fn settings() -> Vec<Setting> {
    let container = |field: &'static str, is: Value| Setting {
        value: field,
        makes: vec![(
            match field {
                "image" => "/spec/template/spec/containers/0/image",
                "imagePullPolicy" => "/spec/template/spec/containers/0/imagePullPolicy",
                _ => "/spec/template/spec/containers/0/resources",
            },
            is.clone(),
        )],
        is,
    };
    let path = |value, place, is: &str| Setting {
        value,
        is: is.into(),
        makes: vec![(place, is.into())],
    };
    let tolerations =
        json!([{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}]);
    vec![
        container("image", "registry.example:5000/net/nopal-agent:1.2".into()),
        container("imagePullPolicy", "Always".into()),
        container(
            "resources",
            json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}),
        ),
        path(
            "cni.confDir",
            "/spec/template/spec/volumes/2/hostPath/path",
            "/var/lib/k0s/cni/net.d",
        ),
        path(
            "cni.binDir",
            "/spec/template/spec/volumes/3/hostPath/path",
            "/usr/libexec/cni",
        ),
        Setting {
            value: "status",
            is: "off".into(),
            makes: vec![(
                "/spec/template/spec/containers/0/args/2",
                "--status=off".into(),
            )],
        },
        Setting {
            value: "tolerations",
            makes: vec![("/spec/template/spec/tolerations", tolerations.clone())],
            is: tolerations,
        },
        Setting {
            value: "extraArgs",
            is: json!(["--mark-mask=0xf0", "--cni-exempt-namespace=a"]),
            makes: vec![
                (
                    "/spec/template/spec/containers/0/args/-",
                    "--mark-mask=0xf0".into(),
                ),
                (
                    "/spec/template/spec/containers/0/args/-",
                    "--cni-exempt-namespace=a".into(),
                ),
            ],
        },
    ]
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn helm_renders_the_manifest_and_what_each_value_makes_of_it() {
    let site = Site::start("agent-helm-values");
    site.helm(&["lint", "--strict", CHART]);
    let plain = site.template(&[]);
    assert_eq!(sorted(documents(&plain)), sorted(documents(MANIFEST)));
    let settings = settings();
    let values: Value = serde_saphyr::from_str(VALUES).unwrap();
    let known: BTreeSet<String> = settings.iter().map(|one| one.value.to_owned()).collect();
    assert_eq!(names(&values), known, "each value is tried");
    for Setting { value, is, makes } in settings {
        let set = format!("{value}={is}");
        let rendered = site.template(&["--set-json", &set]);
        let mut expected = documents(MANIFEST);
        let is_set = |one: &&mut Value| one["kind"] == "DaemonSet";
        let daemons = expected.iter_mut().find(is_set).unwrap();
        for (place, content) in makes {
            put(daemons, place, content);
        }
        assert_eq!(sorted(documents(&rendered)), sorted(expected), "{set}");
        site.helm(&["lint", "--strict", CHART, "--set-json", &set]);
        let dry_run = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        let taken = site.control_plane.kubectl(&dry_run, &rendered);
        taken.unwrap_or_else(|error| panic!("{set}: {error}"));
    }
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn helm_installs_upgrades_rolls_back_and_uninstalls() {
    let site = Site::start("agent-helm-life");
    let before = site.objects();
    assert!(before.is_empty(), "{before:?}");
    for namespace in [NAMESPACE, "nopal-system"] {
        let place = ["-n", namespace];
        let with = |first: &[&'static str], last: &[&'static str]| {
            let arguments = [first, &place, last].concat();
            site.helm(&arguments)
        };
        with(&["install", "nopal", CHART], &["--create-namespace"]);
        let made = |kind: &str| site.get(kind, namespace);
        for document in documents(MANIFEST) {
            let kind = document["kind"].as_str().unwrap();
            let made = made(kind);
            for field in ["rules", "roleRef"] {
                assert_eq!(made[field], document[field], "{kind} {field}");
            }
        }
        assert_eq!(
            made("ClusterRoleBinding")["subjects"][0]["namespace"],
            namespace
        );
        site.has_just_its_rights(namespace);
        let image = || site.image(namespace);
        assert_eq!(image(), "nopal-agent:0.1.0");

        with(
            &["upgrade", "nopal", CHART],
            &["--set", "image=mirror.example/nopal-agent:0.2.0"],
        );
        assert_eq!(image(), "mirror.example/nopal-agent:0.2.0");
        assert_eq!(made("DaemonSet")["metadata"]["generation"], 2);
        // The same again changes nothing.
        with(&["upgrade", "nopal", CHART], &["--reuse-values"]);
        assert_eq!(made("DaemonSet")["metadata"]["generation"], 2);
        with(&["rollback", "nopal", "1"], &[]);
        assert_eq!(image(), "nopal-agent:0.1.0");

        with(&["uninstall", "nopal"], &["--wait"]);
        let left = site.objects();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// A control plane without nodes.
struct Site {
    control_plane: ControlPlane,
    _lab: Lab,
}

impl Site {
    fn start(prefix: &str) -> Self {
        Lab::remove_leftovers(prefix).unwrap();
        let node = NodeSpec {
            name: "node-a".to_owned(),
            addresses: vec![IpAddr::from([192, 168, 0, 1])],
        };
        let topology = Topology {
            nodes: vec![node],
            pods: Vec::new(),
            externals: vec![address(CONTROL_PLANE)],
        };
        let lab = Lab::build(&topology, prefix).unwrap();
        let control_plane = ControlPlane::start(lab.world_namespace(), address(CONTROL_PLANE));
        Self {
            control_plane: control_plane.unwrap_or_else(|error| panic!("{error}")),
            _lab: lab,
        }
    }

    fn helm(&self, arguments: &[&str]) -> String {
        let said = self.control_plane.helm(arguments);
        said.unwrap_or_else(|error| panic!("{error}"))
    }

    fn template(&self, more: &[&str]) -> String {
        let first = ["template", "nopal", CHART, "-n", NAMESPACE];
        self.helm(&[&first, more].concat())
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let said = self.control_plane.kubectl(arguments, "");
        said.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The object of this kind that the chart makes.
    fn get(&self, kind: &str, namespace: &str) -> Value {
        let text = self.kubectl(&["get", kind, "nopal-agent", "-n", namespace, "-o", "json"]);
        serde_json::from_str(&text).unwrap()
    }

    fn image(&self, namespace: &str) -> String {
        let daemons = self.get("DaemonSet", namespace);
        let image = &daemons["spec"]["template"]["spec"]["containers"][0]["image"];
        image.as_str().unwrap().to_owned()
    }

    /// What of the chart the API server has, and what Helm notes of it, in all namespaces.
    fn objects(&self) -> Vec<String> {
        let kinds = "serviceaccounts,daemonsets,clusterroles,clusterrolebindings,secrets";
        let listed = self.kubectl(&["get", kinds, "-A", "--ignore-not-found", "-o", "name"]);
        let ours = listed.lines().filter(|name| name.contains("nopal"));
        ours.map(str::to_owned).collect()
    }

    /// The account of the agents may do what agents do, which an API server takes a moment to know, and nothing else.
    fn has_just_its_rights(&self, namespace: &str) {
        let user = format!("--as=system:serviceaccount:{namespace}:nopal-agent");
        for (verb, resource, is_allowed) in RIGHTS {
            let may = || {
                let question = ["auth", "can-i", verb, resource, "-A", &user];
                self.control_plane.kubectl(&question, "").is_ok()
            };
            assert!(eventually(|| may() == is_allowed), "{verb} {resource}");
        }
    }
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

/// In an order of its own: Helm has another one than the manifest.
fn sorted(mut documents: Vec<Value>) -> Vec<Value> {
    documents.sort_by_key(|one| one["kind"].to_string());
    documents
}

/// The names of a chart's values, `cni.confDir` for one inside of another. Those of the API are one value.
fn names(values: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (name, value) in values.as_object().unwrap() {
        match value {
            Value::Object(inner) if name == "cni" => {
                names.extend(inner.keys().map(|inner| format!("{name}.{inner}")));
            }
            _ => drop(names.insert(name.clone())),
        }
    }
    names
}

/// Puts a value to a place, or to the end of a list where the place is called `-`.
fn put(document: &mut Value, place: &str, content: Value) {
    match place.strip_suffix("/-") {
        Some(list) => document
            .pointer_mut(list)
            .unwrap()
            .as_array_mut()
            .unwrap()
            .push(content),
        None => *document.pointer_mut(place).unwrap() = content,
    }
}
