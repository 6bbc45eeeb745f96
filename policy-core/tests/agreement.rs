//! The main property: the naive evaluator, the rule graph and the minimized rule graph decide every flow alike, and
//! for the same reasons.

use policy_core::graph::Permission;
use policy_core::testing::{Objects, Rng, Size, random_cluster, random_flows, shrink};
use policy_core::{
    Cluster, Direction, Flow, FlowPort, Isolation, Mode, PodId, Protocol, RuleGraph, Verdict,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Clusters of a size, their seeds counted from 0, and the flows tried in each.
const RUNS: [(Size, u64, usize); 2] = [(Size::SMALL, 300, 60), (Size::MEDIUM, 50, 250)];

fn every_cluster(check: impl Fn(&Objects, u64, usize)) {
    for (size, seeds, flows) in RUNS {
        for seed in 0..seeds {
            check(&random_cluster(seed, size), seed, flows);
        }
    }
}

/// What is wrong with the graphs of these objects for a flow, if anything.
fn disagreement(objects: &Objects, flows: &[Flow]) -> Option<String> {
    let reference = objects.reference();
    let graph = RuleGraph::compile(&objects.cluster());
    let minimized = graph.minimize();
    flows.iter().find_map(|flow| {
        let (verdict, because) = (reference.evaluate(flow), reference.because(flow));
        [("graph", &graph), ("minimized", &minimized)].into_iter().find_map(|(name, graph)| {
            let decision = graph.evaluate(flow);
            let sentences: BTreeSet<String> =
                decision.because.iter().map(ToString::to_string).collect();
            let allowed = graph.allowed(flow.from, flow.to).contains(flow.port);
            let agrees = decision.verdict == verdict
                && sentences == because
                && allowed == (verdict == Verdict::Allow);
            (!agrees).then(|| {
                format!(
                    "{flow}\nreference: {verdict} because {because:?}\n{name}: {} because {sentences:?}; \
                     its port is {}among those allowed",
                    decision.verdict,
                    if allowed { "" } else { "not " },
                )
            })
        })
    })
}

#[test]
fn reference_graph_and_minimized_graph_agree() {
    every_cluster(|objects, seed, count| {
        let flows = random_flows(objects, seed, count);
        if disagreement(objects, &flows).is_some() {
            let small = shrink(objects, |objects| disagreement(objects, &flows).is_some());
            let wrong = disagreement(&small, &flows).unwrap();
            panic!("seed {seed}: {wrong}\n{}", small.to_json_list());
        }
    });
}

#[test]
fn the_order_of_objects_never_changes_the_graph() {
    every_cluster(|objects, seed, _| {
        let graph = RuleGraph::compile(&objects.cluster());
        let mut written = objects.written().to_vec();
        Rng::new(seed).shuffle(&mut written);
        let shuffled = RuleGraph::compile(&Objects::read(written).unwrap().cluster());
        assert_eq!(graph.to_string(), shuffled.to_string(), "seed {seed}");
        assert_eq!(
            graph.minimize().to_string(),
            shuffled.minimize().to_string(),
            "seed {seed}, minimized"
        );
    });
}

/// What is not minimal in the minimized graph, if anything.
fn excess(objects: &Objects) -> Option<String> {
    let minimized = RuleGraph::compile(&objects.cluster()).minimize();
    for subject in minimized.subjects() {
        for direction in Direction::ALL {
            let permissions = subject.permissions(direction);
            for (index, one) in permissions.iter().enumerate() {
                let mut others = permissions
                    .iter()
                    .enumerate()
                    .filter(|(other, _)| *other != index);
                if let Some((_, other)) = others.find(|(_, other)| covers(other, one)) {
                    let [one_ports, other_ports] = [one.ports(), other.ports()];
                    return Some(format!(
                        "{direction} of {}: {other_ports} : {other} covers {one_ports} : {one}",
                        subject.pods()[0].id
                    ));
                }
            }
        }
    }
    let again = minimized.minimize();
    (again.to_string() != minimized.to_string())
        .then(|| format!("minimized:\n{minimized}minimized again:\n{again}"))
}

fn covers(wide: &Permission, narrow: &Permission) -> bool {
    let pods = |permission: &Permission| -> BTreeSet<PodId> {
        permission.pods().map(|(pod, _)| pod.id.clone()).collect()
    };
    let has_peers = wide.is_for_everyone()
        || (!narrow.is_for_everyone()
            && pods(wide).is_superset(&pods(narrow))
            && wide.blocks().contains_all(narrow.blocks()));
    has_peers && wide.ports().contains_all(narrow.ports())
}

#[test]
fn no_edge_of_a_minimized_graph_covers_another() {
    every_cluster(|objects, seed, _| {
        if excess(objects).is_some() {
            let small = shrink(objects, |objects| excess(objects).is_some());
            let wrong = excess(&small).unwrap();
            panic!("seed {seed}: {wrong}\n{}", small.to_json_list());
        }
    });
}

/// Here two sets of one edge together cover the set of another one, which neither of them does alone.
#[test]
fn an_edge_that_takes_in_another_knows_both_reasons() {
    let pod = |namespace: &str, address: &str| {
        json!({
            "kind": "Pod",
            "metadata": { "namespace": namespace, "name": "db", "labels": { "app": "db" } },
            "status": { "podIPs": [{ "ip": address }] },
        })
    };
    let name = |name: &str| json!({ "matchLabels": { "kubernetes.io/metadata.name": name } });
    let databases = json!({
        "namespaceSelector": {}, "podSelector": { "matchLabels": { "app": "db" } },
    });
    let both = json!([{ "namespaceSelector": name("shop") }, { "namespaceSelector": name("lab") }]);
    let policy = json!({
        "kind": "NetworkPolicy",
        "metadata": { "namespace": "web", "name": "out" },
        "spec": {
            "podSelector": { "matchLabels": { "role": "client" } },
            "policyTypes": ["Egress"],
            "egress": [{ "to": [databases], "ports": [{}] }, { "to": both }],
        },
    });
    let mut client = pod("web", "10.0.1.10");
    client["metadata"]["labels"] = json!({ "role": "client" });
    let written = vec![
        client,
        pod("shop", "10.0.1.11"),
        pod("lab", "10.0.1.12"),
        policy,
    ];
    let objects = Objects::read(written).unwrap();
    let flow = |to: &str, port| Flow {
        from: "10.0.1.10".parse().unwrap(),
        to: to.parse().unwrap(),
        port,
    };
    let tcp = FlowPort::Port(Protocol::Tcp, 80);
    let flows = [
        flow("10.0.1.11", tcp),
        flow("10.0.1.12", tcp),
        flow("10.0.1.12", FlowPort::Other),
    ];
    assert_eq!(disagreement(&objects, &flows), None);
    let graph = RuleGraph::compile(&objects.cluster());
    assert!(graph.minimize().edge_count() < graph.edge_count());
    assert_eq!(excess(&objects), None);
}

/// `Exists` and `NotIn` on one key are a single constraint, which excludes values and yet demands the label.
#[test]
fn a_value_that_is_excluded_from_a_demanded_label_is_no_peer() {
    let pod = |name: &str, tier: &str, address: &str| {
        json!({
            "kind": "Pod",
            "metadata": { "namespace": "shop", "name": name, "labels": { "tier": tier } },
            "status": { "podIPs": [{ "ip": address }] },
        })
    };
    let not_front = json!([
        { "key": "tier", "operator": "Exists" },
        { "key": "tier", "operator": "NotIn", "values": ["front"] },
    ]);
    let policy = json!({
        "kind": "NetworkPolicy",
        "metadata": { "namespace": "shop", "name": "in" },
        "spec": {
            "podSelector": { "matchLabels": { "tier": "back" } },
            "ingress": [{ "from": [{ "podSelector": { "matchExpressions": not_front } }] }],
        },
    });
    let written = vec![
        pod("db", "back", "10.0.1.10"),
        pod("web", "front", "10.0.1.11"),
        pod("api", "middle", "10.0.1.12"),
        policy,
    ];
    let objects = Objects::read(written).unwrap();
    let flow = |from: &str| Flow {
        from: from.parse().unwrap(),
        to: "10.0.1.10".parse().unwrap(),
        port: FlowPort::Port(Protocol::Tcp, 80),
    };
    let flows = [flow("10.0.1.11"), flow("10.0.1.12")];
    assert_eq!(disagreement(&objects, &flows), None);
    let graph = RuleGraph::compile(&objects.cluster());
    let verdicts = flows.map(|flow| graph.evaluate(&flow).verdict);
    assert_eq!(verdicts, [Verdict::Deny, Verdict::Allow]);
}

#[test]
fn another_policy_takes_nothing_away_from_pods_that_are_isolated_already() {
    every_cluster(|objects, seed, count| {
        let is_policy = |position: &usize| objects.written()[*position]["kind"] == "NetworkPolicy";
        let policies: Vec<usize> = (0..objects.written().len()).filter(is_policy).collect();
        let mut fewer = objects.written().to_vec();
        fewer.remove(*Rng::new(seed).pick(&policies));
        let before = Objects::read(fewer).unwrap();
        let cluster = before.cluster();
        let graph = RuleGraph::compile(&cluster);
        let full_graph = RuleGraph::compile(&objects.cluster());
        let was_isolated = |address, direction| {
            let mut pods = cluster.pods().values();
            pods.find(|pod| graph.addresses(pod).contains(&address))
                .is_none_or(|pod| graph.isolation(pod, direction) == Isolation::Enforced)
        };
        for flow in random_flows(objects, seed, count) {
            if was_isolated(flow.from, Direction::Egress)
                && was_isolated(flow.to, Direction::Ingress)
                && graph.evaluate(&flow).verdict == Verdict::Allow
            {
                let now = full_graph.evaluate(&flow).verdict;
                assert_eq!(now, Verdict::Allow, "seed {seed}: {flow}");
            }
        }
    });
}

#[test]
fn a_policy_in_audit_mode_denies_nothing_that_passes_without_it_or_when_it_is_enforced() {
    every_cluster(|objects, seed, count| {
        let is_policy = |position: &usize| objects.written()[*position]["kind"] == "NetworkPolicy";
        let policies: Vec<usize> = (0..objects.written().len()).filter(is_policy).collect();
        let chosen = *Rng::new(seed).pick(&policies);
        let in_mode = |mode: &str| {
            let mut written = objects.written().to_vec();
            written[chosen]["metadata"]["annotations"] = json!({ "nopal.dev/mode": mode });
            RuleGraph::compile(&Objects::read(written).unwrap().cluster())
        };
        let mut fewer = objects.written().to_vec();
        fewer.remove(chosen);
        let without = RuleGraph::compile(&Objects::read(fewer).unwrap().cluster());
        let (audited, enforced) = (in_mode("audit"), in_mode("enforce"));
        for flow in random_flows(objects, seed, count) {
            let passes = |graph: &RuleGraph| graph.evaluate(&flow).verdict == Verdict::Allow;
            if passes(&without) || passes(&enforced) {
                assert!(passes(&audited), "seed {seed}: {flow}");
            }
        }
    });
}

#[test]
fn a_namespace_in_audit_mode_is_the_annotation_on_each_of_its_policies_that_has_none() {
    every_cluster(|objects, seed, count| {
        let annotation = "/metadata/annotations/nopal.dev~1mode";
        let mut by_namespace = objects.written().to_vec();
        by_namespace.retain(|object| object["kind"] != "Namespace");
        let mut by_policy = by_namespace.clone();
        for name in ["shop", "bank", "lab"] {
            let mut namespace = json!({ "kind": "Namespace", "metadata": { "name": name } });
            by_policy.push(namespace.clone());
            namespace["metadata"]["annotations"] = json!({ "nopal.dev/mode": "audit" });
            // Whether the namespace comes before its policies or after them.
            let place = Rng::new(seed).below(by_namespace.len());
            by_namespace.insert(place, namespace);
        }
        for object in &mut by_policy {
            let is_policy = object["kind"] == "NetworkPolicy";
            let is_there = object["metadata"]["namespace"] != "ghost";
            if is_policy && is_there && object.pointer(annotation).is_none() {
                object["metadata"]["annotations"] = json!({ "nopal.dev/mode": "audit" });
            }
        }
        let by_namespace = Objects::read(by_namespace).unwrap();
        let by_policy = Objects::read(by_policy).unwrap();
        let (one, other) = (by_namespace.cluster(), by_policy.cluster());
        let modes = |cluster: &Cluster| -> Vec<Mode> {
            let policies = cluster.policies().values();
            policies.map(|policy| policy.mode).collect()
        };
        assert_eq!(modes(&one), modes(&other), "seed {seed}");
        let (one, other) = (RuleGraph::compile(&one), RuleGraph::compile(&other));
        for flow in random_flows(objects, seed, count) {
            let decision = one.evaluate(&flow);
            assert_eq!(decision, other.evaluate(&flow), "seed {seed}: {flow}");
            let expected = by_namespace.reference().evaluate(&flow);
            assert_eq!(decision.verdict, expected, "seed {seed}: {flow}");
        }
    });
}

#[test]
fn what_passes_outside_is_what_flows_with_nobodys_addresses_meet() {
    every_cluster(|objects, seed, count| {
        let cluster = objects.cluster();
        let graph = RuleGraph::compile(&cluster).minimize();
        let nodes = cluster.nodes().values().flat_map(|node| &node.addresses);
        let pods = cluster.pods().values();
        let held: BTreeSet<&IpAddr> = pods
            .flat_map(|pod| pod.addresses.iter().chain(&pod.host_addresses))
            .chain(nodes)
            .collect();
        for flow in random_flows(objects, seed, count) {
            for (direction, own, other) in [
                (Direction::Egress, flow.from, flow.to),
                (Direction::Ingress, flow.to, flow.from),
            ] {
                let mut pods = cluster.pods().values();
                let pod = pods.find(|pod| graph.addresses(pod).contains(&own));
                let Some(pod) = pod.filter(|_| !held.contains(&other)) else {
                    continue;
                };
                let outside = graph.outside(pod, direction);
                let holding = outside
                    .iter()
                    .filter(|(addresses, _)| addresses.contains(other));
                let passes: Vec<bool> = holding
                    .map(|(_, ports)| ports.contains(flow.port))
                    .collect();
                assert!(
                    passes.len() <= 1,
                    "seed {seed}: {other} is in several parts"
                );
                let verdict = graph.evaluate(&flow).verdict;
                assert_eq!(
                    passes == [true],
                    verdict == Verdict::Allow,
                    "seed {seed}: {flow}"
                );
            }
        }
    });
}

#[test]
fn random_flows_meet_both_verdicts_and_every_kind_of_reason() {
    let mut allowed = 0;
    let mut denied = 0;
    let mut reasons = BTreeSet::new();
    for seed in 0..60 {
        let objects = random_cluster(seed, Size::MEDIUM);
        let reference = objects.reference();
        for flow in random_flows(&objects, seed, 250) {
            match reference.evaluate(&flow) {
                Verdict::Allow => allowed += 1,
                Verdict::Deny => denied += 1,
            }
            for sentence in reference.because(&flow) {
                let kinds = [
                    "own address",
                    "own node",
                    "claimed",
                    "not isolated",
                    "isolates",
                    "gress[",
                    "audit: would be denied",
                ];
                reasons.extend(kinds.into_iter().filter(|kind| sentence.contains(kind)));
            }
        }
    }
    assert!(
        allowed > 3000 && denied > 3000,
        "{allowed} allowed, {denied} denied"
    );
    assert_eq!(reasons.len(), 7, "{reasons:?}");
}
