//! Increments in the kernel, under traffic. Needs root, nft and ip, and fails without.
//!
//! No assertion is about time: what is to pass may take long, and for what is not to pass a short wait is enough.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(
    clippy::print_stdout,
    reason = "how much was tried is part of the result"
)]

mod common;

use std::fmt::Write;
use std::thread;
use std::time::Duration;

use common::mutation::mutate;
use common::netns::Netns;
use common::pair::{DB, NODE, OBJECTS, WEB, build, in_each_family};
use common::places::nodes;
use common::ways::Way;
use nft_backend::config::Config;
use nft_backend::drift::drift;
use nft_backend::kernel::Kernel;
use nft_backend::live::{Live, Update};
use nft_backend::nft::Nft;
use nft_backend::render::render;
use nft_backend::ruleset::Ruleset;
use nopal_lab::{Connection, Counted, Stream, Traffic, feasible};
use policy_core::RuleGraph;
use policy_core::testing::{Objects, Rng, Size, random_cluster};

const ALLOWED: u16 = 7000;
const DENIED: u16 = 7001;
/// Datagrams a second, over all streams.
const RATE: u32 = 10_000;
/// Fewer updates can be over before each stream has sent a packet, on a machine that can do little.
const FEWEST: u32 = 20;
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(150);

/// The two pods and a policy for `db`; in each state `web` reaches it on UDP 7000 and TCP 5432. `ports` are more such
/// ports, `pods` more pods with the labels of `web`, and `also` is the name and the spec of another
/// policy for `db`.
fn rules(ports: &[u16], pods: u8, also: Option<(&str, &str)>) -> Ruleset {
    rendered(&objects(ports, pods, also))
}

fn objects(ports: &[u16], pods: u8, also: Option<(&str, &str)>) -> String {
    let mut objects = OBJECTS.to_owned();
    let mut more = String::new();
    for port in ports {
        write!(more, ", {{port: {port}}}").unwrap();
    }
    write!(
        objects,
        "---\n{{kind: NetworkPolicy, metadata: {{namespace: shop, name: db}}, spec: {{podSelector: {{matchLabels: \
         {{app: db}}}}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: web}}}}}}], ports: [{{protocol: UDP, \
         port: {ALLOWED}}}, {{port: 5432}}{more}]}}]}}}}\n"
    )
    .unwrap();
    for pod in 0..pods {
        write!(
            objects,
            "---\n{{kind: Pod, metadata: {{namespace: shop, name: more-{pod}, labels: {{app: web}}}}, \
             spec: {{nodeName: elsewhere, containers: []}}, status: {{podIPs: [{{ip: 10.0.9.{pod}}}, \
             {{ip: \"fd00:10:0:9::{pod}\"}}]}}}}\n"
        )
        .unwrap();
    }
    if let Some((name, spec)) = also {
        write!(
            objects,
            "---\n{{kind: NetworkPolicy, metadata: {{namespace: shop, name: {name}}}, \
             spec: {{podSelector: {{matchLabels: {{app: db}}}}, {spec}}}}}\n"
        )
        .unwrap();
    }
    objects
}

fn rendered(objects: &str) -> Ruleset {
    let graph = RuleGraph::compile(&Objects::from_yaml(objects).unwrap().cluster());
    render(&graph, NODE, &Config::default()).unwrap()
}

/// A pod of the class of `db`.
const MATE: &str = "---
{kind: Pod, metadata: {namespace: shop, name: mate, labels: {app: db}}, spec: {nodeName: node-a, containers: []},
  status: {podIPs: [{ip: 10.0.1.99}]}}
";

