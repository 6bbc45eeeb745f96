//! The answers of `query`, `exposure` and `equiv` are those of asking pair by pair and flow by flow, on random clusters.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use nopal::inventory::{Inventory, MadeUp, Standing};
use nopal::manifest::{Manifests, Source, read_source};
use nopal::questions::equivalence::unlike;
use nopal::questions::exposure::{Audience, exposure};
use nopal::questions::query::{Answer, Question, query};
use nopal::questions::selection::Selection;
use policy_core::testing::{Rng, Size, random_cluster, random_flows};
use policy_core::{Cluster, Direction, FlowPort, IpSet, Namespace, Pod, PodId, PortSet, RuleGraph};
use serde_json::{Value, json};

fn manifests(text: String) -> Manifests {
    read_source(&Arc::new(Source::new("in".to_owned(), text)), "default")
}

/// Asked address by address.
fn between(graph: &RuleGraph, from: &Pod, to: &Pod) -> PortSet {
    let mut allowed = PortSet::empty();
    for source in &from.addresses {
        for target in to
            .addresses
            .iter()
            .filter(|target| target.is_ipv4() == source.is_ipv4())
        {
            allowed = allowed.union(&graph.allowed(*source, *target));
        }
    }
    allowed
}

fn told(answer: &Answer) -> BTreeMap<(PodId, PodId), PortSet> {
    let mut told = BTreeMap::new();
    for line in &answer.connections {
        for &from in &line.from.pods {
            for &to in line.to.pods.iter().filter(|to| **to != from) {
                let pair = (answer.pods[from].0.clone(), answer.pods[to].0.clone());
                assert!(
                    told.insert(pair, line.ports.clone()).is_none(),
                    "told twice"
                );
            }
        }
    }
    told
}

#[test]
fn a_query_tells_exactly_the_pairs_that_connect_in_random_clusters() {
    let mut count = 0;
    for seed in 0..40 {
        let read = manifests(random_cluster(seed, Size::SMALL).to_json_list());
        let (inventory, pods) = Inventory::with_possible(&read);
        let cluster = &inventory.cluster;
        let graph = RuleGraph::compile(cluster);
        let mut rng = Rng::new(seed);
        let ports = [
            PortSet::all(),
            PortSet::range(policy_core::Protocol::Tcp, 1, 1024),
        ];
        for ports in ports {
            let name = |pod: &(PodId, Standing)| {
                Selection::parse(&format!("{}/*", pod.0.namespace)).unwrap()
            };
            let known: Vec<_> = pods
                .iter()
                .filter(|pod| pod.1 == Standing::Known)
                .cloned()
                .collect();
            let (from, to) = (name(rng.pick(&known)), name(rng.pick(&known)));
            for (from, to) in [
                (&from, &to),
                (&from, &Selection::Pods),
                (&Selection::Any, &to),
            ] {
                let written = Cluster::default();
                let question = Question {
                    from,
                    to,
                    ports: ports.clone(),
                    only_known: false,
                    written: &written,
                };
                let answer = query(&inventory, pods.clone(), &question).unwrap();
                let mut expected = BTreeMap::new();
                let meant = |selection: &Selection, id: &PodId| match selection {
                    Selection::Labels { namespaces, .. } => {
                        namespaces.matches(&cluster.namespaces()[&id.namespace].labels)
                    }
                    _ => true,
                };
                for (one, _) in pods.iter().filter(|pod| meant(from, &pod.0)) {
                    for (other, _) in pods.iter().filter(|pod| meant(to, &pod.0) && pod.0 != *one) {
                        let [a, b] = [one, other].map(|id| cluster.pods()[id].as_ref());
                        let allowed = between(&graph, a, b).intersection(&ports);
                        if !allowed.is_empty() {
                            expected.insert((one.clone(), other.clone()), allowed);
                        }
                    }
                }
                assert_eq!(told(&answer), expected, "seed {seed}: {from:?} {to:?}");
                count += expected.len();
            }
        }
    }
    assert!(count > 1_000, "only {count} pairs");
}

#[test]
fn what_is_exposed_passes_from_everybody_it_is_said_to_be_open_to() {
    let (mut cluster_wide, mut internet) = (0, 0);
    for seed in 0..40 {
        let read = manifests(random_cluster(seed, Size::SMALL).to_json_list());
        let (inventory, pods) = Inventory::with_possible(&read);
        let cluster = &inventory.cluster;
        let graph = RuleGraph::compile(cluster);
        let answer = exposure(&inventory, pods);
        for line in answer
            .lines
            .iter()
            .filter(|line| line.direction == Direction::Ingress)
        {
            for to in line
                .pods
                .iter()
                .map(|&pod| cluster.pods()[&answer.pods[pod].0].as_ref())
            {
                match &line.audience {
                    Audience::Anyone | Audience::Cluster => {
                        // Who may open everything to this pod reaches it on all that is told.
                        for from in cluster.pods().values() {
                            let is_open = graph.isolation(from, Direction::Egress)
                                == policy_core::Isolation::None;
                            let owns = graph.addresses(from).len() == from.addresses.len();
                            let shares = from.addresses.iter().any(|one| {
                                to.addresses
                                    .iter()
                                    .any(|other| one.is_ipv4() == other.is_ipv4())
                            });
                            if from.is_selectable() && is_open && owns && shares && from.id != to.id
                            {
                                assert!(
                                    between(&graph, from, to).contains_all(&line.ports),
                                    "seed {seed}: {} {line:?}",
                                    from.id
                                );
                                cluster_wide += 1;
                            }
                        }
                    }
                    Audience::Internet(addresses) | Audience::Addresses(addresses) => {
                        let pieces = graph.outside(to, Direction::Ingress);
                        let open = pieces
                            .iter()
                            .filter(|(_, ports)| ports.contains_all(&line.ports));
                        let open = open.fold(IpSet::empty(), |all, (set, _)| all.union(set));
                        assert!(open.contains_all(addresses), "seed {seed}: {line:?}");
                        internet += 1;
                    }
                    Audience::Unknown(_) => {}
                }
            }
        }
    }
    assert!(
        cluster_wide > 500 && internet > 10,
        "{cluster_wide} {internet}"
    );
}

