//! How agents list: as streams where the API server's etcd can serve them, and in pages where it cannot, as the API server's
//! own record has it. Either way the policies hold throughout.

use std::collections::BTreeMap;

use nopal_harness::{Asked, Shape};
use serde_json::json;

use crate::cluster::{Cluster, eventually};
use crate::faults::{RATE, from, isolate, outdate};
use crate::flows::{datagrams, topology};
use crate::objects::{self, NODES, policy};
use crate::prober::Prober;

/// What agents follow.
const KINDS: [&str; 4] = ["namespaces", "networkpolicies", "nodes", "pods"];

/// What an agent says when it gives up streams.
const PAGES: &str = "listing page by page";

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn lists_are_streams_also_after_the_api_server_has_died_and_forgotten() {
    let mut cluster = Cluster::start("agent-streams");
    let agents = cluster.start_agents();
    let first = cluster.asked(|asked| asked.is_streaming_list);
    let each = KINDS.map(|kind| (kind.to_owned(), NODES.len()));
    assert_eq!(
        first,
        each.into_iter().collect(),
        "{}",
        cluster.log("node-a")
    );
    isolate(&mut cluster);
    let mut prober = Prober::start(&cluster, datagrams(), RATE);

    // A connection that is taken up where it ended needs no list.
    cluster.control_plane.kill_apiserver().unwrap();
    cluster.control_plane.start_apiserver().unwrap();
    cluster.apply(policy("ops", "deny", &json!({"podSelector": {}})));
    prober.take(&cluster);
    cluster.agrees("after the API server came back");

    outdate(&mut cluster, &agents, |cluster| {
        cluster.delete("NetworkPolicy", "ops", "deny");
        prober.take(cluster);
    });
    cluster.agrees("after a list anew");
    // Of some kinds everything had reached the agents before they stood still; these need no list.
    let listed = |asked: &BTreeMap<String, usize>| asked.values().sum::<usize>();
    let has_listed = || listed(&cluster.asked(|asked| asked.is_streaming_list)) > listed(&first);
    assert!(eventually(has_listed), "{}", cluster.log("node-a"));
    prober.finish(&cluster);

    let listed = cluster.asked(|asked| asked.verb == "list");
    assert!(listed.is_empty(), "{listed:?}\n{}", cluster.log("node-a"));
    for agent in &agents {
        let log = agent.log();
        assert!(log.contains("too old resource version"), "{log}");
        assert!(!log.contains(PAGES), "{log}");
    }
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn an_api_server_on_an_old_etcd_is_asked_for_pages() {
    let shape = Shape::OnSystemEtcd;
    let mut cluster = Cluster::build_on(shape, "agent-pages", &topology(), objects::all());
    let agents = cluster.start_agents();
    for agent in &agents {
        let log = agent.log();
        assert!(
            log.contains(PAGES),
            "can the etcd on PATH stream, as 3.4.31 and 3.5.13 can?\n{log}"
        );
    }
    let listed = cluster.asked(|asked| asked.verb == "list");
    let kinds: Vec<&str> = listed.keys().map(String::as_str).collect();
    assert_eq!(kinds, KINDS);
    isolate(&mut cluster);
    let mut prober = Prober::start(&cluster, datagrams(), RATE);

    cluster.control_plane.kill_apiserver().unwrap();
    cluster.agrees("while the API server is away");
    cluster.control_plane.start_apiserver().unwrap();
    cluster.apply(policy("shop", "db", &from("web")));
    prober.take(&cluster);
    cluster.agrees("after it came back");
    prober.finish(&cluster);
}

impl Cluster {
    /// The resources of the agents' requests of one sort, each with how many there were.
    fn asked(&self, is_of_sort: impl Fn(&Asked) -> bool) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for (asked, times) in self.control_plane.asked_by_agents().unwrap() {
            if is_of_sort(&asked) {
                *found.entry(asked.resource).or_default() += times;
            }
        }
        found
    }
}
