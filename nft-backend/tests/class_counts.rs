//! What classes count, and what that says about policies: in the interpreter against the graph, and in the kernel with
//! packets. The kernel's part needs root, nft and ip, and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use common::judge::Judge;
use common::pair::{DB, NODE, WEB, build, cluster, in_each_family, rules};
use common::ways::Way;
use nft_backend::Direction;
use nft_backend::class_counters::{ClassPolicies, Counts, by_policy};
use nft_backend::config::Config;
use nft_backend::live::{Live, Update};
use nft_backend::names::{Label, Name};
use nft_backend::nft::Nft;
use nft_backend::node::Node;
use nft_backend::render::class_policies;
use nopal_lab::{Connection, Lab};
use policy_core::incremental::Engine;
use policy_core::testing::{Size, random_cluster, random_flows};
use policy_core::{Because, Cluster, Decision, Flow, PolicyId, RuleGraph, Verdict};

/// Policies by what their classes counted and in which direction.
type Seen = BTreeMap<(String, Direction), BTreeSet<PolicyId>>;

fn read(counter: &Name, policies: &ClassPolicies, seen: &mut Seen) {
    let parts: Vec<&str> = counter.as_str().splitn(3, '_').collect();
    let [kind, letter, label] = parts[..] else {
        return;
    };
    let direction = match letter {
        "i" => Direction::Ingress,
        "e" => Direction::Egress,
        other => panic!("{other} is no direction"),
    };
    let of_class = &policies[&(direction, Label::new(label).unwrap())];
    let seen = seen.entry((kind.to_owned(), direction)).or_default();
    seen.extend(of_class.iter().cloned());
}

/// The policies in the reasons of one kind.
fn reasons(
    decision: &Decision,
    direction: Direction,
    of: fn(&Because) -> Option<(&PolicyId, policy_core::Direction)>,
) -> BTreeSet<PolicyId> {
    let reasons = decision.because.iter().filter_map(of);
    let here = reasons.filter(|(_, at)| *at == policy_core::Direction::from(direction));
    here.map(|(policy, _)| policy.clone()).collect()
}

fn isolates(because: &Because) -> Option<(&PolicyId, policy_core::Direction)> {
    match because {
        Because::Isolates { policy, direction } => Some((policy, *direction)),
        _ => None,
    }
}

fn audits(because: &Because) -> Option<(&PolicyId, policy_core::Direction)> {
    match because {
        Because::Audited { policy, direction } => Some((policy, *direction)),
        _ => None,
    }
}

/// The policies that isolate the pod with this address.
fn isolating(
    cluster: &Cluster,
    graph: &RuleGraph,
    end: IpAddr,
    at: Direction,
) -> BTreeSet<PolicyId> {
    let mut pods = cluster.pods().values();
    let pod = pods.find(|pod| graph.addresses(pod).contains(&end));
    let policies = pod.map(|pod| graph.isolating(pod, at.into()));
    policies.into_iter().flatten().cloned().collect()
}

/// What is counted otherwise than the graph says.
fn check(cluster: &Cluster, graph: &RuleGraph, flow: &Flow, seen: &Seen) {
    let decision = graph.evaluate(flow);
    let is = |kind: &str, direction| {
        let seen = seen.get(&(kind.to_owned(), direction));
        seen.cloned().unwrap_or_default()
    };
    let mut denied = 0;
    for direction in Direction::ALL {
        let end = match direction {
            Direction::Egress => flow.from,
            Direction::Ingress => flow.to,
        };
        let evaluated = is("evaluated", direction);
        let expected = isolating(cluster, graph, end, direction);
        if decision.verdict == Verdict::Allow {
            assert_eq!(evaluated, expected, "{flow} {direction}");
            let audited = reasons(&decision, direction, audits);
            assert_eq!(is("audited", direction), audited, "{flow} {direction}");
        }
        let found = is("denied", direction);
        if !found.is_empty() {
            assert_eq!(found, reasons(&decision, direction, isolates), "{flow}");
            assert_eq!(found, expected, "{flow}: all of them deny it");
            assert_eq!(found, evaluated, "{flow}: what is denied was evaluated");
            denied += 1;
        }
    }
    assert_eq!(denied > 0, decision.verdict == Verdict::Deny, "{flow}");
}

#[test]
fn a_first_packet_counts_for_the_policies_that_isolate_its_ends() {
    let (mut allowed, mut denied) = (0, 0);
    for seed in 0..60 {
        let objects = random_cluster(seed, Size::SMALL);
        let cluster = objects.cluster();
        let graph = RuleGraph::compile(&cluster);
        let judge = Judge::new(&cluster, &graph).unwrap();
        for flow in random_flows(&objects, seed, 100) {
            let decision = graph.evaluate(&flow);
            let is_apart = |because: &Because| {
                matches!(
                    because,
                    Because::OwnAddress | Because::OwnNode | Because::Contested { .. }
                )
            };
            if decision.because.iter().any(is_apart) {
                continue;
            }
            let mut seen = Seen::new();
            for (node, counters) in judge.counters(&flow) {
                let policies = class_policies(&graph, &node);
                for counter in &counters {
                    read(counter, &policies, &mut seen);
                }
            }
            check(&cluster, &graph, &flow, &seen);
            match decision.verdict {
                Verdict::Allow => allowed += 1,
                Verdict::Deny => denied += 1,
            }
        }
    }
    assert!(allowed > 100 && denied > 100, "{allowed} and {denied}");
}

