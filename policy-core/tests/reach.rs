//! What may flow between kinds of pods is what may flow between each two pods of them.

use policy_core::reach::{Changes, PortTable, Reach};
use policy_core::testing::{Objects, Size, random_cluster};
use policy_core::{Direction, Isolation, Pod, PortSet, RuleGraph};

/// Asked pod by pod, address by address.
fn between(graph: &RuleGraph, from: &Pod, to: &Pod) -> PortSet {
    let mut allowed = PortSet::empty();
    for source in &from.addresses {
        for target in &to.addresses {
            if source.is_ipv4() == target.is_ipv4() {
                allowed = allowed.union(&graph.allowed(*source, *target));
            }
        }
    }
    allowed
}

/// The numbers of pairs compared, and of those where one end decides.
fn compare(objects: &Objects, seed: u64) -> (usize, usize) {
    let cluster = objects.cluster();
    let live = cluster.pods().values().filter(|pod| !pod.finished);
    let pods: Vec<&Pod> = live.map(AsRef::as_ref).collect();
    let graph = RuleGraph::compile(&cluster);
    let mut table = PortTable::new();
    let (mut compared, mut one_sided) = (0, 0);
    for graph in [&graph, &graph.minimize()] {
        let reach = Reach::new(graph, &pods, &mut table);
        for (a, from) in pods.iter().enumerate() {
            for (b, to) in pods.iter().enumerate() {
                let expected = between(graph, from, to);
                if a == b || graph.is_near(from, to) {
                    let shares = from.addresses.is_empty() || expected.is_all();
                    assert!(shares, "seed {seed}: {} and {}", from.id, to.id);
                    continue;
                }
                let found = reach.between(reach.kind(a), reach.kind(b), &mut table);
                let found = table.ports(found);
                assert_eq!(found, &expected, "seed {seed}: {} to {}", from.id, to.id);
                // Where one end lets everything pass, what flows is what the other end alone admits.
                let owns_all = |pod: &Pod| graph.addresses(pod).len() == pod.addresses.len();
                let is_open = |pod: &Pod, direction| {
                    graph.isolation(pod, direction) != Isolation::Enforced && owns_all(pod)
                };
                let [receives, opens] = [
                    (Direction::Ingress, (b, a), from),
                    (Direction::Egress, (a, b), to),
                ]
                .map(|(direction, (of, peer), other)| {
                    let turned = match direction {
                        Direction::Ingress => Direction::Egress,
                        Direction::Egress => Direction::Ingress,
                    };
                    let (of, peer) = (reach.kind(of), reach.kind(peer));
                    let admitted = reach.admits(of, direction, peer, &mut table);
                    is_open(other, turned).then(|| table.ports(admitted).clone())
                });
                for admitted in receives.into_iter().chain(opens) {
                    let context = format!("seed {seed}: {} to {}", from.id, to.id);
                    assert_eq!(admitted, expected, "{context}");
                    one_sided += 1;
                }
                compared += 1;
            }
        }
    }
    (compared, one_sided)
}

#[test]
fn kinds_answer_as_their_pods_do() {
    let (mut compared, mut one_sided) = (0, 0);
    for (size, seeds) in [(Size::SMALL, 200), (Size::MEDIUM, 20)] {
        for seed in 0..seeds {
            let counts = compare(&random_cluster(seed, size), seed);
            compared += counts.0;
            one_sided += counts.1;
        }
    }
    assert!(compared > 10_000, "only {compared} pairs");
    assert!(one_sided > 1_000, "only {one_sided} decided by one end");
}

/// Two clusters with the same pods and other policies differ nowhere but where it was said that they can.
#[test]
fn what_is_not_told_as_a_change_is_none() {
    let (mut spared, mut told) = (0, 0);
    for seed in 0..400 {
        let objects = random_cluster(seed, Size::SMALL);
        let mut fewer = objects.written().to_vec();
        let mut policies = 0;
        fewer.retain(|object| {
            policies += usize::from(object["kind"] == "NetworkPolicy");
            object["kind"] != "NetworkPolicy" || policies % 2 == 0
        });
        let (old, new) = (objects.cluster(), Objects::read(fewer).unwrap().cluster());
        let clusters = [&old, &new];
        let graphs = clusters.map(RuleGraph::compile);
        let pods = clusters.map(|cluster| {
            let live = cluster.pods().values().filter(|pod| !pod.finished);
            live.map(AsRef::as_ref).collect::<Vec<&Pod>>()
        });
        let mut table = PortTable::new();
        let reaches = [0, 1].map(|side| Reach::new(&graphs[side], &pods[side], &mut table));
        let kinds = |pod: usize| [reaches[0].kind(pod), reaches[1].kind(pod)];
        let all: Vec<[u32; 2]> = (0..pods[0].len()).map(kinds).collect();
        let changes = Changes::new([&reaches[0], &reaches[1]], &all);
        for from in 0..all.len() {
            let targets: Vec<usize> = changes.targets(from).collect();
            assert!(targets.is_sorted(), "seed {seed}");
            for to in 0..all.len() {
                let [before, after] = [0, 1]
                    .map(|side| reaches[side].between(all[from][side], all[to][side], &mut table));
                if targets.binary_search(&to).is_ok() {
                    told += 1;
                } else {
                    assert_eq!(before, after, "seed {seed}: {from} to {to}");
                    spared += 1;
                }
            }
        }
    }
    assert!(
        spared > 1_000 && told > 1_000,
        "{spared} spared, {told} told"
    );
}
