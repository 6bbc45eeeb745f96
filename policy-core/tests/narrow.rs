//! The part of a cluster that a flow is decided by gives the answer of the whole, word for word.

use policy_core::testing::{Size, random_cluster, random_flows};
use policy_core::{Because, Decision, RuleGraph, Verdict};

/// Clusters of a size, their seeds counted from 0, and the flows tried in each.
const RUNS: [(Size, u64, usize); 2] = [(Size::SMALL, 100, 60), (Size::MEDIUM, 15, 120)];

#[test]
fn the_part_between_two_ends_decides_as_the_whole() {
    let mut seen = [0; 6];
    for (size, seeds, count) in RUNS {
        for seed in 0..seeds {
            let objects = random_cluster(seed, size);
            let cluster = objects.cluster();
            let whole = RuleGraph::compile(&cluster);
            for flow in random_flows(&objects, seed, count) {
                let part = cluster.between(&[flow.from, flow.to]);
                assert!(part.policies().len() <= cluster.policies().len());
                let narrow = RuleGraph::compile(&part);
                let decision = whole.evaluate(&flow);
                assert_eq!(narrow.evaluate(&flow), decision, "seed {seed}: {flow}");
                let (from, to) = (flow.from, flow.to);
                assert_eq!(
                    narrow.allowed(from, to),
                    whole.allowed(from, to),
                    "seed {seed}: {flow}"
                );
                count_kinds(&decision, &mut seen);
            }
        }
    }
    assert!(
        seen.iter().all(|count| *count > 20),
        "too few of a kind: {seen:?}"
    );
}

/// Own node, contested address, admitted, audited, isolated, denied with rules that nearly admit.
fn count_kinds(decision: &Decision, seen: &mut [usize; 6]) {
    let has = |kind: fn(&Because) -> bool| usize::from(decision.because.iter().any(kind));
    seen[0] += has(|because| matches!(because, Because::OwnNode));
    seen[1] += has(|because| matches!(because, Because::Contested { .. }));
    seen[2] += has(|because| matches!(because, Because::Admitted { .. }));
    seen[3] += has(|because| matches!(because, Because::Audited { .. }));
    seen[4] += has(|because| matches!(because, Because::Isolates { .. }));
    seen[5] += usize::from(decision.verdict == Verdict::Deny && !decision.candidates.is_empty());
}
