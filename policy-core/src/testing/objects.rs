//! The objects of a test's cluster.

use super::strict;
use crate::cluster::Cluster;
use crate::lower::{self, Unread};
use crate::problem::Problem;
use crate::reference::Reference;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};
use std::error::Error;

/// API objects, as written and as read.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    written: Vec<Value>,
    namespaces: Vec<Namespace>,
    nodes: Vec<Node>,
    pods: Vec<Pod>,
    policies: Vec<(NetworkPolicy, Vec<Unread>)>,
}

impl Objects {
    /// Reads API objects, and the items of lists. A policy's unknown and mistyped fields are left out of the object and listed beside it; a
    /// workload becomes a pod named `Kind/name`; kinds that say nothing about traffic are left out.
    ///
    /// # Errors
    /// When an object other than a policy does not have the shape that the API wants.
    pub fn read(written: Vec<Value>) -> Result<Self, serde_json::Error> {
        let mut objects = Self::default();
        let written: Vec<Value> = written.into_iter().flat_map(items).collect();
        for value in &written {
            match value["kind"].as_str().unwrap_or_default() {
                "Namespace" => objects
                    .namespaces
                    .push(serde_json::from_value(value.clone())?),
                "Node" => objects.nodes.push(serde_json::from_value(value.clone())?),
                "Pod" => objects.pods.push(serde_json::from_value(value.clone())?),
                "NetworkPolicy" => objects.policies.push(strict::policy(value.clone())?),
                "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => {
                    objects
                        .pods
                        .push(of_template(value, &value["spec"]["template"])?);
                }
                "CronJob" => {
                    let template = &value["spec"]["jobTemplate"]["spec"]["template"];
                    objects.pods.push(of_template(value, template)?);
                }
                _ => {}
            }
        }
        objects.written = written;
        Ok(objects)
    }

    /// Reads the API objects of a YAML file, as [`read`](Self::read) does.
    ///
    /// # Errors
    /// When it is not YAML, or for what `read` refuses.
    pub fn from_yaml(text: &str) -> Result<Self, Box<dyn Error>> {
        Ok(Self::read(serde_saphyr::from_multiple(text)?)?)
    }

    /// The objects as they were written.
    pub fn written(&self) -> &[Value] {
        &self.written
    }

    /// The namespaces.
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The pods, and the workloads' templates.
    pub fn pods(&self) -> &[Pod] {
        &self.pods
    }

    /// The policies, each with the fields that could not be taken into the object.
    pub fn policies(&self) -> &[(NetworkPolicy, Vec<Unread>)] {
        &self.policies
    }

    /// The objects lowered, in written order.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        self.lower().0
    }

    /// The objects lowered, and all problems.
    #[must_use]
    pub fn lower(&self) -> (Cluster, Vec<Problem>) {
        let mut cluster = Cluster::default();
        let mut problems = Vec::new();
        for object in &self.namespaces {
            let (namespace, found) = lower::namespace(object);
            cluster.insert_namespace(namespace);
            problems.extend(found);
        }
        for object in &self.nodes {
            let (node, found) = lower::node(object);
            cluster.insert_node(node);
            problems.extend(found);
        }
        for object in &self.pods {
            let (pod, found) = lower::pod(object);
            cluster.insert_pod(pod);
            problems.extend(found);
        }
        for (object, unread) in &self.policies {
            let (policy, found) = lower::policy(object, unread);
            cluster.insert_policy(policy);
            problems.extend(found);
        }
        (cluster, problems)
    }

    /// The naive evaluator over these objects.
    #[must_use]
    pub fn reference(&self) -> Reference<'_> {
        Reference::new(&self.namespaces, &self.nodes, &self.pods, &self.policies)
    }

    /// The objects as one `List` in JSON, which is YAML as well: what `kubectl` and the command line read.
    #[must_use]
    pub fn to_json_list(&self) -> String {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": self.written });
        format!("{list:#}\n")
    }
}

/// The items of a list (of kind `List`, or `PodList` and the like, where items need no kind); else the object itself.
fn items(mut object: Value) -> Vec<Value> {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let Some(kind) = kind.strip_suffix("List") else {
        return vec![object];
    };
    let Value::Array(mut items) = object["items"].take() else {
        return Vec::new();
    };
    for item in items.iter_mut().filter(|item| item["kind"].is_null()) {
        item["kind"] = json!(kind);
    }
    items
}

/// A workload's pods, as one pod without an address.
fn of_template(workload: &Value, template: &Value) -> Result<Pod, serde_json::Error> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = format!(
        "{}/{}",
        text(&workload["kind"]),
        text(&workload["metadata"]["name"])
    );
    serde_json::from_value(json!({
        "metadata": {
            "namespace": workload["metadata"]["namespace"],
            "name": name,
            "labels": template["metadata"]["labels"],
        },
        "spec": template["spec"],
    }))
}
