//! Agents that are killed in the midst of 200 syncs, each time at another point: before the first transaction of the
//! sync, between two of them, or in the load with which a process begins. What stands then is what the next process
//! finds. A prober runs throughout.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nft_backend::config::Config;
use nft_backend::nft::Nft;
use nft_backend::notifications::{Notice, Notices, Notifications};
use nopal_harness::{Process, Signal};
use policy_core::testing::Rng;
use serde_json::{Value, json};

use crate::api::Api;
use crate::cluster::Cluster;
use crate::flows::datagrams;
use crate::objects::{NODES, policy};
use crate::prober::Prober;
use crate::seed::seed;

/// How many syncs are cut off, each on both nodes.
const ROUNDS: usize = 200;

/// After so many it is looked whether the next process makes all right.
const LOOK: usize = 50;

/// No sync of so small a table lasts longer.
const SYNC: Duration = Duration::from_millis(200);

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn agents_that_are_killed_within_200_syncs_open_nothing_and_lose_nothing() {
    let mut rng = Rng::new(seed());
    let mut cluster = Cluster::start("agent-kills");
    let api = Api::new(
        cluster.lab.world_namespace(),
        cluster.control_plane.kubeconfig(),
    );
    let mut agents = cluster.start_agents();
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    cluster.apply(policy(
        "shop",
        "db",
        &spec(
            "db",
            &json!({"podSelector": {"matchLabels": {"app": "api"}}}),
            5353,
        ),
    ));
    cluster.agrees("before");
    let mut prober = Prober::start(&cluster, datagrams(), 800);
    let mut cut_off = [0; 5];
    for round in 1..=ROUNDS {
        // Either a running agent is told of a change, or one that begins.
        if rng.chance(50) {
            cluster.await_ready();
        }
        let node = NODES[rng.below(NODES.len())].0;
        let mut commits = Commits::of(&cluster, node);
        let change = change(&mut rng);
        api.apply(&change);
        cluster.remember(change);
        prober.take(&cluster);
        let done = commits.wait(rng.below(4));
        sleep(Duration::from_micros(rng.below(5_000) as u64));
        cut_off[done.min(4)] += 1;
        agents = kill(&cluster, agents);
        if round % LOOK == 0 {
            cluster.await_ready();
            cluster.agrees(&format!("after {round} kills"));
        }
    }
    prober.finish(&cluster);
    println!("killed after so many transactions since the change, 0 to 4 and more: {cut_off:?}");
    assert!(
        cut_off.iter().filter(|count| **count > 0).count() >= 3,
        "{cut_off:?}"
    );
}

/// Kills all agents at once and starts others. None may have ended by itself.
fn kill(cluster: &Cluster, mut agents: Vec<Process>) -> Vec<Process> {
    for agent in &mut agents {
        assert!(agent.is_running(), "{}", agent.log());
        agent.signal(Signal::SIGKILL).unwrap();
    }
    for agent in &mut agents {
        agent.wait().unwrap();
    }
    cluster.launch_agents()
}

/// A policy of one of a few names, with contents that other pods than api are let in by.
fn change(rng: &mut Rng) -> Value {
    let peers = [
        json!({"podSelector": {"matchLabels": {"app": "web"}}}),
        json!({"namespaceSelector": {"matchLabels": {"team": "ops"}}}),
        json!({"ipBlock": {"cidr": "10.0.2.0/24"}}),
        json!({"ipBlock": {"cidr": "198.51.100.0/24", "except": ["198.51.100.7/32"]}}),
    ];
    let subject = rng.pick(&["web", "db"]);
    let port = rng.pick(&[5353, 5432, 8080]);
    let spec = spec(subject, rng.pick(&peers), *port);
    policy("shop", &format!("more-{}", rng.below(4)), &spec)
}

fn spec(subject: &str, peer: &Value, port: u16) -> Value {
    json!({
        "podSelector": {"matchLabels": {"app": subject}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [peer], "ports": [{"port": port, "protocol": "UDP"}, {"port": port}]}],
    })
}

/// The transactions on the table of a node from now on.
struct Commits(Notifications);

impl Commits {
    fn of(cluster: &Cluster, node: &str) -> Self {
        let nft = Nft::new().in_namespace(cluster.node(node).path());
        Self(Notifications::of(&nft, &Config::default().table).unwrap())
    }

    /// Waits for so many of them, or until a sync would be over; gives how many there were.
    fn wait(&mut self, many: usize) -> usize {
        let begun = Instant::now();
        let mut seen = 0;
        while seen < many && begun.elapsed() < SYNC {
            self.0.wait(Duration::from_millis(20)).unwrap();
            let notices = self.0.read().unwrap();
            let is_commit = |notice: &&Notice| matches!(notice, Notice::Commit(_));
            seen += notices.iter().filter(is_commit).count();
        }
        seen
    }
}