/// What `web` may send and `db` may get is looked up in interval sets, of addresses alone and of addresses with ports: the
/// networks of both pods, and these second bytes of networks beside them, those for `db` with a range of TCP ports.
fn intervals(db: &[(u8, u16, u16)], web: &[u8]) -> Ruleset {
    let mut peers = format!(
        "{{from: [{{ipBlock: {{cidr: 10.0.1.0/24}}}}, {{ipBlock: {{cidr: \"fd00:10:0:1::/64\"}}}}], \
         ports: [{{protocol: UDP, port: {ALLOWED}}}, {{port: 5432}}]}}"
    );
    for (block, first, last) in db {
        write!(
            peers,
            ", {{from: [{{ipBlock: {{cidr: 10.{block}.0.0/16}}}}, {{ipBlock: {{cidr: \"fd00:{block}::/32\"}}}}], \
             ports: [{{port: {first}, endPort: {last}}}]}}"
        )
        .unwrap();
    }
    let mut blocks =
        "{ipBlock: {cidr: 10.0.1.0/24}}, {ipBlock: {cidr: \"fd00:10:0:1::/64\"}}".to_owned();
    for block in web {
        write!(
            blocks,
            ", {{ipBlock: {{cidr: 10.{block}.0.0/16}}}}, {{ipBlock: {{cidr: \"fd00:{block}::/32\"}}}}"
        )
        .unwrap();
    }
    rendered(&format!(
        "{OBJECTS}---\n{{kind: NetworkPolicy, metadata: {{namespace: shop, name: db}}, spec: {{podSelector: \
         {{matchLabels: {{app: db}}}}, ingress: [{peers}]}}}}\n---\n{{kind: NetworkPolicy, metadata: {{namespace: shop, \
         name: web}}, spec: {{podSelector: {{matchLabels: {{app: web}}}}, policyTypes: [Egress], egress: [{{to: \
         [{blocks}]}}]}}}}\n"
    ))
}

fn assert_in_force(kernel: &dyn Kernel, desired: &Ruleset, context: &str) {
    let in_force = kernel.list(&desired.table).unwrap().unwrap();
    assert_eq!(drift(desired, &in_force), [], "{context}");
    assert_eq!(in_force.digest(), Some(desired.digest()), "{context}");
}

/// Goes from state to state under traffic; after the first load each update must be of this kind.
fn update_under_traffic(way: Way, prefix: &str, states: &[Ruleset], updates: u32, kind: Update) {
    let updates = feasible(updates).max(FEWEST);
    let (lab, nft) = build(prefix);
    let mut kernel = way.kernel(nft);
    let kernel = kernel.as_mut();
    let mut live = Live::new(Config::default());
    live.update(kernel, &states[0]).unwrap();
    let ends = in_each_family(WEB, DB);
    let open = |(from, to)| Connection::open(&lab, from, to, 5432, LONG).unwrap();
    let mut standing = ends.map(open);
    let stream = |(from, to), port| Stream { from, to, port };
    let streams: Vec<Stream> = [ALLOWED, DENIED]
        .into_iter()
        .flat_map(|port| ends.map(|ends| stream(ends, port)))
        .collect();
    let traffic = Traffic::start(&lab, &streams, feasible(RATE)).unwrap();
    for (number, state) in (1..=updates).zip(states.iter().cycle().skip(1)) {
        assert_eq!(live.update(kernel, state).unwrap(), kind, "update {number}");
        for connection in &mut standing {
            assert!(
                connection.exchange(LONG) && connection.push(LONG),
                "update {number}"
            );
        }
        if number % 100 == 0 {
            assert_in_force(kernel, state, &format!("update {number}"));
        }
    }
    for (stream, Counted { sent, received }) in streams.iter().zip(traffic.stop()) {
        println!("{way:?}: {updates} updates, {stream:?}: {received} of {sent} arrived");
        assert!(sent > 0);
        let wanted = if stream.port == ALLOWED { sent } else { 0 };
        assert_eq!(received, wanted, "{stream:?}");
    }
}

#[test]
fn a_thousand_changes_of_elements_each_way_lose_and_leak_nothing() {
    let states = [
        rules(&[], 0, None),
        rules(&[5433], 0, None),
        rules(&[5433, 5434], 3, None),
        rules(&[5434], 2, None),
        rules(&[5435, 7], 1, None),
    ];
    thread::scope(|scope| {
        for way in Way::ALL {
            let states = &states;
            scope.spawn(move || {
                update_under_traffic(way, "nopal-elem", states, 1000, Update::Increment);
            });
        }
    });
}

#[test]
fn two_hundred_changes_of_structure_each_way_lose_and_leak_nothing() {
    let block = "ingress: [{from: [{ipBlock: {cidr: 10.7.0.0/16}}], ports: [{port: 1}]}]";
    let both = "ingress: [{ports: [{port: 9}]}], egress: [{}], policyTypes: [Ingress, Egress]";
    let moving = [
        rules(&[], 0, None),
        rules(&[], 0, Some(("block", block))),
        rules(&[], 1, Some(("both", both))),
    ];
    for way in Way::ALL {
        update_under_traffic(way, "nopal-move", &moving, 100, Update::Increment);
    }
    // A pod comes to a class whose elements change at the same time.
    let with_mate = |ports: &[u16]| rendered(&format!("{}{MATE}", objects(ports, 0, None)));
    let switching = [
        rules(&[], 0, None),
        with_mate(&[5433]),
        rules(&[5434], 0, None),
        with_mate(&[5435]),
    ];
    for way in Way::ALL {
        update_under_traffic(way, "nopal-switch", &switching, 100, Update::Switch);
    }
}

