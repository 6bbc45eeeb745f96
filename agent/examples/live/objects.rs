//! The cluster: as many pods on each node and in each namespace as a real one has, with what else stands in a pod.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

/// The node that is measured.
pub(crate) const NODE: &str = "node-0";

const PODS_PER_NODE: usize = 100;
const PODS_PER_NAMESPACE: usize = 10;
const APPS: usize = 3;
const TEAMS: usize = 25;

/// How large the cluster is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) pods: usize,
    pub(crate) policies: usize,
}

impl Size {
    fn nodes(self) -> usize {
        (self.pods / PODS_PER_NODE).max(1)
    }

    fn namespaces(self) -> usize {
        (self.pods / PODS_PER_NAMESPACE).max(1)
    }

    /// The namespaces that have a pod on the node, by number, and the policy that lets others reach that pod.
    pub(crate) fn near(self) -> impl Iterator<Item = (usize, usize)> {
        let pods = (0..self.pods).step_by(self.nodes());
        pods.map(|pod| (pod / PODS_PER_NAMESPACE, app(pod) + 1))
    }

    /// Pods of other nodes, by number: whether rules of the node speak of them is said beside them.
    pub(crate) fn far_pods(self) -> impl Iterator<Item = (usize, bool)> {
        let teams: Vec<usize> = self.near().map(|(home, _)| home % TEAMS).collect();
        let far = (0..self.pods).filter(move |pod| !pod.is_multiple_of(self.nodes()));
        far.map(move |pod| {
            let is_peer = app(pod) == 0 && teams.contains(&(pod / PODS_PER_NAMESPACE % TEAMS));
            (pod, is_peer)
        })
    }
}

/// Everything, with the path that it is posted to, in stages: what a later one needs is in an earlier one.
pub(crate) fn all(size: Size) -> [Vec<(String, Value)>; 2] {
    let nodes = (0..size.nodes()).map(|number| ("/api/v1/nodes".to_owned(), node(number)));
    let namespaces = (0..size.namespaces()).map(|number| {
        let labels = json!({"team": format!("team-{}", number % TEAMS)});
        let metadata = json!({"name": namespace(number), "labels": labels});
        (
            "/api/v1/namespaces".to_owned(),
            json!({ "metadata": metadata }),
        )
    });
    let pods = (0..size.pods).map(|number| (pods_path(number), pod(number, size)));
    let policies = (0..size.policies).map(|number| {
        let home = number % size.namespaces();
        let object = policy(home, number / size.namespaces(), 8080);
        (policies_path(home), object)
    });
    [
        nodes.chain(namespaces).collect(),
        pods.chain(policies).collect(),
    ]
}

/// Where the namespace's policies are.
pub(crate) fn policies_path(namespace_number: usize) -> String {
    let namespace = namespace(namespace_number);
    format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies")
}

fn pods_path(number: usize) -> String {
    format!(
        "/api/v1/namespaces/{}/pods",
        namespace(number / PODS_PER_NAMESPACE)
    )
}

/// Where a pod is.
pub(crate) fn pod_path(number: usize) -> String {
    format!("{}/{}", pods_path(number), pod_name(number))
}

/// The status of a pod with this address.
pub(crate) fn status(address: Ipv4Addr) -> Value {
    json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]})
}

/// The policies of a namespace: a default deny, and then one for each app, that lets in the team's first app.
pub(crate) fn policy(home: usize, round: usize, port: u16) -> Value {
    let metadata = json!({"name": policy_name(round)});
    let spec = match round {
        0 => json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
        _ => json!({
            "podSelector": {"matchLabels": {"app": format!("app-{}", (round - 1) % APPS)}},
            "ingress": [
                {
                    "from": [{
                        "namespaceSelector": {"matchLabels": {"team": format!("team-{}", home % TEAMS)}},
                        "podSelector": {"matchLabels": {"app": "app-0"}},
                    }],
                    "ports": [{"port": port}],
                },
                {
                    "from": [{"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.64/26"]}}],
                    "ports": [{"port": 443}],
                },
            ],
        }),
    };
    json!({"metadata": metadata, "spec": spec})
}

/// The name of a namespace's policy.
pub(crate) fn policy_name(round: usize) -> String {
    format!("policy-{round}")
}

fn namespace(number: usize) -> String {
    format!("ns-{number}")
}

fn pod_name(number: usize) -> String {
    format!("app-{}-{number}", app(number))
}

fn app(number: usize) -> usize {
    (number + number / PODS_PER_NAMESPACE) % APPS
}

fn node(number: usize) -> Value {
    json!({
        "metadata": {"name": format!("node-{number}")},
        "status": {"addresses": [{"type": "InternalIP", "address": format!("192.168.0.{}", number % 250 + 1)}]},
    })
}

/// A pod that is bound to the node and starts now, in one of the namespaces that have policies; and where it is posted to.
pub(crate) fn started_pod(number: usize, size: Size) -> (String, Value) {
    let nodes = size.nodes();
    let like = number * nodes % size.pods;
    let mut object = pod(like, size);
    object["metadata"]["name"] = format!("started-{number}").into();
    object["status"] = Value::Null;
    (pods_path(like), object)
}

/// A pod with two containers, as wide as pods are: most of it is nothing to an agent.
fn pod(number: usize, size: Size) -> Value {
    let variables: Vec<Value> = (0..20)
        .map(|variable| {
            let value = format!("https://service-{variable}.ns-{number}.svc.cluster.local:8443/v1");
            json!({"name": format!("SERVICE_{variable}_URL"), "value": value})
        })
        .collect();
    let probe = json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10});
    let container = |name: &str, port: u16| {
        json!({
            "name": name, "image": format!("registry.example/team/{name}:1.4.2"), "env": variables,
            "ports": [{"name": name, "containerPort": port}],
            "livenessProbe": probe, "readinessProbe": probe,
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        })
    };
    let address = Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap_or_default() + 1);
    json!({
        "metadata": {
            "name": pod_name(number),
            "labels": {"app": format!("app-{}", app(number)), "tier": format!("tier-{}", number % 3)},
        },
        "spec": {
            "nodeName": format!("node-{}", number % size.nodes()),
            "containers": [container("http", 8080), container("sidecar", 9090)],
        },
        "status": status(address),
    })
}
