//! What a soak does to a cluster next.

use policy_core::testing::Rng;
use serde_json::{Value, json};

use crate::api::Api;
use crate::cluster::Cluster;
use crate::objects::{is, label, policy};

/// Places for pods: node and address.
pub(crate) const SLOTS: [(&str, &str); 8] = [
    ("node-a", "10.0.1.10"),
    ("node-a", "10.0.1.20"),
    ("node-a", "10.0.1.30"),
    ("node-a", "10.0.1.40"),
    ("node-b", "10.0.2.10"),
    ("node-b", "10.0.2.20"),
    ("node-b", "10.0.2.30"),
    ("node-b", "10.0.2.40"),
];

/// The namespaces, of which the last comes and goes.
pub(crate) const NAMESPACES: [&str; 3] = ["red", "green", "blue"];

/// The values of the labels `app` and `team`.
const VALUES: [&str; 3] = ["a", "b", "c"];

/// How many names of policies there are in each namespace.
const POLICIES: usize = 4;

/// The kinds of objects, as often as they change.
const KINDS: [&str; 7] = [
    "Pod",
    "Pod",
    "Pod",
    "NetworkPolicy",
    "NetworkPolicy",
    "NetworkPolicy",
    "Namespace",
];

/// Chooses changes.
pub(crate) struct Churn {
    pub(crate) rng: Rng,
    pods: usize,
}

/// A change of one object.
pub(crate) enum Change {
    Put(Value),
    Delete(Value),
}

impl Change {
    /// Makes it; gives what was done, in words.
    pub(crate) fn apply(self, cluster: &mut Cluster, api: &Api) -> String {
        match self {
            Self::Put(object) => {
                api.apply(&object);
                let said = format!("put {object}");
                cluster.remember(object);
                said
            }
            Self::Delete(object) => {
                api.delete(&object);
                let metadata = &object["metadata"];
                let namespace = metadata["namespace"].as_str().unwrap_or_default();
                let (kind, name) = (
                    object["kind"].as_str().unwrap(),
                    metadata["name"].as_str().unwrap(),
                );
                cluster.forget(kind, namespace, name);
                format!("delete {kind} {namespace} {name}")
            }
        }
    }
}

