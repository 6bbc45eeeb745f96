//! What is counted for rules: in the interpreter against the reference evaluator, and in the kernel with packets. The
//! kernel's part needs root, nft and ip, and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use common::events::{arrivals, departures};
use common::judge::Judge;
use common::pair::{DB, FAR, NODE, OBJECTS, WEB, build, in_each_family};
use common::ways::Way;
use nft_backend::config::{Config, Deny};
use nft_backend::live::{Live, Update};
use nft_backend::names::Name;
use nft_backend::nft::Nft;
use nft_backend::node::Node;
use nft_backend::rule_counters::{by_rule, name};
use nopal_lab::{Lab, patient};
use policy_core::incremental::{Engine, Event};
use policy_core::testing::{Objects, Size, random_cluster, random_flows};
use policy_core::{Direction, Flow, FlowPort, Protocol, RuleGraph, RuleId, Verdict};

/// The rules of all policies of a cluster, by what reasons call them.
fn rules(objects: &Objects) -> BTreeMap<String, RuleId> {
    let cluster = objects.cluster();
    let policies = cluster.policies().values();
    let rules = policies.flat_map(|policy| {
        let of = |direction| policy.rule_ids(direction).collect::<Vec<_>>();
        Direction::ALL.into_iter().flat_map(of)
    });
    rules.map(|rule| (rule.to_string(), rule)).collect()
}

/// The counters of rules that were passed, once each.
fn of_rules(counters: &BTreeMap<String, Vec<Name>>, context: &str) -> BTreeSet<Name> {
    let counters = counters.values().flatten();
    let mut passed = BTreeSet::new();
    for counter in counters.filter(|name| name.as_str().starts_with("rule_")) {
        assert!(
            passed.insert(counter.clone()),
            "{context}: {counter} counts twice"
        );
    }
    passed
}

fn counting() -> Config {
    Config {
        rule_counters: true,
        ..Config::default()
    }
}

#[test]
fn a_first_packet_counts_once_for_each_rule_that_the_reference_names_and_decides_as_ever() {
    let (mut by_one, mut by_several, mut refused) = (0, 0, 0);
    for (size, seeds) in [(Size::SMALL, 80), (Size::MEDIUM, 4)] {
        for seed in 0..seeds {
            let objects = random_cluster(seed, size);
            let (cluster, reference, rules) =
                (objects.cluster(), objects.reference(), rules(&objects));
            let graph = RuleGraph::compile(&cluster);
            let judge = Judge::with(&cluster, &graph, &counting()).unwrap();
            for flow in random_flows(&objects, seed, 60) {
                let context = format!("seed {seed}: {flow}");
                let verdict = reference.evaluate(&flow);
                assert_eq!(judge.objection(&flow, verdict), None, "{context}");
                let because = reference.because(&flow);
                let is_apart = |reason: &String| {
                    reason.starts_with("own ") || reason.contains(" is claimed by ")
                };
                if because.iter().any(is_apart) {
                    continue;
                }
                let passed = of_rules(&judge.counters(&flow), &context);
                if verdict == Verdict::Deny {
                    for direction in Direction::ALL {
                        let denies = format!(" isolates {direction}");
                        if because.iter().any(|reason| reason.ends_with(&denies)) {
                            let of_direction = rules.values();
                            let of_direction =
                                of_direction.filter(|rule| rule.direction == direction);
                            let counted = of_direction.map(name).find(|rule| passed.contains(rule));
                            assert_eq!(counted, None, "{context}");
                            refused += 1;
                        }
                    }
                    continue;
                }
                let admitting = because.iter().filter_map(|reason| rules.get(reason));
                let expected: BTreeSet<Name> = admitting.map(name).collect();
                assert_eq!(passed, expected, "{context}");
                let by_reply = of_rules(&judge.counters_of_reply(&flow), &context);
                assert_eq!(by_reply, expected, "{context}: a stale reply");
                match passed.len() {
                    0 => {}
                    1 => by_one += 1,
                    _ => by_several += 1,
                }
            }
        }
    }
    assert!(
        by_one > 100 && by_several > 50 && refused > 100,
        "{by_one} by one rule, {by_several} by several, {refused} refused"
    );
}

/// For what has to happen, however busy the machine is.
const LONG: Duration = Duration::from_secs(20);

