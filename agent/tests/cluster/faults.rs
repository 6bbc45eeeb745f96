//! What goes wrong around an agent, while a prober runs throughout: no packet passes that the policies in force deny, and
//! none is lost on flows that stay allowed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nopal_harness::{Process, Signal};
use serde_json::{Value, json};

use crate::agents::PROGRAM;
use crate::cluster::{Cluster, eventually};
use crate::flows::datagrams;
use crate::objects::{label, policy};
use crate::prober::Prober;

/// How many datagrams a second the prober sends on all its flows together.
pub(crate) const RATE: u32 = 800;

/// How long an API server stands still.
const STALL: Duration = Duration::from_secs(5);

/// Default deny in `shop`, where only api may come in, and that only to db.
pub(crate) fn isolate(cluster: &mut Cluster) {
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    cluster.apply(policy("shop", "db", &from("api")));
    cluster.agrees("before");
}

/// The pods with this label may come to db.
pub(crate) fn from(app: &str) -> Value {
    json!({
        "podSelector": {"matchLabels": {"app": "db"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": app}}}]}],
    })
}

/// What the agents know becomes older than anything that etcd still has: they stand still while the cluster changes.
pub(crate) fn outdate(
    cluster: &mut Cluster,
    agents: &[Process],
    change: impl FnOnce(&mut Cluster),
) {
    for agent in agents {
        agent.signal(Signal::SIGSTOP).unwrap();
    }
    change(cluster);
    cluster.control_plane.kill_apiserver().unwrap();
    cluster.control_plane.compact_etcd().unwrap();
    cluster.control_plane.start_apiserver().unwrap();
    for agent in agents {
        agent.signal(Signal::SIGCONT).unwrap();
    }
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

    outdate(&mut cluster, &agents, |cluster| {
        cluster.change("Pod", "shop", "web", |pod| label(pod, "app", "other"));
        prober.take(cluster);
        cluster.apply(policy("ops", "deny", &json!({"podSelector": {}})));
        prober.take(cluster);
    });
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

impl Cluster {
    /// As a stranger, adds a chain to our table that nothing leads to.
    fn add_chain(&self, node: &str) {
        let command = "add chain inet nopal stranger";
        let run = || Command::new("nft").arg(command).output();
        let output = self.node(node).run(run).unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
