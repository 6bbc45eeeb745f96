//! The cluster that the cases run in: two nodes whose pods are attached by different plugins, agents that have put their
//! own plugin into the nodes' lists, and nine pods that start as a kubelet starts them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread;

use nopal_agent::cni::leases::Leases;
use nopal_harness::{ControlPlane, Process};
use nopal_lab::{Lab, Namespace, NodeSpec, PodSpec, Topology, Wiring};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::kubelet::{Kubelet, Network};
use super::table::PORTS;
use crate::flows::address;
use crate::{agents, objects};

/// The API server's address.
const CONTROL_PLANE: &str = "198.51.100.1";

/// The nodes. Pods of the first hang on a bridge, those of the second on links of their own.
pub(super) const NODES: [Network; 2] = [
    Network {
        node: "node-a",
        addresses: ["192.168.0.1", "fd00:192::1"],
        plugin: "bridge",
        pods: ["10.10.1.0/24", "fd00:10:0:1::/64"],
    },
    Network {
        node: "node-b",
        addresses: ["192.168.0.2", "fd00:192::2"],
        plugin: "ptp",
        pods: ["10.10.2.0/24", "fd00:10:0:2::/64"],
    },
];

/// The networks of all pods, IPv4 first.
pub(super) const POD_NETWORKS: [&str; 2] = ["10.10.0.0/16", "fd00:10::/32"];

/// The pods, and the positions of their nodes: every namespace is on both.
pub(super) const PODS: [(&str, usize); 9] = [
    ("x/a", 0),
    ("x/b", 1),
    ("x/c", 0),
    ("y/a", 1),
    ("y/b", 0),
    ("y/c", 1),
    ("z/a", 0),
    ("z/b", 1),
    ("z/c", 0),
];

/// The cluster. Everything ends when it is dropped.
pub(super) struct Site {
    pub(super) control_plane: ControlPlane,
    pub(super) lab: Lab,
    pub(super) folder: TempDir,
    /// The addresses of each pod, IPv4 first.
    pub(super) addresses: BTreeMap<&'static str, [IpAddr; 2]>,
    kubelets: Vec<Kubelet>,
    _agents: Vec<Process>,
}