impl Churn {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { rng, pods: 0 }
    }

    /// The namespaces to begin with.
    pub(crate) fn namespaces(&mut self) -> Vec<Value> {
        NAMESPACES.map(|name| self.namespace(name)).into()
    }

    /// The kind of the next step's changes.
    pub(crate) fn kind(&mut self) -> &'static str {
        let kind: &&'static str = self.rng.pick(&KINDS);
        kind
    }

    /// A change of an object of this kind.
    pub(crate) fn change(&mut self, kind: &str, objects: &[Value]) -> Change {
        match kind {
            "Namespace" => self.change_namespace(objects),
            "Pod" => self.change_pod(objects),
            _ => self.change_policy(objects),
        }
    }

    fn change_namespace(&mut self, objects: &[Value]) -> Change {
        let name = *self.rng.pick(&NAMESPACES);
        let found = objects
            .iter()
            .find(|object| is(object, "Namespace", "", name));
        let is_empty = !objects
            .iter()
            .any(|object| object["metadata"]["namespace"] == name);
        match found {
            Some(found) if is_empty && name != NAMESPACES[0] => Change::Delete(found.clone()),
            _ => Change::Put(self.namespace(name)),
        }
    }

    fn namespace(&mut self, name: &str) -> Value {
        let team = *self.rng.pick(&VALUES);
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"team": team}},
        })
    }

    fn change_pod(&mut self, objects: &[Value]) -> Change {
        let (node, at) = *self.rng.pick(&SLOTS);
        let has_it = |object: &&Value| object["kind"] == "Pod" && object["status"]["podIP"] == at;
        let Some(found) = objects.iter().find(has_it) else {
            let namespace = self.existing_namespace(objects);
            self.pods += 1;
            return Change::Put(self.pod(&namespace, node, at));
        };
        if self.rng.chance(35) {
            return Change::Delete(found.clone());
        }
        let mut changed = found.clone();
        // One or the other, since labels and status are written one after the other.
        if self.rng.chance(15) {
            // It is neither subject nor peer any more.
            changed["status"]["phase"] = json!("Succeeded");
        } else {
            let app = *self.rng.pick(&VALUES);
            label(&mut changed, "app", app);
        }
        Change::Put(changed)
    }

    fn pod(&mut self, namespace: &str, node: &str, at: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "namespace": namespace, "name": format!("pod-{}", self.pods),
                "labels": {"app": self.rng.pick(&VALUES)},
            },
            "spec": {
                "nodeName": node,
                "containers": [{
                    "name": "main", "image": "none",
                    "ports": [{"name": "main", "containerPort": self.rng.pick(&[5432, 8080])}],
                }],
            },
            "status": {"phase": "Running", "podIP": at, "podIPs": [{"ip": at}]},
        })
    }

    fn change_policy(&mut self, objects: &[Value]) -> Change {
        let namespace = self.existing_namespace(objects);
        let name = format!("policy-{}", self.rng.below(POLICIES));
        let mut known = objects.iter();
        let found = known.find(|object| is(object, "NetworkPolicy", &namespace, &name));
        match found {
            Some(found) if self.rng.chance(40) => Change::Delete(found.clone()),
            _ => Change::Put(policy(&namespace, &name, &self.spec())),
        }
    }

    fn spec(&mut self) -> Value {
        let subjects = self.selector("app");
        let types: &[&[&str]] = &[
            &["Ingress"],
            &["Ingress"],
            &["Egress"],
            &["Ingress", "Egress"],
        ];
        let types = *self.rng.pick(types);
        let mut spec = json!({"podSelector": subjects, "policyTypes": types});
        for direction in types {
            let (rules, peers) = match *direction {
                "Ingress" => ("ingress", "from"),
                _ => ("egress", "to"),
            };
            let many = self.rng.below(3);
            let written: Vec<Value> = (0..many).map(|_| self.rule(peers)).collect();
            spec[rules] = json!(written);
        }
        spec
    }

    fn rule(&mut self, word: &str) -> Value {
        let mut rule = json!({});
        let peers: Vec<Value> = (0..self.rng.below(3)).map(|_| self.peer()).collect();
        if !peers.is_empty() {
            rule[word] = json!(peers);
        }
        let ports: Vec<Value> = (0..self.rng.below(3)).map(|_| self.port()).collect();
        if !ports.is_empty() {
            rule["ports"] = json!(ports);
        }
        rule
    }

    fn peer(&mut self) -> Value {
        match self.rng.below(4) {
            0 => json!({"podSelector": self.selector("app")}),
            1 => json!({"namespaceSelector": self.selector("team")}),
            2 => {
                json!({"namespaceSelector": self.selector("team"), "podSelector": self.selector("app")})
            }
            _ => {
                let block = *self.rng.pick(&[
                    "10.0.1.0/24",
                    "10.0.2.0/24",
                    "10.0.0.0/8",
                    "198.51.100.0/24",
                ]);
                let mut block = json!({"cidr": block});
                if block["cidr"] == "10.0.0.0/8" && self.rng.chance(60) {
                    block["except"] = json!([format!("{}/32", self.rng.pick(&SLOTS).1)]);
                }
                json!({"ipBlock": block})
            }
        }
    }

    fn port(&mut self) -> Value {
        let protocol = *self.rng.pick(&["TCP", "UDP"]);
        match self.rng.below(4) {
            0 => json!({"protocol": protocol, "port": "main"}),
            1 => json!({"protocol": protocol, "port": 5000, "endPort": 6000}),
            2 => json!({"protocol": protocol}),
            _ => json!({"protocol": protocol, "port": self.rng.pick(&[5432, 8080])}),
        }
    }

    fn selector(&mut self, key: &str) -> Value {
        let value = *self.rng.pick(&VALUES);
        match self.rng.below(5) {
            0 => json!({}),
            1 => {
                json!({"matchExpressions": [{"key": key, "operator": "NotIn", "values": [value]}]})
            }
            2 => {
                json!({"matchExpressions": [{"key": key, "operator": "In", "values": VALUES[..2]}]})
            }
            _ => {
                let mut labels = json!({});
                labels[key] = json!(value);
                json!({"matchLabels": labels})
            }
        }
    }

    fn existing_namespace(&mut self, objects: &[Value]) -> String {
        let name = *self.rng.pick(&NAMESPACES);
        let is_there = objects
            .iter()
            .any(|object| is(object, "Namespace", "", name));
        if is_there { name } else { NAMESPACES[0] }.to_owned()
    }
}