/// What is equivalent decides every flow alike; what is not has an example that one side alone admits.
#[test]
fn equivalence_agrees_with_flows_in_random_clusters() {
    let (mut same, mut different, mut confirmed) = (0, 0, 0);
    for seed in 0..240 {
        let objects = random_cluster(seed, Size::SMALL);
        let one: Value = serde_json::from_str(&objects.to_json_list()).unwrap();
        let mut rng = Rng::new(seed);
        let mut other = one.clone();
        let items = other["items"].as_array_mut().unwrap();
        items.retain(|object| object["kind"] != "NetworkPolicy" || rng.below(6) > 0);
        for object in items
            .iter_mut()
            .filter(|object| object["kind"] == "NetworkPolicy")
        {
            if rng.chance(50)
                && let Some(name) = object["metadata"]["name"].as_str()
            {
                object["metadata"]["name"] = json!(format!("{name}-renamed"));
            }
        }
        let read = [manifests(one.to_string()), manifests(other.to_string())];
        let [old, new] = [0, 1].map(|side| Inventory::new(&read[side], MadeUp::Addresses).cluster);
        let found = unlike(old.policies(), new.policies());
        assert!(found.undecided.is_empty(), "seed {seed}");
        if found.is_empty() {
            same += 1;
            let [old, new] = [&old, &new].map(RuleGraph::compile);
            for flow in random_flows(&objects, seed, 100) {
                let verdicts = [&old, &new].map(|graph| graph.evaluate(&flow).verdict);
                assert_eq!(verdicts[0], verdicts[1], "seed {seed}: {flow}");
            }
            continue;
        }
        different += 1;
        for witness in &found.witnesses {
            confirmed += usize::from(is_confirmed(&old, &new, witness, seed));
        }
    }
    assert!(
        same > 10 && different > 50 && confirmed > 50,
        "{same} {different} {confirmed}"
    );
}

/// Puts the pod of an example and its peer into both clusters, and asks. Policies of other namespaces are left away, as a
/// direction counts by itself; where the peer's own namespace is the pod's, its policies can deny what the example is about.
fn is_confirmed(
    old: &Cluster,
    new: &Cluster,
    witness: &nopal::questions::equivalence::Witness,
    seed: u64,
) -> bool {
    let point = &witness.point;
    let Some((flow_port, address)) = point
        .ports
        .ports(policy_core::Protocol::Tcp)
        .ranges()
        .first()
        .map(|range| {
            let port = range.0.max(1);
            (
                FlowPort::Port(policy_core::Protocol::Tcp, port),
                point.addresses.ranges().next().unwrap().0,
            )
        })
    else {
        return false;
    };
    let pod = |name: &str, namespace: &str, labels: &policy_core::Labels, address| {
        let (mut pod, _) = policy_core::lower::pod(&k8s_openapi::api::core::v1::Pod::default());
        pod.id = PodId::new(namespace, name);
        pod.labels = labels.clone();
        pod.addresses = vec![address];
        pod
    };
    let own: std::net::IpAddr = match address {
        std::net::IpAddr::V4(_) => "198.18.7.7".parse().unwrap(),
        std::net::IpAddr::V6(_) => "3fff:7::7".parse().unwrap(),
    };
    let verdicts = [old, new].map(|cluster| {
        let mut bare = Cluster::default();
        for policy in cluster.policies().values() {
            if policy.id.namespace == witness.namespace && policy.isolates(witness.direction) {
                let mut policy = policy.as_ref().clone();
                policy.stated_mode = Some(policy.mode);
                (policy.isolates_ingress, policy.isolates_egress) = match witness.direction {
                    Direction::Ingress => (true, false),
                    Direction::Egress => (false, true),
                };
                bare.insert_policy(policy);
            }
        }
        bare.insert_pod(pod("subject", &witness.namespace, &witness.pod, own));
        if let Some((namespace, labels)) = &point.pod {
            let name = namespace.value("kubernetes.io/metadata.name").unwrap();
            bare.insert_namespace(Namespace {
                name: name.into(),
                labels: namespace.clone(),
                ..Namespace::default()
            });
            bare.insert_pod(pod("peer", name, labels, address));
        }
        let (from, to) = match witness.direction {
            Direction::Ingress => (address, own),
            Direction::Egress => (own, address),
        };
        let graph = RuleGraph::compile(&bare);
        graph
            .evaluate(&policy_core::Flow {
                from,
                to,
                port: flow_port,
            })
            .verdict
    });
    let expected = if witness.is_gained {
        [policy_core::Verdict::Deny, policy_core::Verdict::Allow]
    } else {
        [policy_core::Verdict::Allow, policy_core::Verdict::Deny]
    };
    assert_eq!(verdicts, expected, "seed {seed}: {witness:?}");
    true
}
