//! Connections to the API server that die without a word: packets are dropped in the node's namespace, and neither end is
//! told. What is in force stays so, and what was missed is made up for within the time that `docs/scale.md` says.

use std::process::Command;
use std::time::{Duration, Instant};

use nopal_lab::patient;
use serde_json::json;

use crate::cluster::{Cluster, eventually};
use crate::faults::{RATE, isolate};
use crate::flows::datagrams;
use crate::objects::policy;
use crate::prober::Prober;

const NODE: &str = "node-b";

/// How long an agent may take to notice, to connect again after a pause, and to catch up.
const NOTICED: Duration = Duration::from_secs(50);

/// What an agent says when it notices.
const INTERRUPTED: &str = "watch interrupted";

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn connections_that_die_without_a_word_are_noticed_and_made_up_for() {
    let mut cluster = Cluster::start("agent-silence");
    let _agents = cluster.start_agents();
    isolate(&mut cluster);
    let mut prober = Prober::start(&cluster, datagrams(), RATE);

    // Those that stand die, as when a firewall forgets them; new ones come about.
    let ports = cluster.connections(NODE);
    assert!(
        ports.split(',').count() >= 4,
        "a watch for each kind: {ports}"
    );
    cluster.drop_packets(
        NODE,
        &format!("tcp sport {{ {ports} }}"),
        &format!("tcp dport {{ {ports} }}"),
    );
    let begun = Instant::now();
    cluster.apply(policy("ops", "deny", &json!({"podSelector": {}})));
    prober.take(&cluster);
    assert!(
        !cluster.log(NODE).contains(INTERRUPTED),
        "nobody has told it yet"
    );
    cluster.agrees("after the connections died");
    println!("noticed and made up for in {:?}", begun.elapsed());
    assert!(begun.elapsed() < patient(NOTICED), "{:?}", begun.elapsed());
    assert!(cluster.log(NODE).contains(INTERRUPTED));
    cluster.pass_packets(NODE);

    // The API server is out of reach for a while.
    let told = cluster.log(NODE).matches(INTERRUPTED).count();
    cluster.drop_packets(NODE, "meta l4proto tcp", "meta l4proto tcp");
    cluster.delete("NetworkPolicy", "ops", "deny");
    prober.take(&cluster);
    let notices = || cluster.log(NODE).matches(INTERRUPTED).count() >= told + 4;
    assert!(eventually(notices), "{}", cluster.log(NODE));
    cluster.apply(policy(
        "ops",
        "db",
        &json!({"podSelector": {}, "policyTypes": ["Egress"]}),
    ));
    prober.take(&cluster);
    cluster.pass_packets(NODE);
    cluster.agrees("after the API server is in reach again");
    prober.finish(&cluster);
}

impl Cluster {
    /// The ports of the agent's connections to the API server, with commas between them.
    fn connections(&self, node: &str) -> String {
        let arguments = ["-Htn", "state", "established", "dport", "=", ":6443"];
        let listed = self.on(node, "ss", &arguments);
        let ports = listed.lines().map(|line| {
            let local = line.split_whitespace().nth(2).unwrap();
            local.rsplit_once(':').unwrap().1.to_owned()
        });
        ports.collect::<Vec<_>>().join(",")
    }

    /// From now on drops what the node itself and the API server say to each other, where these expressions hold.
    fn drop_packets(&self, node: &str, out: &str, back: &str) {
        let table = "inet lab_silence";
        let chain = |hook: &str| {
            format!("add chain {table} {hook} {{ type filter hook {hook} priority -300; }}\n")
        };
        let rules = format!(
            "add table {table}\n{}{}\
             add rule {table} output tcp dport 6443 {out} drop\n\
             add rule {table} input tcp sport 6443 {back} drop\n",
            chain("output"),
            chain("input"),
        );
        self.on(node, "nft", &[&rules]);
    }

    /// No longer.
    fn pass_packets(&self, node: &str) {
        self.on(node, "nft", &["delete", "table", "inet", "lab_silence"]);
    }

    /// What a program says on a node.
    fn on(&self, node: &str, program: &str, arguments: &[&str]) -> String {
        let run = || Command::new(program).args(arguments).output();
        let output = self.node(node).run(run).unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}
