//! `nopal rollout` and the analysis of a live cluster, against a real API server and real agents.

use std::collections::BTreeMap;
use std::time::Duration;

use nopal::inventory::{Inventory, MadeUp};
use nopal::kubectl::Kubectl;
use nopal::manifest::read_cluster;
use nopal::rollout::{Answer, CannotAsk, Question, Rollout};
use nopal_harness::Signal;
use policy_core::PodId;
use serde_json::json;

use crate::cluster::Cluster;
use crate::objects::{NODES, policy};

/// How often is asked before it has to be right on a busy machine.
const TRIES: usize = 120;

fn kubectl(cluster: &Cluster) -> Kubectl {
    Kubectl {
        program: cluster.control_plane.kubectl_program().to_owned(),
        kubeconfig: Some(cluster.control_plane.kubeconfig().to_owned()),
        context: None,
    }
}

fn question(cluster: &Cluster, policy: Option<&str>) -> Question {
    Question {
        kubectl: kubectl(cluster),
        policy: policy.map(|name| ("shop".to_owned(), name.to_owned())),
        selector: "app.kubernetes.io/name=nopal-agent".to_owned(),
        port: 9471,
    }
}

/// The pods that a `DaemonSet` would have made of the agents.
fn add_agents(cluster: &mut Cluster) {
    for (node, address) in NODES {
        cluster.apply(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "namespace": "kube-system", "name": format!("nopal-agent-{node}"),
                "labels": {"app.kubernetes.io/name": "nopal-agent"},
            },
            "spec": {
                "nodeName": node, "hostNetwork": true,
                "containers": [{"name": "agent", "image": "none"}],
            },
            "status": {
                "phase": "Running", "hostIP": address, "hostIPs": [{"ip": address}],
                "podIP": address, "podIPs": [{"ip": address}],
            },
        }));
    }
}

/// Asks until it is in force everywhere.
fn everywhere(cluster: &Cluster, policy: Option<&str>) -> Answer {
    cluster.outside(|| {
        let mut rollout = Rollout::new(question(cluster, policy)).unwrap();
        let mut answer = rollout.ask(Duration::from_secs(30)).unwrap();
        for _ in 0..TRIES {
            if answer.is_everywhere() {
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
            answer = rollout.ask(Duration::from_secs(30)).unwrap();
        }
        assert!(answer.is_everywhere(), "{answer:?}");
        answer
    })
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn a_rollout_is_what_all_agents_have_in_force() {
    let mut cluster = Cluster::start("agent-rollout");
    let agents = cluster.start_agents();
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    let refused = cluster.outside(|| {
        let mut rollout = Rollout::new(question(&cluster, None)).unwrap();
        rollout.ask(Duration::from_secs(30)).unwrap_err()
    });
    assert!(matches!(refused, CannotAsk::NoAgent(_)), "{refused}");
    add_agents(&mut cluster);
    let answer = everywhere(&cluster, None);
    assert_eq!((answer.policies, answer.in_force()), (1, 2));
    cluster.agrees("what is said to be in force");

    // One agent that does not look, and a change that it cannot know of.
    agents[1].signal(Signal::SIGSTOP).unwrap();
    let allow = json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{}]});
    cluster.apply(policy("shop", "db", &allow));
    let answer = cluster.outside(|| {
        let mut rollout = Rollout::new(question(&cluster, Some("db"))).unwrap();
        rollout.ask(Duration::from_secs(2)).unwrap()
    });
    let lag = answer.nodes["node-b"].as_deref().unwrap();
    assert!(lag.contains("does not answer at port 9471"), "{lag}");
    agents[1].signal(Signal::SIGCONT).unwrap();
    everywhere(&cluster, Some("db"));
    cluster.delete("NetworkPolicy", "shop", "db");
    let answer = everywhere(&cluster, None);
    assert_eq!(answer.policies, 1);
    cluster.agrees("what was deleted has gone");
    let absent = cluster.outside(|| Rollout::new(question(&cluster, Some("db"))).unwrap_err());
    assert_eq!(absent, CannotAsk::NoPolicy("shop/db".to_owned()));
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn a_live_cluster_is_read_as_it_is() {
    let mut cluster = Cluster::start("agent-live");
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    let live = cluster.outside(|| read_cluster(&kubectl(&cluster)));
    assert!(
        live.manifests.errors.is_empty(),
        "{:?}",
        live.manifests.errors
    );
    assert_eq!(live.missing, Vec::<String>::new());
    let inventory = Inventory::new(&live.manifests, MadeUp::Nothing);
    let pods: BTreeMap<_, _> = inventory.cluster.pods().iter().collect();
    let web = &pods[&PodId::new("shop", "web")];
    assert_eq!(
        web.addresses,
        ["10.0.1.10".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(inventory.cluster.policies().len(), 1);
    assert_eq!(inventory.cluster.nodes().len(), 2);
    let namespace = &inventory.cluster.namespaces()["ops"];
    assert_eq!(namespace.labels.value("team"), Some("ops"));
}
