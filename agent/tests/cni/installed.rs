//! The agent as a process: it installs the plugin, puts it back, and takes it away, without any API server in sight.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nopal_cni::quarantine::{Held, hold};
use nopal_harness::{Process, Signal};
use serde_json::{Value, json};

use crate::chained::lab;
use crate::runtime::PATIENCE;
use crate::site::NODE;

const KUBECONFIG: &str = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "c",
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "c", "user": {}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]}"#;

struct Node {
    lab: nopal_lab::Lab,
    folder: tempfile::TempDir,
}

impl Node {
    fn new(prefix: &str, plugin: &str) -> Self {
        let this = Self {
            lab: lab(prefix),
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(this.at("net.d")).unwrap();
        fs::write(this.at("kubeconfig"), KUBECONFIG).unwrap();
        this.write_list(plugin);
        this
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As a CNI does when it starts.
    fn write_list(&self, plugin: &str) {
        let list = json!({"cniVersion": "0.3.1", "name": "n", "plugins": [{"type": plugin}]});
        fs::write(self.at("fresh"), list.to_string()).unwrap();
        fs::rename(self.at("fresh"), self.at("net.d/10-n.conflist")).unwrap();
    }

    fn plugins(&self) -> Value {
        let text = fs::read_to_string(self.at("net.d/10-n.conflist")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["plugins"].clone()
    }

    /// Starts the program with options that name files here, or stand for themselves.
    fn agent(&self, arguments: &[(&str, &str)]) -> Process {
        let program = Path::new(env!("CARGO_BIN_EXE_nopal-agent"));
        let namespace = self.lab.node_namespace(NODE).unwrap();
        let options = arguments.iter().map(|(option, name)| match *option {
            "" => (*name).to_owned(),
            option => format!("{option}={}", self.at(name).display()),
        });
        Process::start(namespace, program, options, &self.at("log")).unwrap()
    }

    fn run(&self) -> Process {
        self.agent(&[
            ("", "--node=node-a"),
            ("", "--http=off"),
            ("--kubeconfig", "kubeconfig"),
            ("--state-dir", "state"),
            ("--cni-socket", "run/cni.sock"),
            ("--cni-conf-dir", "net.d"),
            ("--cni-bin-dir", "bin"),
        ])
    }

    fn has_plugin(&self, process: &Process) {
        let begun = Instant::now();
        while self.plugins()[1]["type"] != "nopal-cni" {
            assert!(
                begun.elapsed() < PATIENCE,
                "{}\n{}",
                self.plugins(),
                process.log()
            );
            sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn the_agent_puts_the_plugin_back_when_the_cni_rewrites_its_file_and_cleanup_takes_it_away() {
    let node = Node::new("nopalcniinst", "flannel");
    let mut agent = node.run();
    node.has_plugin(&agent);
    let socket = node.at("run/cni.sock").display().to_string();
    assert_eq!(node.plugins()[1]["socket"], socket);
    let program = fs::read(node.at("bin/nopal-cni")).unwrap();
    assert_eq!(program, fs::read(env!("CARGO_BIN_EXE_nopal-cni")).unwrap());
    node.write_list("flannel");
    node.has_plugin(&agent);
    assert!(node.at("run/cni.sock").exists());
    agent.signal(Signal::SIGTERM).unwrap();
    assert!(agent.wait().unwrap(), "{}", agent.log());
    assert_eq!(
        node.plugins().as_array().unwrap().len(),
        2,
        "it outlives the agent"
    );
    let mut cleanup = node.agent(&[
        ("", "cleanup"),
        ("--state-dir", "state"),
        ("--cni-conf-dir", "net.d"),
        ("--cni-bin-dir", "bin"),
    ]);
    assert!(cleanup.wait().unwrap(), "{}", cleanup.log());
    assert_eq!(node.plugins(), json!([{"type": "flannel"}]));
    assert!(!node.at("bin/nopal-cni").exists() && !node.at("state").exists());
}

#[test]
fn a_cleanup_takes_the_guard_and_the_quarantine_away_and_lets_everybody_go() {
    let node = Node::new("nopalcnirest", "flannel");
    let mut agent = node.agent(&[
        ("", "--node=node-a"),
        ("", "--http=off"),
        ("", "--anti-spoofing"),
        ("", "--cni-on-failure=open"),
        ("--kubeconfig", "kubeconfig"),
        ("--state-dir", "state"),
        ("--cni-socket", "run/cni.sock"),
        ("--cni-conf-dir", "net.d"),
        ("--cni-bin-dir", "bin"),
    ]);
    node.has_plugin(&agent);
    assert_eq!(node.plugins()[1]["onFailure"], "failOpen");
    let held = Held {
        uid: None,
        pod: "shop/web".to_owned(),
        container: "c1".to_owned(),
    };
    let namespace = node.lab.node_namespace(NODE).unwrap();
    let put_in = || hold(&["10.0.0.5".parse().unwrap()], &held);
    namespace.run(put_in).unwrap().unwrap();
    agent.signal(Signal::SIGTERM).unwrap();
    assert!(agent.wait().unwrap(), "{}", agent.log());
    let tables = || {
        let list = || {
            Command::new("nft")
                .args(["list", "tables"])
                .output()
                .unwrap()
        };
        String::from_utf8(namespace.run(list).unwrap().stdout).unwrap()
    };
    for table in [
        "inet nopal_spoofing",
        "bridge nopal_spoofing",
        "inet nopal_quarantine",
    ] {
        assert!(tables().contains(table), "{table} in {}", tables());
    }
    let mut cleanup = node.agent(&[
        ("", "cleanup"),
        ("--state-dir", "state"),
        ("--cni-conf-dir", "net.d"),
        ("--cni-bin-dir", "bin"),
    ]);
    assert!(cleanup.wait().unwrap(), "{}", cleanup.log());
    assert!(
        cleanup.log().contains("in quarantine are let go"),
        "{}",
        cleanup.log()
    );
    assert_eq!(tables(), "");
}

#[test]
fn beside_a_cni_that_enforces_policies_the_agent_ends_and_says_why() {
    let node = Node::new("nopalcnienf", "cilium-cni");
    let mut agent = node.run();
    assert!(!agent.wait().unwrap());
    assert!(
        agent
            .log()
            .contains("Cilium, which enforces NetworkPolicies itself"),
        "{}",
        agent.log()
    );
    assert_eq!(node.plugins(), json!([{"type": "cilium-cni"}]));
    assert!(!node.at("bin").exists());
}