#[test]
fn a_node_that_is_kept_by_events_knows_the_policies_of_its_classes() {
    for seed in 0..60 {
        let cluster = random_cluster(seed, Size::SMALL).cluster();
        for name in ["node-a", "node-b"] {
            let mut engine = Engine::new(name);
            let mut node = Node::new(Config::default()).unwrap();
            node.take(&engine.apply(common::events::arrivals(&cluster)));
            let expected = class_policies(&RuleGraph::compile(&cluster), name);
            assert_eq!(node.class_policies(), expected, "seed {seed}, {name}");
        }
    }
}

/// For what has to happen, however busy the machine is.
const LONG: Duration = Duration::from_secs(10);
/// For what must not happen.
const SHORT: Duration = Duration::from_millis(300);

const FROM_WEB: &str =
    "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]";
/// One peer more.
const FROM_BOTH: &str = "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}, \
     {podSelector: {matchLabels: {app: far}}}], ports: [{port: 5432}]}]";
/// Other sets, so other rules of the class.
const FROM_A_BLOCK: &str = "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}, \
     {ipBlock: {cidr: 198.51.100.0/24}}], ports: [{port: 5432}]}]";
/// No policy isolates the pod for ingress any more.
const EGRESS_ALONE: &str = "policyTypes: [Egress]";
const ALLOWED: u16 = 5432;
const NOT_ALLOWED: u16 = 5433;

fn counts(kernel: &Nft, spec: &str) -> Counts {
    let counts = kernel.class_counts(&Config::default().table).unwrap();
    let policies = class_policies(&RuleGraph::compile(&cluster(spec)), NODE);
    let by_policy = by_policy(&counts.unwrap(), &policies);
    let [(_, counts)] = by_policy.into_iter().collect::<Vec<_>>()[..] else {
        panic!("one policy isolates one pod in one direction");
    };
    counts
}

fn denied_in_all(kernel: &Nft) -> u64 {
    let counted = kernel.counted(&Config::default().table).unwrap().unwrap();
    counted.denied.packets
}

/// Opens a connection that is allowed, and one that is not.
fn try_both(lab: &Lab, nft: &Nft, spec: &str) {
    for (from, to) in in_each_family(WEB, DB) {
        let before = counts(nft, spec);
        let mut open = Connection::open(lab, from, to, ALLOWED, LONG).unwrap();
        let opened = counts(nft, spec);
        assert!(opened.allowed_packets() > before.allowed_packets());
        assert!(opened.evaluated.bytes > before.evaluated.bytes);
        assert_eq!(opened.denied, before.denied);
        assert!(open.exchange(LONG) && open.push(LONG));
        assert_eq!(
            counts(nft, spec),
            opened,
            "established packets are not counted"
        );
        assert!(Connection::open(lab, from, to, NOT_ALLOWED, SHORT).is_err());
        let refused = counts(nft, spec);
        assert!(refused.denied.packets > opened.denied.packets);
        assert_eq!(refused.allowed_packets(), opened.allowed_packets());
    }
}

#[test]
fn counts_go_on_through_increments_switches_and_loads_until_the_class_is_gone() {
    for (way, prefix) in Way::ALL.into_iter().zip(["nopal-cnt-n", "nopal-cnt-l"]) {
        let (lab, nft) = build(prefix);
        let config = Config::default();
        let mut kernel = way.kernel(nft.clone());
        let mut live = Live::new(config.clone());
        let rejecting = Config {
            deny: nft_backend::config::Deny::Reject,
            ..config.clone()
        };
        let mut last = None;
        for (spec, config, expected) in [
            (FROM_WEB, &config, Update::Load),
            (FROM_BOTH, &config, Update::Increment),
            (FROM_A_BLOCK, &config, Update::Increment),
            (FROM_A_BLOCK, &rejecting, Update::Switch),
            (FROM_WEB, &config, Update::Switch),
        ] {
            let update = live.update(kernel.as_mut(), &rules(spec, config)).unwrap();
            assert_eq!(update, expected, "{way:?}");
            let now = counts(&nft, spec);
            assert_eq!(now, last.unwrap_or_default(), "{way:?}: {update:?}");
            try_both(&lab, &nft, spec);
            last = Some(counts(&nft, spec));
            assert_eq!(last.unwrap().denied.packets, denied_in_all(&nft));
        }
        live.forget();
        let update = live
            .update(kernel.as_mut(), &rules(FROM_WEB, &config))
            .unwrap();
        assert_eq!(update, Update::Load);
        assert_eq!(Some(counts(&nft, FROM_WEB)), last, "{way:?}");

        let gone = rules(EGRESS_ALONE, &config);
        live.update(kernel.as_mut(), &gone).unwrap();
        let left = counts(&nft, EGRESS_ALONE);
        assert_eq!(left, Counts::default(), "a class of another direction");
    }
}