/// The rules of the policy that is always there. Two of them admit `web` on one port.
const RULES: &str = "[{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{protocol: UDP, port: 5432}]}, \
     {from: [{ipBlock: {cidr: 10.0.1.0/24}}, {ipBlock: {cidr: \"fd00:10:0:1::/64\"}}], \
      ports: [{protocol: UDP, port: 5430, endPort: 5460}]}, {ports: [{protocol: UDP, port: 53}]}]";
/// The first of them written anew.
const OTHER_RULES: &str = "[{from: [{podSelector: {matchLabels: {app: web}}}], \
       ports: [{protocol: UDP, port: 5433}, {protocol: UDP, port: 5434}]}, \
     {from: [{ipBlock: {cidr: 10.0.1.0/24}}, {ipBlock: {cidr: \"fd00:10:0:1::/64\"}}], \
      ports: [{protocol: UDP, port: 5430, endPort: 5460}]}, {ports: [{protocol: UDP, port: 53}]}]";
/// The rule in the middle taken away, so that the last one moves on.
const TWO_RULES: &str = "[{from: [{podSelector: {matchLabels: {app: web}}}], \
     ports: [{protocol: UDP, port: 5432}]}, {ports: [{protocol: UDP, port: 53}]}]";
/// Of the other policy, which comes and goes.
const OF_ALL: &str = "[{from: [{podSelector: {}}]}]";

fn policy(name: &str, rules: &str) -> String {
    format!(
        "---\n{{kind: NetworkPolicy, metadata: {{namespace: shop, name: {name}}}, \
         spec: {{podSelector: {{matchLabels: {{app: db}}}}, ingress: {rules}}}}}\n"
    )
}

fn with_policies(policies: &[(&str, &str)]) -> Objects {
    let policies = policies.iter().map(|(name, rules)| policy(name, rules));
    Objects::from_yaml(&format!("{OBJECTS}{}", policies.collect::<String>())).unwrap()
}

/// The same where the pod in the other node is one of `web` as well, or none is.
fn relabelled(policies: &[(&str, &str)], pod: &str, app: &str) -> Objects {
    let objects = OBJECTS.replace(
        &format!("name: {pod}, labels: {{app: {pod}}}"),
        &format!("name: {pod}, labels: {{app: {app}}}"),
    );
    assert_ne!(objects, OBJECTS);
    let policies = policies.iter().map(|(name, rules)| policy(name, rules));
    Objects::from_yaml(&format!("{objects}{}", policies.collect::<String>())).unwrap()
}

/// Sends a datagram of a flow, from a port of its own.
fn send(lab: &Lab, flow: &Flow) {
    let FlowPort::Port(Protocol::Udp, port) = flow.port else {
        panic!("{flow} has no datagrams");
    };
    let sent = lab.namespace_of(flow.from).unwrap().run(|| {
        let socket = UdpSocket::bind((flow.from, 0))?;
        socket.send_to(b"count me", (flow.to, port))
    });
    sent.unwrap().unwrap();
}

/// All that classes have evaluated.
fn evaluated(nft: &Nft) -> u64 {
    let counts = nft.class_counts(&Config::default().table).unwrap().unwrap();
    let evaluated = counts.values().map(|counts| counts.evaluated.packets);
    evaluated.sum()
}

/// A table with its events, and what should have been counted.
struct Kept<'l> {
    lab: &'l Lab,
    nft: Nft,
    engine: Engine,
    node: Node,
    objects: Objects,
    counted: BTreeMap<RuleId, u64>,
}

impl Kept<'_> {
    /// Leads to other objects by events.
    fn become_like(&mut self, objects: Objects) -> nft_backend::delta::Delta {
        let (before, after) = (self.objects.cluster(), objects.cluster());
        let events: Vec<Event> = departures(&before, &after)
            .into_iter()
            .chain(arrivals(&after))
            .collect();
        self.objects = objects;
        self.node.take(&self.engine.apply(events))
    }

    /// What is counted is what was sent. What a rule counted is forgotten with the rule.
    fn check(&mut self, context: &str) {
        let counts = self.nft.counts(&Config::default().table).unwrap().unwrap();
        let rules = self.node.counted_rules();
        assert_eq!(counts.1.len(), rules.len(), "{context}");
        self.counted.retain(|rule, _| rules.contains(rule));
        for rule in &rules {
            self.counted.entry(rule.clone()).or_default();
        }
        let counted = by_rule(&counts.1, rules);
        let packets: BTreeMap<RuleId, u64> = counted
            .into_iter()
            .map(|(rule, traffic)| (rule, traffic.packets))
            .collect();
        assert_eq!(packets, self.counted, "{context}");
    }

    /// Sends a datagram of each flow, and waits until it was evaluated.
    fn send_all(&mut self, flows: &[Flow]) {
        let (reference, rules) = (self.objects.reference(), rules(&self.objects));
        let expected = evaluated(&self.nft) + flows.len() as u64;
        for flow in flows {
            send(self.lab, flow);
            for reason in reference.because(flow) {
                if let Some(rule) = rules.get(&reason) {
                    *self.counted.entry(rule.clone()).or_default() += 1;
                }
            }
        }
        let end = Instant::now() + patient(LONG);
        while evaluated(&self.nft) < expected && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(evaluated(&self.nft), expected);
    }
}

