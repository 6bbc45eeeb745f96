//! Addresses and names that change hands while a prober runs: what was allowed to one is not allowed to the next.

use policy_core::{Flow, FlowPort, Protocol};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::faults::{RATE, from, isolate};
use crate::flows::{PORTS, address, datagrams, topology};
use crate::objects::{self, label, policy};
use crate::prober::Prober;

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn an_address_and_a_name_that_change_hands_take_no_permission_along() {
    let mut cluster = Cluster::start("agent-hands");
    let _agents = cluster.start_agents();
    isolate(&mut cluster);
    let mut to_web = from("api");
    to_web["podSelector"]["matchLabels"]["app"] = json!("web");
    cluster.apply(policy("shop", "web", &to_web));
    // api, which may come to web and db, has this address; whoever has it next may not.
    let (at, web) = ("10.0.1.20", "10.0.1.10");
    let api = objects::all().into_iter();
    let mut api = api.filter(|object| objects::is(object, "Pod", "shop", "api"));
    let api = api.next().unwrap();
    let pod = |name: &str, app: &str, status: &Value| {
        let mut pod = api.clone();
        pod["metadata"]["name"] = json!(name);
        label(&mut pod, "app", app);
        pod["status"] = status.clone();
        pod
    };
    let (none, shown) = (json!({}), &api["status"]);
    cluster.plugin("ADD", "node-a", "shop", "api", at);
    cluster.agrees("api has its address");
    assert!(cluster.passes(at, web));
    let mut prober = Prober::start(&cluster, datagrams(), RATE);

    // Another pod gets the address before the API server knows that the first has gone.
    cluster.apply(pod("next", "next", &none));
    cluster.plugin("DEL", "node-a", "shop", "api", at);
    cluster.plugin("ADD", "node-a", "shop", "next", at);
    assert!(
        !cluster.passes(at, web),
        "on the node it is another's at once"
    );
    assert!(!cluster.passes(web, at), "and its own policies hold");
    cluster.apply(pod("next", "next", shown));
    cluster.delete("Pod", "shop", "api");
    prober.take(&cluster);
    cluster.agrees("the address is the next pod's");

    // A pod of the first one's name and with another label gets it back, in the same way.
    let own = Prober::start(&cluster, own_flows(at), RATE);
    cluster.apply(pod("api", "again", &none));
    cluster.plugin("DEL", "node-a", "shop", "next", at);
    cluster.plugin("ADD", "node-a", "shop", "api", at);
    cluster.apply(pod("api", "again", shown));
    cluster.delete("Pod", "shop", "next");
    prober.take(&cluster);
    cluster.agrees("the address is the first name's again");
    own.finish(&cluster);
    prober.finish(&cluster);
}

/// From and to the pod of this address, at a port of their own.
fn own_flows(at: &str) -> Vec<Flow> {
    let is_own = |flow: &Flow| flow.from == address(at) || flow.to == address(at);
    let port = FlowPort::Port(Protocol::Udp, 5354);
    let flows = datagrams().into_iter().filter(is_own);
    flows.map(|flow| Flow { port, ..flow }).collect()
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn a_node_that_changes_its_address_keeps_its_pods_and_not_what_others_let_in() {
    let (former, latter) = ("192.168.0.1", "192.168.0.11");
    let mut topology = topology();
    topology.nodes[0].addresses.push(address(latter));
    let mut cluster = Cluster::build("agent-node", &topology, objects::all());
    let _agents = cluster.start_agents();
    isolate(&mut cluster);
    let node = |at: &str| json!({"ipBlock": {"cidr": format!("{at}/32")}});
    let mut to_db = from("api");
    let api = to_db["ingress"][0]["from"][0].clone();
    to_db["ingress"][0]["from"] = json!([api, node(former)]);
    cluster.apply(policy("shop", "db", &to_db));
    let port = FlowPort::Port(Protocol::Tcp, PORTS[0]);
    let from_node = |at: &&str| {
        let from = address(at);
        ["10.0.2.10", "10.0.2.20"].map(|to| Flow {
            from,
            to: address(to),
            port,
        })
    };
    let flows: Vec<Flow> = [former, latter].iter().flat_map(from_node).collect();
    let comes_to_its_own = |cluster: &Cluster| {
        for at in [former, latter] {
            assert!(
                cluster.passes(at, "10.0.1.10"),
                "a node may come to its own pods"
            );
        }
    };
    cluster.agrees_on(&flows, "with the former address");
    comes_to_its_own(&cluster);
    let mut prober = Prober::start(&cluster, datagrams(), RATE);
    cluster.change("Node", "", "node-a", |node| {
        node["status"]["addresses"][0]["address"] = json!(latter);
    });
    prober.take(&cluster);
    comes_to_its_own(&cluster);
    to_db["ingress"][0]["from"] = json!([api, node(latter)]);
    cluster.apply(policy("shop", "db", &to_db));
    prober.take(&cluster);
    cluster.agrees_on(&flows, "with the latter address");
    assert!(!cluster.passes(former, "10.0.2.10") && cluster.passes(latter, "10.0.2.10"));
    comes_to_its_own(&cluster);
    cluster.agrees("after");
    prober.finish(&cluster);
}
