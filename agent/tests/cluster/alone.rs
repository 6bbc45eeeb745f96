//! An agent that is told nothing but its node and a kubeconfig, in the node's network namespace; and what it says where
//! either is wrong, while rules are in force that must stay.

use std::fs;
use std::path::{Path, PathBuf};

use nopal_harness::{Process, Signal};

use crate::agents::{self, PROGRAM};
use crate::cluster::{Cluster, eventually};
use crate::faults::{RATE, from, isolate};
use crate::flows::datagrams;
use crate::objects::{NODES, policy};
use crate::prober::Prober;

/// Becomes the agent. What it keeps below `/var/lib` is gone with it.
const APART: &str = "mount -t tmpfs none /var/lib && exec \"$0\" --node \"$1\" --kubeconfig \"$2\"";

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn an_agent_needs_nothing_but_a_node_and_a_kubeconfig_and_opens_nothing_where_they_are_wrong() {
    let mut cluster = Cluster::start("agent-alone");
    let right = cluster.kubeconfig.clone();
    let mut agents: Vec<Process> = NODES
        .iter()
        .map(|(node, _)| cluster.alone(node, node, &right))
        .collect();
    for (node, _) in NODES {
        agents::await_ready(cluster.node(node), &cluster.alone_log(node));
    }
    isolate(&mut cluster);
    agents[1].signal(Signal::SIGTERM).unwrap();
    assert!(agents[1].wait().unwrap(), "{}", agents[1].log());
    let prober = Prober::start(&cluster, datagrams(), RATE);

    let text = fs::read_to_string(&right).unwrap();
    let variant = |name: &str, text: &str| {
        let path = cluster.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let away = variant("away", &text.replace(":6443", ":6444"));
    let strange = variant("strange", &text.replace("ca.crt", "server.crt"));
    let (before, _) = text.rsplit_once("token: ").unwrap();
    let unknown = variant("unknown", &format!("{before}token: none}}}}]\n"));
    for (name, kubeconfig, reason) in [
        ("nobody", &right, "the cluster has no node nobody"),
        ("node-b", &away, "refused"),
        ("node-b", &strange, "certificate"),
        ("node-b", &unknown, "Unauthorized"),
    ] {
        let mut agent = cluster.alone("node-b", name, kubeconfig);
        let is_told = || agent.log().contains(reason);
        assert!(eventually(is_told), "{reason} is not in {}", agent.log());
        let ready = agents::ask(cluster.node("node-b"), "/readyz");
        assert!(ready.is_some_and(|answer| !answer.starts_with("HTTP/1.1 200")));
        cluster.agrees(reason);
        assert!(agent.is_running(), "it may pass: {}", agent.log());
        agent.signal(Signal::SIGTERM).unwrap();
        assert!(agent.wait().unwrap(), "{}", agent.log());
    }
    // What cannot pass ends it.
    let nowhere = cluster.folder.path().join("nowhere");
    let broken = variant("broken", "clusters: 7");
    for kubeconfig in [&nowhere, &broken] {
        let mut agent = cluster.alone("node-b", "node-b", kubeconfig);
        assert!(!agent.wait().unwrap(), "{}", agent.log());
        let reason = format!("the kubeconfig {}", kubeconfig.display());
        assert!(agent.log().contains(&reason), "{}", agent.log());
    }
    cluster.agrees("after all that");
    prober.finish(&cluster);

    let _agent = cluster.alone("node-b", "node-b", &right);
    cluster.apply(policy("shop", "db", &from("web")));
    cluster.agrees("with the right ones again");
}

impl Cluster {
    /// Starts an agent on a node with these two options and no other.
    fn alone(&self, node: &str, name: &str, kubeconfig: &Path) -> Process {
        let first = ["--mount", "--propagation", "private", "sh", "-c", APART];
        let arguments = first.iter().map(Path::new);
        let arguments = arguments.chain([Path::new(PROGRAM), Path::new(name), kubeconfig]);
        let log = self.alone_log(node);
        // Each has a log of its own.
        let _ = fs::remove_file(&log);
        Process::start(self.node(node), Path::new("unshare"), arguments, &log).unwrap()
    }

    fn alone_log(&self, node: &str) -> PathBuf {
        agents::log(self.folder.path(), node)
    }
}
