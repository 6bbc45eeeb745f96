//! Churn for as long as one likes: pods, labels, policies and namespaces come, change and go, chosen by a seed.
//!
//! In each step some objects of one kind change, one after the other, while a prober sends on every flow. Then the
//! agents are waited for, by what they say to be in force, and everything is probed once and compared with the oracle.

use std::time::{Duration, Instant};

use nopal_lab::{NodeSpec, PodSpec, Topology};
use policy_core::testing::Rng;
use policy_core::{Flow, FlowPort, Protocol};
use serde_json::{Value, json};

use crate::agents::status;
use crate::api::{Api, version};
use crate::churn::{Churn, NAMESPACES, SLOTS};
use crate::cluster::{Cluster, eventually};
use crate::flows::{CLIENT, CONTROL_PLANE, PORTS, address};
use crate::objects::{self, NODES, policy};
use crate::prober::Prober;
use crate::seed::seed;

/// How long it goes on, in seconds, where the environment does not say.
const SECONDS: u64 = 30;
const VARIABLE: &str = "NOPAL_SOAK_SECONDS";

/// Datagrams a second on all flows together.
const RATE: u32 = 1_500;

/// Changes before the first step.
const FIRST: [(&str, usize); 2] = [("Pod", 12), ("NetworkPolicy", 8)];

/// The most changes of one step.
const MOST: usize = 5;

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn whatever_comes_changes_and_goes_packets_fare_as_the_oracle_says() {
    let seconds = std::env::var(VARIABLE).map_or(SECONDS, |given| given.parse().unwrap());
    let mut churn = Churn::new(Rng::new(seed()));
    let mut cluster = Cluster::build("agent-soak", &topology(), nodes());
    let api = Api::new(
        cluster.lab.world_namespace(),
        cluster.control_plane.kubeconfig(),
    );
    for namespace in churn.namespaces() {
        api.apply(&namespace);
        cluster.remember(namespace);
    }
    let _agents = cluster.start_agents();
    let mut marks = Marks::default();
    for (kind, many) in FIRST {
        for _ in 0..many {
            let change = churn.change(kind, &cluster.objects);
            change.apply(&mut cluster, &api);
        }
        marks.wait(&cluster, &api, kind);
    }
    let flows = probed();
    let (begun, length) = (Instant::now(), Duration::from_secs(seconds));
    let (mut steps, mut allowed, mut denied) = (0, 0, 0);
    while begun.elapsed() < length {
        let mut prober = Prober::start(&cluster, datagrams(), RATE);
        let kind = churn.kind();
        let many = 1 + churn.rng.below(MOST);
        let mut said = Vec::new();
        for _ in 0..many {
            let change = churn.change(kind, &cluster.objects);
            said.push(change.apply(&mut cluster, &api));
            prober.take(&cluster);
        }
        marks.wait(&cluster, &api, kind);
        let judged = prober.stop();
        let differences = cluster.differences(&flows);
        steps += 1;
        (allowed, denied) = (allowed + judged.allowed, denied + judged.denied);
        assert!(
            judged.wrong.is_empty() && differences.is_empty(),
            "step {steps}:\n{}\n{}\n{}\nobjects: {}\n{}\n{}",
            said.join("\n"),
            judged.wrong.join("\n"),
            differences.join("\n"),
            Value::from(cluster.objects.clone()),
            cluster.log("node-a"),
            cluster.log("node-b")
        );
    }
    println!(
        "{steps} steps in {} s; {} flows probed after each; datagrams meanwhile on flows that stayed allowed {allowed}, \
         that stayed denied {denied}",
        begun.elapsed().as_secs(),
        flows.len()
    );
    assert!(steps > 2 && allowed > 0 && denied > 0);
}

/// The places for pods on two nodes, and an address outside.
fn topology() -> Topology {
    let node = |(name, at): (&str, &str)| NodeSpec {
        name: name.to_owned(),
        addresses: vec![address(at)],
    };
    let slot = |(node, at): (&str, &str)| PodSpec {
        name: format!("slot/{at}"),
        node: node.to_owned(),
        addresses: vec![address(at)],
    };
    Topology {
        nodes: NODES.map(node).into(),
        pods: SLOTS.map(slot).into(),
        externals: vec![address(CONTROL_PLANE), address(CLIENT)],
    }
}

fn nodes() -> Vec<Value> {
    let is_node = |object: &Value| object["kind"] == "Node";
    objects::all().into_iter().filter(is_node).collect()
}

/// Between all places and from outside, of these kinds.
fn flows(kinds: &[FlowPort]) -> Vec<Flow> {
    let slots = SLOTS.map(|(_, at)| address(at));
    let mut flows = Vec::new();
    for from in slots.into_iter().chain([address(CLIENT)]) {
        for to in slots.into_iter().filter(|to| *to != from) {
            flows.extend(kinds.iter().map(|&port| Flow { from, to, port }));
        }
    }
    flows
}

fn datagrams() -> Vec<Flow> {
    flows(&PORTS.map(|port| FlowPort::Port(Protocol::Udp, port)))
}

fn probed() -> Vec<Flow> {
    let [first, second] = PORTS;
    flows(&[
        FlowPort::Port(Protocol::Tcp, first),
        FlowPort::Port(Protocol::Tcp, second),
        FlowPort::Port(Protocol::Udp, first),
        FlowPort::Other,
    ])
}

/// Objects that mean nothing, by whose versions it is known that everything of their kind before them is in force.
#[derive(Default)]
struct Marks(u32);

impl Marks {
    fn wait(&mut self, cluster: &Cluster, api: &Api, kind: &str) {
        self.0 += 1;
        let mut mark = match kind {
            "Namespace" => {
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACES[0]}})
            }
            "Pod" => json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "mark", "namespace": NAMESPACES[0]},
                "spec": {"containers": [{"name": "main", "image": "none"}]},
            }),
            _ => policy(
                NAMESPACES[0],
                "mark",
                &json!({"podSelector": {"matchLabels": {"app": "nobody"}}}),
            ),
        };
        let word = match kind {
            "Namespace" => {
                // The first namespace stays; what it has is kept.
                let is_it = |object: &&Value| objects::is(object, "Namespace", "", NAMESPACES[0]);
                mark = cluster.objects.iter().find(is_it).unwrap().clone();
                "namespaces"
            }
            "Pod" => "pods",
            _ => "policies",
        };
        mark["metadata"]["annotations"] = json!({"example.com/mark": self.0.to_string()});
        let version = version(&api.apply(&mark));
        for (node, _) in NODES {
            let is_in_force = || {
                let status = status(cluster.node(node));
                status["inForce"]["newest"][word].as_u64() >= Some(version)
            };
            assert!(
                eventually(is_in_force),
                "{word} {version} are not in force: {:#}\n{}",
                status(cluster.node(node)),
                cluster.log(node)
            );
        }
    }
}
