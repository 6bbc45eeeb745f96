//! The agent against a real API server and etcd, judged by packets and the reference evaluator.
//!
//! `make test-cluster` runs these, and builds the API server where it is missing. They need root.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::print_stdout,
    reason = "a seed and what was measured are shown with `--nocapture`"
)]

mod agents;
mod alone;
mod api;
mod audit;
mod burst;
mod churn;
mod cluster;
mod conformance;
mod deployed;
mod faults;
mod flows;
mod hands;
mod helm;
mod kills;
mod objects;
mod prober;
mod rollout;
#[allow(dead_code, reason = "the tests of the plugin use the rest of it")]
#[path = "../cni/runtime.rs"]
mod runtime;
mod seed;
mod silence;
mod soak;
mod streams;

use cluster::Cluster;
use nopal_harness::Signal;
use objects::{label, policy};
use serde_json::json;

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn what_the_api_server_says_is_what_packets_meet() {
    let mut cluster = Cluster::start("agent-change");
    let _agents = cluster.start_agents();
    cluster.agrees("without policies");

    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    cluster.agrees("default deny");
    let from_api = json!({
        "podSelector": {"matchLabels": {"app": "db"}},
        "ingress": [{
            "from": [{"podSelector": {"matchLabels": {"app": "api"}}}],
            "ports": [{"port": 5432}],
        }],
    });
    cluster.apply(policy("shop", "db", &from_api));
    cluster.agrees("api may reach db");
    let from_ops = json!({
        "podSelector": {"matchLabels": {"app": "db"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{
            "from": [{"namespaceSelector": {"matchLabels": {"team": "ops"}}}],
            "ports": [{"port": "sql"}],
        }],
    });
    cluster.apply(policy("shop", "db", &from_ops));
    cluster.agrees("ops in place of api, by a named port, and no egress");

    cluster.change("Pod", "shop", "web", |pod| label(pod, "app", "db"));
    cluster.agrees("web has the label of db");
    cluster.change("Namespace", "", "ops", |namespace| {
        label(namespace, "team", "none");
    });
    cluster.agrees("the namespace of ops lost its label");
    cluster.change("Namespace", "", "ops", |namespace| {
        label(namespace, "team", "ops");
    });
    cluster.agrees("and has it again");
    cluster.delete("NetworkPolicy", "shop", "db");
    cluster.agrees("default deny alone");
    cluster.delete("Pod", "shop", "web");
    cluster.agrees("a pod less");
    cluster.delete("NetworkPolicy", "shop", "deny");
    cluster.agrees("without policies again");
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn a_killed_agent_opens_nothing_and_loses_nothing() {
    let mut cluster = Cluster::start("agent-kill");
    let mut agents = cluster.start_agents();
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    let from_api = json!({
        "podSelector": {"matchLabels": {"app": "db"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "api"}}}]}],
    });
    cluster.apply(policy("shop", "db", &from_api));
    cluster.agrees("before");

    let traffic = cluster.traffic();
    for _ in 0..3 {
        for agent in &mut agents {
            agent.signal(Signal::SIGKILL).unwrap();
            agent.wait().unwrap();
        }
        agents = cluster.start_agents();
    }
    for agent in &mut agents {
        agent.signal(Signal::SIGTERM).unwrap();
        assert!(agent.wait().unwrap(), "{}", agent.log());
    }
    flows::stop(traffic);
    cluster.agrees("without agents");
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn the_api_server_may_die_and_forget() {
    let mut cluster = Cluster::start("agent-gone");
    let agents = cluster.start_agents();
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    cluster.agrees("before");

    cluster.control_plane.kill_apiserver().unwrap();
    cluster.agrees("while the API server is away");
    cluster.control_plane.start_apiserver().unwrap();
    let allow = json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{}]});
    cluster.apply(policy("shop", "db", &allow));
    cluster.agrees("after it came back");

    // What happens while the agents do not look, and what the API server then does not remember.
    for agent in &agents {
        agent.signal(Signal::SIGSTOP).unwrap();
    }
    cluster.delete("NetworkPolicy", "shop", "db");
    cluster.change("Pod", "shop", "web", |pod| label(pod, "app", "other"));
    cluster.apply(policy("ops", "deny", &json!({"podSelector": {}})));
    cluster.control_plane.kill_apiserver().unwrap();
    cluster.control_plane.start_apiserver().unwrap();
    for agent in &agents {
        agent.signal(Signal::SIGCONT).unwrap();
    }
    cluster.agrees("after a list anew");
    for agent in &agents {
        let log = agent.log();
        assert!(log.contains("too old resource version"), "{log}");
    }
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn a_boot_without_api_server_is_protected_by_the_saved_rules() {
    let mut cluster = Cluster::start("agent-boot");
    let mut agents = cluster.start_agents();
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    cluster.agrees("before");
    for agent in &mut agents {
        agent.signal(Signal::SIGTERM).unwrap();
        assert!(agent.wait().unwrap(), "{}", agent.log());
    }
    cluster.control_plane.kill_apiserver().unwrap();
    cluster.forget_tables();

    let mut agents = cluster.launch_agents();
    cluster.agrees("after the boot");
    cluster.control_plane.start_apiserver().unwrap();
    cluster.await_ready();
    cluster.delete("NetworkPolicy", "shop", "deny");
    cluster.agrees("with the API server");
    for agent in &mut agents {
        agent.signal(Signal::SIGTERM).unwrap();
        assert!(agent.wait().unwrap(), "{}", agent.log());
    }
    cluster.clean_up();
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn the_agent_tells_what_is_in_force() {
    let mut cluster = Cluster::start("agent-tell");
    let _agents = cluster.start_agents();
    let from_block = json!({
        "podSelector": {"matchLabels": {"app": "db"}},
        "ingress": [{"from": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}],
    });
    cluster.apply(policy("shop", "db", &from_block));
    cluster.agrees("a policy");
    let version = cluster.version_of("networkpolicy", "shop", "db");
    cluster.status_shows("node-a", &|status| {
        status["inForce"]["policies"]["shop/db"]["resourceVersion"] == version
            && status["ready"] == true
            && status["counts"]["pods"] == 4
            && status["mode"] == "enforce"
            && status["unenforceable"] == json!([])
    });
    let metrics = cluster.http("node-b", "/metrics");
    for name in [
        "nopal_programming_latency_seconds_bucket",
        "nopal_elements ",
    ] {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }
    assert!(cluster.http("node-a", "/healthz").ends_with("ok\n"));
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn a_policy_that_an_older_api_server_let_in_is_closed_where_it_is_wrong_and_told() {
    let mut cluster = Cluster::start("agent-old");
    let _agents = cluster.start_agents();
    let old = json!({
        "podSelector": {"matchLabels": {"app": "db"}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"from": [{"ipBlock": {"cidr": "198.51.100.9/28"}}]},
            {"ports": [{"port": 8080, "protocol": "ICMP"}]},
        ],
    });
    cluster.store_unchecked(policy("shop", "old", &old));
    cluster.agrees("an old policy");
    let places = [
        "spec.ingress[0].from[0].ipBlock.cidr",
        "spec.ingress[1].ports[0].protocol",
    ];
    cluster.has_events("shop", &places);
    cluster.status_shows("node-a", &|status| {
        status["inForce"]["problems"]["NetworkPolicy shop/old"]
            .as_array()
            .map(Vec::len)
            == Some(2)
    });
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn what_others_do_to_the_table_is_undone_while_packets_flow() {
    let mut cluster = Cluster::start("agent-drift");
    let _agents = cluster.start_agents();
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    let from_api = json!({
        "podSelector": {"matchLabels": {"app": "db"}},
        "ingress": [{
            "from": [{"podSelector": {"matchLabels": {"app": "api"}}}],
            "ports": [{"port": 5353, "protocol": "UDP"}, {"port": 5432}],
        }],
    });
    cluster.apply(policy("shop", "db", &from_api));
    cluster.agrees("before");
    let traffic = cluster.traffic();

    cluster.forget_tables();
    for (node, _) in objects::NODES {
        cluster.metric_is(node, "nopal_drift_repairs_total", 1);
    }
    cluster.open_denied("node-b");
    cluster.metric_is("node-b", "nopal_drift_repairs_total", 2);
    flows::stop_after_gaps(traffic);
    cluster.agrees("after");
    let log = cluster.log("node-b");
    assert!(names_nft(&log), "the culprit is named: {log}");
}

/// Whether it is told that a process of nft changed our table.
fn names_nft(log: &str) -> bool {
    let mut told = log
        .lines()
        .filter(|line| line.contains("somebody changed our table"));
    told.any(|line| {
        let culprits = line.split("process ").skip(1);
        let mut names = culprits.filter_map(|told| told.split_once(' '));
        names.any(|(pid, rest)| pid.parse::<u32>().is_ok() && rest.starts_with("(nft): "))
    })
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn a_policy_in_audit_mode_denies_nothing_until_it_is_enforced_again() {
    let mut cluster = Cluster::start("agent-audit");
    let _agents = cluster.start_agents();
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    cluster.agrees("enforced");
    cluster.change("NetworkPolicy", "shop", "deny", |policy| {
        policy["metadata"]["annotations"] = json!({"nopal.dev/mode": "audit"});
    });
    cluster.agrees("audited");
    let metrics = cluster.http("node-b", "/metrics");
    let audited = metrics
        .lines()
        .find_map(|line| line.strip_prefix("nopal_audited_packets_total "));
    assert_ne!(audited, Some("0"), "{metrics}");
    cluster.change("NetworkPolicy", "shop", "deny", |policy| {
        policy["metadata"]["annotations"] = json!({"nopal.dev/mode": "enforce"});
    });
    cluster.agrees("enforced again");
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn a_second_agent_of_a_node_is_refused_and_a_cleanup_too() {
    let mut cluster = Cluster::start("agent-lock");
    let agents = cluster.start_agents();
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    cluster.agrees("before");
    let told = format!("process {} (nopal-agent)", agents[0].id());
    let second = cluster.refused("node-a", &["--node", "node-a", "--http", "off"]);
    assert!(second.contains(&told), "{told} in {second}");
    let cleanup = cluster.refused("node-a", &["cleanup"]);
    assert!(cleanup.contains(&told), "{told} in {cleanup}");
    cluster.agrees("after");
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn a_pod_is_protected_from_cni_add_on_before_the_api_shows_its_address() {
    let mut cluster = Cluster::start("agent-plugin");
    cluster.delete("Pod", "shop", "web");
    let mut agents = cluster.start_agents();
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    // The pod is bound to the node and has no address yet, as far as the API knows.
    let all = objects::all();
    let web = all
        .iter()
        .find(|object| objects::is(object, "Pod", "shop", "web"));
    let mut unstarted = web.unwrap().clone();
    unstarted["status"] = json!({});
    cluster.apply(unstarted);
    let (probe, web_at) = ("10.0.2.20", "10.0.1.10");
    cluster.agrees("the agents know the policy");
    assert!(
        cluster.passes(probe, web_at),
        "nobody knows whose address this is"
    );
    cluster.plugin("ADD", "node-a", "shop", "web", web_at);
    assert!(!cluster.passes(probe, web_at), "ADD has returned");
    cluster.plugin("CHECK", "node-a", "shop", "web", web_at);
    // The next process knows it, too.
    for agent in &mut agents {
        agent.signal(Signal::SIGKILL).unwrap();
        agent.wait().unwrap();
    }
    let _agents = cluster.start_agents();
    assert!(
        !cluster.passes(probe, web_at),
        "the address is kept on disk"
    );
    cluster.change("Pod", "shop", "web", |pod| {
        pod["status"] =
            json!({"phase": "Running", "podIP": "10.0.1.10", "podIPs": [{"ip": "10.0.1.10"}]});
    });
    cluster.agrees("the API shows the address");
    cluster.plugin("DEL", "node-a", "shop", "web", web_at);
    cluster.agrees("the API still shows it");
}
