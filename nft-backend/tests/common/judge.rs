//! What the rulesets of all nodes do with a flow, packet by packet, in the interpreter.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nft_backend::config::Config;
use nft_backend::generation::MarkBits;
use nft_backend::interpreter::{Conntrack, FlowWay, Outcome, Packet, Payload, execute, trace};
use nft_backend::layout::LayoutError;
use nft_backend::names::{AUDITED, Name};
use nft_backend::render::render;
use nft_backend::ruleset::Ruleset;
use nft_backend::value::Protocol;
use policy_core::{Cluster, Flow, FlowPort, RuleGraph, Verdict};

use super::places::{Places, nodes};

/// A number that policies often allow, so that a rule which reads the wrong port of a packet is found out.
const SOURCE_PORT: u16 = 80;
/// Bits of the mark that belong to somebody else.
const OTHERS: u32 = 0x0012_3456;
/// What has no ports and is no ICMP.
const GRE: u8 = 47;

/// The rulesets of a cluster's nodes.
pub(crate) struct Judge {
    graph: RuleGraph,
    rulesets: BTreeMap<String, Ruleset>,
    places: Places,
}

impl Judge {
    pub(crate) fn new(cluster: &Cluster, graph: &RuleGraph) -> Result<Self, LayoutError> {
        Self::with(cluster, graph, &Config::default())
    }

    /// The rulesets that this configuration makes.
    pub(crate) fn with(
        cluster: &Cluster,
        graph: &RuleGraph,
        config: &Config,
    ) -> Result<Self, LayoutError> {
        let mut rulesets = BTreeMap::new();
        for node in nodes(cluster) {
            let ruleset = render(graph, &node, config)?;
            rulesets.insert(node, ruleset);
        }
        Ok(Self {
            graph: graph.clone(),
            rulesets,
            places: Places::new(cluster, graph),
        })
    }

    /// What the nodes do otherwise than `verdict` wants, if anything. A flow passes when on some path every node on it
    /// lets it pass; there is more than one path only where an address is claimed twice.
    ///
    /// - New, or standing but accepted by an older state: it passes exactly when it is allowed, and then carries the
    ///   generation in force.
    /// - Its replies under an older generation: they pass exactly when it is allowed, and change no mark.
    /// - Announced by a flow under the generation in force: it passes exactly when it is allowed.
    /// - Everything of it under the generation in force, ICMP errors about it too, passes.
    /// - If it is allowed, its first packet is counted as audited exactly when the graph says that it is.
    pub(crate) fn objection(&self, flow: &Flow, verdict: Verdict) -> Option<String> {
        let (current, stale, unmarked) = (OTHERS | stamp(1), OTHERS | stamp(2), OTHERS);
        let wanted = verdict == Verdict::Allow;
        let established = |mark, way| Conntrack::Established { mark, way };
        let related = |mark, way| Conntrack::Related { mark, way };
        for payload in payloads(flow.port) {
            let out = packet(flow.from, flow.to, payload);
            let back = packet(flow.to, flow.from, reversed(payload));
            let error = packet(flow.to, flow.from, Payload::Icmp);
            let trials = [
                ("a first packet", out(Conntrack::New), wanted, stamp(1)),
                (
                    "a stale packet",
                    out(established(stale, FlowWay::Original)),
                    wanted,
                    current,
                ),
                (
                    "a stale reply",
                    back(established(stale, FlowWay::Reply)),
                    wanted,
                    stale,
                ),
                (
                    "a reply without mark",
                    back(established(unmarked, FlowWay::Reply)),
                    wanted,
                    unmarked,
                ),
                (
                    "a later packet",
                    out(established(current, FlowWay::Original)),
                    true,
                    current,
                ),
                (
                    "a reply",
                    back(established(current, FlowWay::Reply)),
                    true,
                    current,
                ),
                (
                    "an error about it",
                    error(related(current, FlowWay::Reply)),
                    true,
                    current,
                ),
            ];
            // Nobody announces ICMP.
            let announced = (payload != Payload::Icmp).then_some((
                "the first packet of an announced one",
                out(Conntrack::Expected { mark: current }),
                wanted,
                current,
            ));
            let is_audited = self.graph.evaluate(flow).is_audited();
            if wanted && is_audited != self.counts_as_audited(flow, &trials[0].1) {
                return Some(format!("{flow}: ({payload:?}) is counted otherwise"));
            }
            for (what, packet, wanted, mark) in trials.into_iter().chain(announced) {
                let passes = self.passes(flow, &packet, mark);
                if passes != wanted {
                    let word = if passes { "passes" } else { "is dropped" };
                    return Some(format!("{flow}: {what} ({payload:?}) {word}"));
                }
            }
        }
        None
    }

