//! What a demonstration tries, and what it makes of what it sees; without root and without packets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::convert::Infallible;
use std::sync::Arc;

use nopal::demo::{self, Cast, Kind, Limits, Plan, Prober};
use nopal::inventory::{Inventory, MadeUp};
use nopal::manifest::{self, Source};
use nopal::report;
use policy_core::{Flow, FlowPort, Protocol, RuleGraph, Verdict};

const LIMITS: Limits = Limits {
    pods: 64,
    probes: 20_000,
};

const WEB_AND_DB: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-a, containers: [{name: c, ports: [{containerPort: 8080}]}]}
status: {podIPs: [{ip: 10.0.1.10}, {ip: "fd00:10:0:1::10"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: node-a}
status: {podIPs: [{ip: 10.0.1.11}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432, endPort: 5440}, {port: 53, protocol: UDP}]
"#;

/// Calls `check` with the participants, the plan and the rule graph of an input.
fn plan_of<T>(yaml: &str, limits: Limits, check: impl FnOnce(&Cast, &Plan, &RuleGraph) -> T) -> T {
    let source = Source::new("test".to_owned(), yaml.to_owned());
    let manifests = manifest::read_source(&Arc::new(source), "default");
    assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    let inventory = Inventory::new(&manifests, MadeUp::AddressesAndNodes);
    let graph = RuleGraph::compile(&inventory.cluster);
    let cast = Cast::new(&inventory.cluster, &graph, limits);
    let plan = Plan::new(&cast, &inventory.cluster, &graph, limits.probes);
    check(&cast, &plan, &graph)
}

/// Sees what the graph says, except where `wrong` is told otherwise for the n-th call.
struct FakeProber<'g, F> {
    graph: &'g RuleGraph,
    calls: usize,
    wrong: F,
}

impl<F: Fn(usize, &Flow) -> bool> Prober for FakeProber<'_, F> {
    type Error = Infallible;

    fn probe(&mut self, flows: &[Flow]) -> Result<Vec<Verdict>, Infallible> {
        self.calls += 1;
        let verdicts = flows.iter().map(|flow| {
            match (
                self.graph.evaluate(flow).verdict,
                (self.wrong)(self.calls, flow),
            ) {
                (verdict, false) => verdict,
                (Verdict::Allow, true) => Verdict::Deny,
                (Verdict::Deny, true) => Verdict::Allow,
            }
        });
        Ok(verdicts.collect())
    }
}

fn tcp(number: u16) -> FlowPort {
    FlowPort::Port(Protocol::Tcp, number)
}

fn names(cast: &Cast) -> Vec<&str> {
    cast.endpoints
        .iter()
        .map(|endpoint| endpoint.name.as_str())
        .collect()
}

fn left_out(cast: &Cast) -> Vec<String> {
    cast.left_out
        .iter()
        .map(|left_out| format!("{}: {}", left_out.what, left_out.why))
        .collect()
}

#[test]
fn the_ports_are_those_mentioned_their_neighbours_and_one_more() {
    plan_of(WEB_AND_DB, LIMITS, |_, plan, _| {
        let udp = |number| FlowPort::Port(Protocol::Udp, number);
        let expected = [
            tcp(52),
            tcp(4999),
            tcp(5431),
            tcp(5432),
            tcp(5440),
            tcp(5441),
            tcp(8080),
            udp(52),
            udp(53),
            udp(54),
            udp(4999),
            udp(5431),
            FlowPort::Other,
        ];
        assert_eq!(plan.ports, expected);
    });
}

