//! What goes wrong around an agent, while a prober runs throughout: no packet passes that the policies in force deny, and
//! none is lost on flows that stay allowed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nopal_harness::Signal;
use policy_core::{Flow, FlowPort, Protocol};
use serde_json::{Value, json};

use crate::agents::PROGRAM;
use crate::cluster::{Cluster, eventually};
use crate::flows::{PORTS, address, datagrams, topology};
use crate::objects::{self, label, policy};
use crate::prober::Prober;

/// How many datagrams a second the prober sends on all its flows together.
const RATE: u32 = 800;

/// How long an API server stands still.
const STALL: Duration = Duration::from_secs(5);

/// Default deny in `shop`, where only api may come in, and that only to db.
fn isolate(cluster: &mut Cluster) {
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    cluster.apply(policy("shop", "db", &from("api")));
    cluster.agrees("before");
}

/// The pods with this label may come to db.
fn from(app: &str) -> Value {
    json!({
        "podSelector": {"matchLabels": {"app": "db"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": app}}}]}],
    })
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn an_api_server_that_stalls_dies_and_forgets_opens_nothing_and_loses_nothing() {
    let mut cluster = Cluster::start("agent-apiserver");
    let agents = cluster.start_agents();
    isolate(&mut cluster);
    let mut prober = Prober::start(&cluster, datagrams(), RATE);

    cluster
        .control_plane
        .signal_apiserver(Signal::SIGSTOP)
        .unwrap();
    sleep(STALL);
    cluster.agrees("while the API server stands still");
    cluster
        .control_plane
        .signal_apiserver(Signal::SIGCONT)
        .unwrap();
    cluster.apply(policy("ops", "deny", &json!({"podSelector": {}})));
    prober.take(&cluster);
    cluster.agrees("after it went on");

    cluster.control_plane.kill_apiserver().unwrap();
    cluster.agrees("while the API server is away");
    cluster.control_plane.start_apiserver().unwrap();
    cluster.delete("NetworkPolicy", "ops", "deny");
    prober.take(&cluster);
    cluster.agrees("after it came back");

    // What the agents know is older than anything that etcd still has.
    for agent in &agents {
        agent.signal(Signal::SIGSTOP).unwrap();
    }
    cluster.change("Pod", "shop", "web", |pod| label(pod, "app", "other"));
    prober.take(&cluster);
    cluster.apply(policy("ops", "deny", &json!({"podSelector": {}})));
    prober.take(&cluster);
    cluster.control_plane.kill_apiserver().unwrap();
    cluster.control_plane.compact_etcd().unwrap();
    cluster.control_plane.start_apiserver().unwrap();
    for agent in &agents {
        agent.signal(Signal::SIGCONT).unwrap();
    }
    cluster.agrees("after a list anew");
    prober.finish(&cluster);
    for agent in &agents {
        let log = agent.log();
        assert!(log.contains("too old resource version"), "{log}");
    }
}

/// A script in the test's folder.
fn script(cluster: &Cluster, name: &str, text: &str) -> PathBuf {
    let folder = cluster.folder.path().join(format!("{name}.bin"));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn an_nft_that_fails_opens_nothing_and_loses_nothing() {
    let mut cluster = Cluster::start("agent-nft");
    let fails = cluster.folder.path().join("fails");
    let nft = script(
        &cluster,
        "nft",
        &format!(
            "[ -e {} ] || PATH=${{PATH#*:}} exec nft \"$@\"\necho 'Error: out of luck' >&2\nexit 1",
            fails.display()
        ),
    );
    let folder = nft.parent().unwrap().display();
    let program = script(
        &cluster,
        "agent",
        &format!("PATH={folder}:$PATH exec {PROGRAM} \"$@\""),
    );
    let _other = cluster.launch("node-a", PROGRAM.as_ref());
    let mut agent = cluster.launch("node-b", &program);
    cluster.await_ready();
    isolate(&mut cluster);
    let mut prober = Prober::start(&cluster, datagrams(), RATE);

    fs::write(&fails, "").unwrap();
    cluster.apply(policy(
        "shop",
        "ops",
        &json!({
            "podSelector": {"matchLabels": {"app": "web"}},
            "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "ops"}}}]}],
        }),
    ));
    prober.take(&cluster);
    cluster.agrees("an update needs no nft");
    // Rules that somebody added can be taken away by a load alone, for which nft lists what is there.
    cluster.add_chain("node-b");
    cluster.status_shows("node-b", &|status| status["error"].is_string());
    cluster.agrees("while nft fails");
    fs::remove_file(&fails).unwrap();
    cluster.metric_is("node-b", "nopal_drift_repairs_total", 1);
    cluster.status_shows("node-b", &|status| status["error"].is_null());
    cluster.agrees("after nft works again");

    // An agent that cannot use nft says so and ends; the rules stay.
    fs::write(&fails, "").unwrap();
    agent.signal(Signal::SIGKILL).unwrap();
    agent.wait().unwrap();
    let mut agent = cluster.launch("node-b", &program);
    assert!(!agent.wait().unwrap(), "{}", agent.log());
    assert!(agent.log().contains("out of luck"), "{}", agent.log());
    cluster.agrees("without an agent");
    fs::remove_file(&fails).unwrap();
    let _agent = cluster.launch("node-b", &program);
    cluster.await_ready();
    cluster.delete("NetworkPolicy", "shop", "ops");
    prober.take(&cluster);
    cluster.agrees("with an agent again");
    prober.finish(&cluster);
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn a_full_disk_keeps_no_pod_from_starting_and_nothing_from_being_enforced() {
    let mut cluster = Cluster::start("agent-disk");
    let state = cluster.state_dir("node-b");
    fs::create_dir_all(&state).unwrap();
    let program = script(
        &cluster,
        "agent",
        &format!(
            "exec unshare --mount sh -c 'mount -t tmpfs -o size=1m nopal-full {state} && \
             {{ head -c 2m /dev/zero > {state}/fill; exec {PROGRAM} \"$@\"; }}' agent \"$@\"",
            state = state.display()
        ),
    );
    let _other = cluster.launch("node-a", PROGRAM.as_ref());
    let agent = cluster.launch("node-b", &program);
    cluster.await_ready();
    isolate(&mut cluster);
    let mut prober = Prober::start(&cluster, datagrams(), RATE);

    cluster.plugin("ADD", "node-b", "ops", "probe", "10.0.2.20");
    cluster.plugin("CHECK", "node-b", "ops", "probe", "10.0.2.20");
    let log = cluster.log("node-b");
    assert!(log.contains("will not know all addresses"), "{log}");
    let is_told = || {
        cluster
            .log("node-b")
            .contains("not saved for the next boot")
    };
    assert!(eventually(is_told), "{}", cluster.log("node-b"));
    cluster.change("Pod", "shop", "web", |pod| label(pod, "app", "other"));
    prober.take(&cluster);
    cluster.agrees("with a full disk");

    // The agent's own view of the folder. Nothing changes any more, and yet it is written when there is room.
    let seen = PathBuf::from(format!("/proc/{}/root{}", agent.id(), state.display()));
    assert!(!seen.join("rules").exists());
    fs::remove_file(seen.join("fill")).unwrap();
    let is_saved = || seen.join("rules").exists();
    assert!(eventually(is_saved), "{}", cluster.log("node-b"));
    prober.finish(&cluster);
}

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

impl Cluster {
    /// As a stranger, adds a chain to our table that nothing leads to.
    fn add_chain(&self, node: &str) {
        let command = "add chain inet nopal stranger";
        let run = || Command::new("nft").arg(command).output();
        let output = self.node(node).run(run).unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