    /// The counters that the flow's first packet passes on the nodes of its paths, whether it comes to them or not, each as
    /// often as it passes it.
    pub(crate) fn counters(&self, flow: &Flow) -> BTreeMap<String, Vec<Name>> {
        let first = payloads(flow.port)[0];
        self.counters_of(flow, &packet(flow.from, flow.to, first)(Conntrack::New))
    }

    /// The same for a reply that an older generation let begin.
    pub(crate) fn counters_of_reply(&self, flow: &Flow) -> BTreeMap<String, Vec<Name>> {
        let first = reversed(payloads(flow.port)[0]);
        let stale = Conntrack::Established {
            mark: OTHERS | stamp(2),
            way: FlowWay::Reply,
        };
        self.counters_of(flow, &packet(flow.to, flow.from, first)(stale))
    }

    fn counters_of(&self, flow: &Flow, packet: &Packet) -> BTreeMap<String, Vec<Name>> {
        let nodes: BTreeSet<String> = self
            .places
            .paths(flow.from, flow.to)
            .into_iter()
            .flatten()
            .collect();
        let counters = nodes.into_iter().map(|node| {
            let (_, counted) = trace(&self.rulesets[&node], packet).unwrap();
            (node, counted)
        });
        counters.collect()
    }

    fn counts_as_audited(&self, flow: &Flow, packet: &Packet) -> bool {
        let counts = |node: &String| {
            let (_, counted) = trace(&self.rulesets[node], packet).unwrap();
            counted.iter().any(|counter| counter.as_str() == AUDITED)
        };
        let paths: Vec<BTreeSet<String>> = self.places.paths(flow.from, flow.to);
        paths.iter().any(|path| path.iter().any(counts))
    }

    fn passes(&self, flow: &Flow, packet: &Packet, mark: u32) -> bool {
        let passes_node = |node: &String| {
            let outcome = execute(&self.rulesets[node], packet);
            outcome == Ok(Outcome::Accepted { mark })
        };
        let paths: Vec<BTreeSet<String>> = self.places.paths(flow.from, flow.to);
        paths.iter().any(|path| path.iter().all(passes_node))
    }
}

/// What the bits of the default mark hold for this generation, which is the first that a ruleset stamps.
fn stamp(generation: u32) -> u32 {
    generation << MarkBits::DEFAULT.mask().trailing_zeros()
}

/// ICMP stands for every protocol without ports, which are treated alike.
fn payloads(port: FlowPort) -> Vec<Payload> {
    let FlowPort::Port(protocol, destination) = port else {
        return vec![Payload::Icmp, Payload::Other(GRE)];
    };
    let protocol = match protocol {
        policy_core::Protocol::Tcp => Protocol::Tcp,
        policy_core::Protocol::Udp => Protocol::Udp,
        policy_core::Protocol::Sctp => Protocol::Sctp,
    };
    vec![Payload::Transport {
        protocol,
        source: SOURCE_PORT,
        destination,
    }]
}

fn reversed(payload: Payload) -> Payload {
    match payload {
        Payload::Transport {
            protocol,
            source,
            destination,
        } => Payload::Transport {
            protocol,
            source: destination,
            destination: source,
        },
        other => other,
    }
}

fn packet(source: IpAddr, destination: IpAddr, payload: Payload) -> impl Fn(Conntrack) -> Packet {
    move |conntrack| Packet {
        source,
        destination,
        payload,
        conntrack,
    }
}