#[test]
fn every_pair_with_a_pod_is_tried_in_each_family_that_both_have() {
    plan_of(WEB_AND_DB, LIMITS, |cast, plan, _| {
        assert_eq!(
            names(cast),
            [
                "shop/db",
                "shop/web",
                "node-a",
                "203.0.113.1",
                "2001:db8::1"
            ]
        );
        let v4_pairs = 2 * 5;
        let v6_pairs = 2 * 2;
        assert_eq!(plan.total, (v4_pairs + v6_pairs) * plan.ports.len());
        assert_eq!(plan.trials.len(), plan.total);
        let allowed = plan.trials.iter().filter(|trial| {
            let [from, to] = [trial.from, trial.to].map(|end| cast.endpoints[end].name.as_str());
            trial.expect == Verdict::Allow && (from, to) == ("shop/web", "shop/db")
        });
        let ports: Vec<FlowPort> = allowed.map(|trial| trial.flow.port).collect();
        assert_eq!(
            ports,
            [tcp(5432), tcp(5440), FlowPort::Port(Protocol::Udp, 53)]
        );
    });
}

#[test]
fn beyond_the_limits_there_is_a_sample_that_is_told() {
    let few = Limits {
        pods: 1,
        probes: 10,
    };
    plan_of(WEB_AND_DB, few, |cast, plan, graph| {
        assert_eq!(cast.pod_count(), 1);
        assert_eq!(
            left_out(cast),
            ["1 of 2 pods: a demonstration has at most 1; --pods changes that"]
        );
        assert_eq!(plan.trials.len(), 10);
        let mut prober = FakeProber {
            graph,
            calls: 0,
            wrong: |_, _: &Flow| false,
        };
        let outcome = demo::run(plan, graph, &mut prober).unwrap();
        let text = report::demo::text(cast, plan, &outcome, false);
        assert!(
            text.contains("tried: 10 of 52 flows, an even sample; --probes changes that"),
            "{text}"
        );
    });
}

#[test]
fn what_disagrees_is_told_with_the_reason() {
    let is_web_to_db =
        |flow: &Flow| flow.from.to_string() == "10.0.1.10" && flow.to.to_string() == "10.0.1.11";
    plan_of(WEB_AND_DB, LIMITS, |cast, plan, graph| {
        let mut prober = FakeProber {
            graph,
            calls: 0,
            wrong: |_, flow: &Flow| {
                is_web_to_db(flow) && [tcp(5432), tcp(5441), FlowPort::Other].contains(&flow.port)
            },
        };
        let outcome = demo::run(plan, graph, &mut prober).unwrap();
        assert_eq!(outcome.disagreements.len(), 3);
        let json = report::demo::json(cast, plan, &outcome);
        let total = plan.trials.len();
        let wrong = |port: Option<u16>, protocol: &str, expect: &str, seen: &str| {
            serde_json::json!({
                "from": "shop/web", "to": "shop/db", "port": port, "protocol": protocol,
                "family": "IPv4", "expect": expect, "seen": seen,
            })
        };
        let expected = serde_json::json!({
            "pods": 2, "probes": total, "agree": total - 3,
            "disagree": [
                wrong(Some(5432), "TCP", "allow", "deny"),
                wrong(Some(5441), "TCP", "deny", "allow"),
                wrong(None, "ICMP", "deny", "allow"),
            ],
        });
        assert_eq!(json, expected);
        let text = report::demo::text(cast, plan, &outcome, false);
        let (_, end) = text.split_once("2 pods, ").unwrap();
        let expected = format!(
            "{total} probes, {} agree, 3 disagree
WRONG  shop/web -> shop/db 5432/TCP IPv4: expected allow, seen deny
       expected because not isolated for egress
       expected because shop/db ingress[0]
WRONG  shop/web -> shop/db 5441/TCP IPv4: expected deny, seen allow
       expected because shop/db isolates ingress
WRONG  shop/web -> shop/db ICMP IPv4: expected deny, seen allow
       expected because shop/db isolates ingress
",
            total - 3
        );
        assert_eq!(end, expected);
        assert!(text.contains("  2 shop/web     !  ="), "{text}");
        let colored = report::demo::text(cast, plan, &outcome, true);
        assert!(colored.contains("\u{1b}[1;31m!\u{1b}[0m"), "{colored}");
    });
}