/// A set loses elements, gains some, and has one come back in another form, beside those that all packets are found by.
#[test]
fn five_hundred_changes_of_interval_sets_each_way_lose_and_leak_nothing() {
    let states = [
        intervals(&[(7, 1, 999), (20, 2, 99)], &[7, 30]),
        intervals(&[(7, 1, 999)], &[7]),
        intervals(&[(7, 1, 999), (40, 5, 6)], &[7, 50]),
        intervals(&[(40, 5, 6)], &[50]),
        intervals(&[(40, 5, 7)], &[50]),
        intervals(&[(40, 5, 7)], &[]),
    ];
    assert!(states[0].sets.values().filter(|set| set.interval).count() >= 4);
    thread::scope(|scope| {
        for way in Way::ALL {
            let states = &states;
            scope.spawn(move || {
                update_under_traffic(way, "nopal-range", states, 500, Update::Increment);
            });
        }
    });
}

#[test]
fn a_standing_flow_is_cut_by_an_increment_and_lives_through_others() {
    let (lab, mut kernel) = build("nopal-cut-live");
    let mut live = Live::new(Config::default());
    let (with, without, more) = (
        rules(&[5433], 0, None),
        rules(&[], 0, None),
        rules(&[5433, 5434], 2, None),
    );
    for ends in in_each_family(WEB, DB) {
        live.update(&mut kernel, &with).unwrap();
        let open = |port| Connection::open(&lab, ends.0, ends.1, port, LONG).unwrap();
        let (mut cut, mut kept) = (open(5433), open(5432));
        assert_eq!(live.update(&mut kernel, &more).unwrap(), Update::Increment);
        assert!(cut.exchange(LONG) && cut.push(LONG));
        assert_eq!(
            live.update(&mut kernel, &without).unwrap(),
            Update::Increment
        );
        assert!(!cut.exchange(SHORT) && !cut.push(SHORT));
        assert!(kept.push(LONG) && kept.exchange(LONG));
        live.update(&mut kernel, &with).unwrap();
        assert!(cut.exchange(LONG) && cut.push(LONG));
    }
}

#[test]
fn the_kernel_takes_the_increments_of_random_clusters() {
    let mut made = [0; 3];
    for seed in 0..6 {
        let (netns, mut rng) = (Netns::new(), Rng::new(seed));
        let way = Way::ALL[usize::from(seed % 2 == 0)];
        let mut kernel = way.kernel(Nft::new().in_namespace(netns.path()));
        let kernel = kernel.as_mut();
        let mut live = Live::new(Config::default());
        let mut objects = random_cluster(seed, Size::MEDIUM);
        let node = nodes(&objects.cluster()).pop_first().unwrap();
        for change in 0..25 {
            let graph = RuleGraph::compile(&objects.cluster());
            let desired = render(&graph, &node, &Config::default()).unwrap();
            match live.update(kernel, &desired).unwrap() {
                Update::Increment => made[0] += 1,
                Update::Switch => made[1] += 1,
                Update::Load | Update::Nothing => made[2] += 1,
            }
            let context = format!("{way:?}, seed {seed}, change {change}");
            assert_in_force(kernel, &desired, &context);
            objects = mutate(&objects, &mut rng, change);
        }
    }
    let [increments, switches, others] = made;
    println!("{increments} increments, {switches} switches, {others} loads or nothing");
    assert!(increments > 0 && switches > 0);
}

#[test]
fn a_table_that_somebody_deleted_is_loaded_again() {
    for way in Way::ALL {
        let netns = Netns::new();
        let mut kernel = way.kernel(Nft::new().in_namespace(netns.path()));
        let kernel = kernel.as_mut();
        let mut live = Live::new(Config::default());
        let (first, second) = (rules(&[], 0, None), rules(&[1], 0, None));
        live.update(kernel, &first).unwrap();
        netns.run(&["nft", "delete", "table", "inet", "nopal"]);
        live.update(kernel, &second).unwrap_err();
        assert_eq!(live.update(kernel, &second).unwrap(), Update::Load);
        assert_in_force(kernel, &second, "after the second update");
    }
}