fn flows() -> Vec<Flow> {
    let ends = [in_each_family(WEB, DB), in_each_family(FAR, DB)];
    let ends = ends.into_iter().flatten();
    let flows = ends.flat_map(|(from, to): (IpAddr, IpAddr)| {
        [53, 5432, 5433, 5450, 9999].map(|port| Flow {
            from,
            to,
            port: FlowPort::Port(Protocol::Udp, port),
        })
    });
    flows.collect()
}

#[test]
fn rules_go_on_counting_while_pods_classes_and_policies_change() {
    for (way, prefix) in Way::ALL.into_iter().zip(["nopal-rcn", "nopal-rcl"]) {
        let (lab, nft) = build(prefix);
        // Without a receiver the pod would answer with ICMP errors.
        let receivers = lab.namespace_of(DB[0].parse().unwrap()).unwrap();
        let receivers = receivers.run(|| {
            let ports = [53, 5432, 5433, 5450, 9999];
            let bind = |port: u16| DB.map(|address| UdpSocket::bind((address, port)).unwrap());
            ports.map(bind)
        });
        let _receivers = receivers.unwrap();
        let mut kernel = way.kernel(nft.clone());
        let mut live = Live::new(counting());
        let first = with_policies(&[("db", RULES)]);
        let mut kept = Kept {
            lab: &lab,
            nft,
            engine: Engine::new(NODE).telling_rules(),
            node: Node::new(counting()).unwrap(),
            objects: Objects::read(Vec::new()).unwrap(),
            counted: BTreeMap::new(),
        };
        kept.become_like(first);
        let ruleset = kept.node.ruleset().unwrap();
        let update = live.update(kernel.as_mut(), &ruleset).unwrap();
        assert_eq!(update, Update::Load);
        kept.send_all(&flows());
        kept.check("after the first load");
        assert!(kept.counted.values().all(|count| *count > 0));

        let steps = [
            ("a pod more", relabelled(&[("db", RULES)], "far", "web")),
            ("a pod less", with_policies(&[("db", RULES)])),
            ("no peers", relabelled(&[("db", RULES)], "web", "other")),
            ("peers again", with_policies(&[("db", RULES)])),
            (
                "a policy more",
                with_policies(&[("db", RULES), ("all", OF_ALL)]),
            ),
            (
                "other rules",
                with_policies(&[("db", OTHER_RULES), ("all", OF_ALL)]),
            ),
            ("a policy less", with_policies(&[("db", OTHER_RULES)])),
            ("a rule less", with_policies(&[("db", TWO_RULES)])),
            ("another policy", with_policies(&[("all", OF_ALL)])),
            (
                "both again",
                with_policies(&[("db", RULES), ("all", OF_ALL)]),
            ),
        ];
        for (what, objects) in steps {
            let context = format!("{way:?}, {what}");
            let delta = kept.become_like(objects);
            let update = live.update_by(kernel.as_mut(), &delta).unwrap();
            assert!(
                matches!(update, Update::Increment | Update::Switch),
                "{context}"
            );
            kept.check(&context);
            kept.send_all(&flows());
            kept.check(&format!("{context}, with packets"));
        }

        live.forget();
        let ruleset = kept.node.ruleset().unwrap();
        let update = live.update(kernel.as_mut(), &ruleset).unwrap();
        assert_eq!(update, Update::Load);
        kept.check("after another load");
        let rejecting = Config {
            deny: Deny::Reject,
            ..counting()
        };
        let graph = RuleGraph::compile(&kept.objects.cluster());
        let ruleset = nft_backend::render::render(&graph, NODE, &rejecting).unwrap();
        let update = live.update(kernel.as_mut(), &ruleset).unwrap();
        assert_eq!(update, Update::Switch);
        kept.send_all(&flows());
        kept.check("after a switch");
        lab.remove().unwrap();
    }
}