#[test]
fn a_packet_that_came_too_late_gets_a_second_chance_and_a_leak_does_not() {
    plan_of(WEB_AND_DB, LIMITS, |_, plan, graph| {
        let mut prober = FakeProber {
            graph,
            calls: 0,
            wrong: |call, _: &Flow| call == 1,
        };
        let outcome = demo::run(plan, graph, &mut prober).unwrap();
        assert!(prober.calls > 1);
        let denied = plan
            .trials
            .iter()
            .filter(|trial| trial.expect == Verdict::Deny);
        assert_eq!(outcome.disagreements.len(), denied.count());
        for disagreement in &outcome.disagreements {
            assert_eq!(outcome.seen[disagreement.trial], Verdict::Allow);
        }
    });
}

#[test]
fn who_cannot_take_part_is_told() {
    let yaml = r#"
kind: List
apiVersion: v1
items:
- {apiVersion: v1, kind: Node, metadata: {name: node-a}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: a, namespace: s}, spec: {nodeName: node-a}, status: {podIPs: [{ip: 10.0.1.1}, {ip: "fd00::1"}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: b, namespace: s}, spec: {nodeName: node-a}, status: {podIPs: [{ip: 10.0.1.1}, {ip: "fd00::2"}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: c, namespace: s}, spec: {nodeName: node-a}, status: {podIPs: [{ip: 10.0.1.3}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: d, namespace: s}, spec: {nodeName: node-a}, status: {podIPs: [{ip: 10.0.1.3}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: e, namespace: s, deletionTimestamp: "2026-01-01T00:00:00Z"}, spec: {nodeName: node-a}, status: {podIPs: [{ip: 10.0.1.5}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: f, namespace: s}, spec: {nodeName: node-a}, status: {podIPs: [{ip: 10.0.1.5}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: g, namespace: s}, spec: {nodeName: node-a}, status: {phase: Failed, podIPs: [{ip: 10.0.1.5}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: h, namespace: s}, spec: {nodeName: node-a, hostNetwork: true}, status: {podIPs: [{ip: 192.168.0.1}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: i, namespace: s}, spec: {nodeName: node-b}, status: {podIPs: [{ip: 127.0.0.1}]}}
"#;
    plan_of(yaml, LIMITS, |cast, _, _| {
        let pods: Vec<&str> = cast
            .topology
            .pods
            .iter()
            .map(|pod| pod.name.as_str())
            .collect();
        assert_eq!(pods, ["s/a", "s/b", "s/f"]);
        assert_eq!(cast.pod_count(), 4);
        let node = cast
            .endpoints
            .iter()
            .find(|endpoint| endpoint.name == "node-a");
        let host_network = vec!["s/h".to_owned()];
        assert_eq!(node.unwrap().kind, Kind::Node { host_network });
        assert_eq!(
            left_out(cast),
            [
                "an address of s/a: 10.0.1.1 is claimed by s/a and s/b",
                "an address of s/b: 10.0.1.1 is claimed by s/a and s/b",
                "s/c: 10.0.1.3 is claimed by s/c and s/d",
                "s/d: 10.0.1.3 is claimed by s/c and s/d",
                "s/e: 10.0.1.5 belongs to another pod by now",
                "s/g: has finished",
                "s/i: 127.0.0.1 cannot be routed",
            ]
        );
    });
}

#[test]
fn addresses_outside_lie_at_the_edges_of_blocks_and_are_nobodys() {
    let yaml = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec: {nodeName: node-a}
status: {podIPs: [{ip: 198.51.100.0}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {}
  ingress:
  - from:
    - ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.64/26]}
    - ipBlock: {cidr: "2001:db8:1::/48"}
    - ipBlock: {cidr: 223.255.255.0/24}
"#;
    plan_of(yaml, LIMITS, |cast, _, _| {
        assert_eq!(
            names(cast),
            [
                "shop/web",
                "node-a",
                "198.51.100.1",
                "198.51.100.64",
                "198.51.101.0",
                "203.0.113.1",
                "223.255.254.255",
                "223.255.255.0",
            ]
        );
    });
}