impl Site {
    /// Builds it with all pods running, and no policy. `prefix` is the test's own.
    pub(super) fn start(prefix: &str) -> Self {
        Lab::remove_leftovers(prefix).unwrap();
        let lab = Lab::build_wired(&topology(), Wiring::Unattached, prefix);
        let lab = lab.unwrap_or_else(|error| panic!("{error} ({error:?})"));
        for network in &NODES {
            for pods in network.pods {
                lab.route(pods, network.node).unwrap();
            }
        }
        let control_plane = ControlPlane::start(lab.world_namespace(), address(CONTROL_PLANE));
        let control_plane = control_plane.unwrap_or_else(|error| panic!("{error}"));
        let kubeconfig = control_plane.deploy_agent();
        let kubeconfig = kubeconfig.unwrap_or_else(|error| panic!("{error}"));
        for object in namespaces().into_iter().chain(NODES.iter().map(node)) {
            objects::apply(&control_plane, &object);
        }
        let folder = tempfile::tempdir().unwrap();
        let of_node = |network: &'static Network| {
            let namespace = lab.node_namespace(network.node).unwrap();
            Kubelet::new(network, namespace, folder.path())
        };
        let kubelets: Vec<Kubelet> = NODES.iter().map(of_node).collect();
        let start = |kubelet: &Kubelet| {
            let node = kubelet.network.node;
            let options = kubelet.agent_options();
            agents::launch(
                &kubelet.namespace,
                node,
                &kubeconfig,
                folder.path(),
                &options,
            )
        };
        let agents = kubelets.iter().map(start).collect();
        for kubelet in &kubelets {
            let log = agents::log(folder.path(), kubelet.network.node);
            agents::await_ready(&kubelet.namespace, &log);
            kubelet.await_plugin();
        }
        let mut this = Self {
            control_plane,
            lab,
            folder,
            addresses: BTreeMap::new(),
            kubelets,
            _agents: agents,
        };
        this.start_pods();
        this
    }

    /// The nodes' namespaces.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Namespace> {
        self.kubelets.iter().map(|kubelet| &kubelet.namespace)
    }

    /// Runs kubectl, which must work.
    pub(super) fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let output = self.control_plane.kubectl(arguments, input);
        output.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Everything that policies are about, as the API server has it.
    pub(super) fn objects(&self) -> Vec<Value> {
        let kinds = "namespaces,nodes,pods,networkpolicies";
        let list = self.kubectl(&["get", kinds, "--all-namespaces", "-o", "json"], "");
        let mut list: Value = serde_json::from_str(&list).unwrap();
        serde_json::from_value(list["items"].take()).unwrap()
    }

    /// What the agents have said.
    pub(super) fn logs(&self) -> String {
        let log = |network: &Network| {
            let path = agents::log(self.folder.path(), network.node);
            std::fs::read_to_string(path).unwrap_or_default()
        };
        NODES.iter().map(log).collect()
    }

    /// Stops all pods: the plugins take back what they gave, and the agents forget what they were told.
    pub(super) fn stop_pods(&self) {
        for (pod, node) in PODS {
            assert_ne!(self.attachments(node), 0, "{pod} is attached");
            self.kubelets[node].stop(pod);
        }
        let left = [0, 1].map(|node| self.attachments(node));
        assert_eq!(left, [0, 0]);
    }

    /// How many pods the agent of a node knows to be attached.
    fn attachments(&self, node: usize) -> usize {
        let state = self.folder.path().join(NODES[node].node);
        Leases::new(&state).read().unwrap().len()
    }

    /// Binds the pods, and has each node start its own.
    fn start_pods(&mut self) {
        let pods = json!({
            "apiVersion": "v1", "kind": "List", "items": PODS.map(|(name, node)| pod(name, node)),
        });
        objects::apply(&self.control_plane, &pods);
        let bound = self.objects();
        let start = |(number, kubelet): (usize, &Kubelet)| -> Vec<(&'static str, [IpAddr; 2])> {
            let own = PODS.into_iter().filter(|(_, node)| *node == number);
            let start = |(name, _): (&'static str, usize)| {
                let (namespace, pod) = name.split_once('/').unwrap();
                let mut bound = bound.iter();
                let object = bound.find(|object| objects::is(object, "Pod", namespace, pod));
                let place = self.lab.pod_namespace(name).unwrap();
                let at = kubelet.start(object.unwrap(), place, &self.control_plane);
                (name, at)
            };
            own.map(start).collect()
        };
        let started: Vec<_> = thread::scope(|scope| {
            let nodes = self.kubelets.iter().enumerate();
            let nodes: Vec<_> = nodes.map(|node| scope.spawn(move || start(node))).collect();
            nodes
                .into_iter()
                .flat_map(|node| node.join().unwrap())
                .collect()
        });
        for (pod, addresses) in started {
            self.lab.attached(pod, &addresses).unwrap();
            self.addresses.insert(pod, addresses);
        }
    }
}

fn topology() -> Topology {
    let node = |network: &Network| NodeSpec {
        name: network.node.to_owned(),
        addresses: network.addresses.map(address).into(),
    };
    let pod = |(name, node): (&str, usize)| PodSpec {
        name: name.to_owned(),
        node: NODES[node].node.to_owned(),
        addresses: Vec::new(),
    };
    Topology {
        nodes: NODES.iter().map(node).collect(),
        pods: PODS.map(pod).into(),
        externals: vec![address(CONTROL_PLANE)],
    }
}

fn namespaces() -> Vec<Value> {
    let namespace = |name| {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"ns": name}},
        })
    };
    ["x", "y", "z"].map(namespace).into()
}

fn node(network: &Network) -> Value {
    let address = |address| json!({"type": "InternalIP", "address": address});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": network.node},
        "spec": {"podCIDR": network.pods[0], "podCIDRs": network.pods},
        "status": {"addresses": network.addresses.map(address)},
    })
}

/// A pod that is bound to its node, with a name for each port of a table.
fn pod(name: &str, node: usize) -> Value {
    let (namespace, name) = name.split_once('/').unwrap();
    let ports = ["TCP", "UDP", "SCTP"].into_iter().flat_map(|protocol| {
        PORTS.map(|port| {
            let name = format!("serve-{port}-{}", protocol.to_lowercase());
            json!({"name": name, "containerPort": port, "protocol": protocol})
        })
    });
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": {"pod": name}},
        "spec": {
            "nodeName": NODES[node].node,
            "containers": [{"name": "server", "image": "none", "ports": ports.collect::<Vec<_>>()}],
        },
    })
}
