//! The fixed part of the table, and where classes and pods go in it.
//!
//! ```text
//! nopal_forward ─ the flow carries the generation in force: accept
//!               ─ an ICMP error about such a flow: accept
//!               ─ neighbour discovery: accept
//!               ─ jump ▶ classify ─▶ egress ─ by source ──────▶ e_CLASS ─▶ ┐
//!                                    │ not isolated                        ▼
//!                                    └───────▶ ingress ─ by destination ─▶ i_CLASS ─▶ stamp: accept
//!                                              │ not isolated                          ▲
//!                                              └───────────────────────────────────────┘
//!               ─ count, drop
//! ```
//! Every step is a `goto`, so what no rule of a class accepts comes back to the base chain, behind
//! `jump classify`, and is denied: the structure fails closed. The first rule of a class counts what
//! comes to it, then, where that is asked for, rules count what each rule of a policy admits, by sets
//! that decide nothing; the last ones count and tell what it does not accept. An audited class has one more,
//! which counts that for the table and leads it to the next stage. A reply of a flow with an older
//! generation goes through `r_egress` and `r_ingress`, the same with source and destination
//! exchanged, and is not stamped. Without marks there are neither reversed chains nor a stamp.
//!
//! The generation in force stands in two places that a transaction changes together: the set `generation`, and the one
//! rule of `write_mark`, which has no verdict. A kernel that takes a rule with a verdict or a lookup walks through all
//! chains and maps of the table before it commits; elements and other rules it takes as they are (`docs/benchmarks.md`
//! has the time of a generation by itself).
//! A packet finds rules as they were when it entered the hook, and elements as they are: so it may meet the next
//! generation's mark with the rules of the one before, which accepts what was judged by newer rules than these, but it
//! never writes the next mark without having met the next elements.
//! A TCP packet that is no flow's first and that conntrack knows no flow of goes through `picked_up`,
//! because nobody knows whether the client sent it (module `picked_up`).
//!
//! Link-local IPv6, which only a bridge forwards, is denied while any pod of the node is isolated (module `link_local`).
//!
//! A packet whose ends are both in no dispatch map is foreign; it passes both stages and is stamped
//! like any other. What a pod and its own node say to each other is not forwarded and so never
//! seen here.

use std::net::IpAddr;

use crate::class::{Classes, Dispatch};
use crate::class_chain::{self, Direction, Head, Lookup, Way};
use crate::class_counters;
use crate::config::{Config, Deny};
use crate::element::{Element, Key, overlap};
use crate::generation::{Generation, MarkBits};
use crate::link_local;
use crate::names::{
    AUDITED, BASE, CLASSIFY, DENIED, EGRESS, GENERATION, ICMP_ERRORS, INGRESS, LINK_LOCAL, Label,
    Name, R_EGRESS, R_INGRESS, STAMP, WRITE_MARK,
};
use crate::picked_up;
use crate::ruleset::{Chain, Ruleset, Set, VerdictMap};
use crate::statement::{Field, Rule, Statement};
use crate::value::Family;
use crate::vocabulary::{
    accept, counter, ct_established, ct_mark_in, ct_mark_set, ct_not_related, ct_related, ct_reply,
    drop_packet, goto, icmp, icmpv6_neighbour, in_set, jump, reject, vmap,
};

/// Why classes cannot be laid out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A pod is sent to a class that is not there.
    #[error("a pod belongs to the {direction} class {class}, which does not exist")]
    NoSuchClass {
        /// The direction.
        direction: Direction,
        /// The class.
        class: Label,
    },
    /// A grant names a shared peer set that is not there.
    #[error("the {direction} class {class} uses the shared peers {peers}, which do not exist")]
    NoSuchPeers {
        /// The direction.
        direction: Direction,
        /// The class.
        class: Label,
        /// The missing peers.
        peers: Label,
    },
    /// Two elements of an interval set share an address and a port. The kernel would refuse them, or
    /// accept them and find only one.
    #[error("{first} and {second} overlap in the set {set}")]
    Overlap {
        /// The set.
        set: Name,
        /// The element that comes first.
        first: Element,
        /// The element that overlaps it.
        second: Element,
    },
}

/// The table for these classes, stamping with the first generation.
pub fn lay_out(config: &Config, classes: &Classes) -> Result<Ruleset, LayoutError> {
    let mut ruleset = Ruleset::new(config.table.clone());
    ruleset.counters.extend([DENIED, AUDITED].map(Name::fixed));
    add_base(&mut ruleset, config);
    for way in ways(config) {
        add_stages(&mut ruleset, way, config.marks.is_some());
    }
    add_self_sets(&mut ruleset, classes);
    let link_local = link_local::set(!classes.pods.is_empty());
    ruleset.sets.insert(Name::fixed(LINK_LOCAL), link_local);
    if let Some(bits) = config.marks {
        add_stamp(&mut ruleset);
        set_generation(&mut ruleset, bits, Generation::FIRST);
    }
    let shared = class_chain::add_shared_peers(&mut ruleset, &classes.shared_peers);
    for direction in Direction::ALL {
        for (label, class) in direction.classes(classes) {
            let sets = class_chain::add_sets(&mut ruleset, direction, label, class, &shared)?;
            let counts = class_chain::add_counted(&mut ruleset, direction, label, class);
            // A rule that admits nobody at the moment keeps what it has counted.
            let counters = counts.iter().map(|count| count.counter.clone());
            ruleset.counters.extend(counters);
            let head = Head {
                label,
                counts: &counts,
                audited: class.audited,
                comment: &class.comment,
            };
            for (name, chain) in class_chains(config, direction, &head, &sets) {
                let counters = class_counters::used_by(&chain).cloned();
                ruleset.counters.extend(counters);
                ruleset.chains.insert(name, chain);
            }
        }
        add_dispatch(&mut ruleset, config, direction, classes)?;
    }
    check_overlaps(&ruleset)?;
    Ok(ruleset)
}

/// Makes a table with marks accept and write another generation; only the set `generation` and the chain `write_mark`
/// depend on it.
pub fn set_generation(ruleset: &mut Ruleset, bits: MarkBits, generation: Generation) {
    let set = generation_set(bits, generation);
    ruleset.sets.insert(Name::fixed(GENERATION), set);
    let chain = mark_chain(bits, generation);
    ruleset.chains.insert(Name::fixed(WRITE_MARK), chain);
}

/// The marks of flows that are accepted at once.
pub(crate) fn generation_set(bits: MarkBits, generation: Generation) -> Set {
    let mut set = Set::new(Key::Mark, false);
    let mark = bits.value(generation);
    set.elements.insert(Element::Mark(mark));
    set
}

/// What writes the generation to a flow. It has no verdict, so that it is cheap to replace.
pub(crate) fn mark_chain(bits: MarkBits, generation: Generation) -> Chain {
    Chain::new([Rule::new([ct_mark_set(bits, generation)])])
}

/// The bits that a table reads the generation from, if it has marks.
pub fn mark_bits(ruleset: &Ruleset) -> Option<MarkBits> {
    let base = ruleset.chains.get(&Name::fixed(BASE))?;
    let mut statements = base.rules.iter().flat_map(|rule| &rule.statements);
    statements.find_map(|statement| match statement {
        Statement::CtMarkIn { mask, .. } => MarkBits::from_mask(*mask).ok(),
        _ => None,
    })
}

/// The chains of a class that makes these lookups.
pub(crate) fn class_chains(
    config: &Config,
    direction: Direction,
    head: &Head<'_>,
    lookups: &[Lookup],
) -> impl Iterator<Item = (Name, Chain)> {
    let marks = config.marks.is_some();
    ways(config).map(move |way| {
        let next = next_stage(direction, way, marks);
        let chain = class_chain::chain(direction, way, head, lookups, &next, config);
        (class_chain::name(direction, way, head.label), chain)
    })
}

/// The entries that lead an address to a class: the maps, each with the chain.
pub(crate) fn class_entries(
    config: &Config,
    direction: Direction,
    address: IpAddr,
    class: &Label,
) -> impl Iterator<Item = (Name, Name)> {
    ways(config).map(move |way| {
        let map = dispatch_map(direction, way, Family::of(address));
        (map, class_chain::name(direction, way, class))
    })
}

fn ways(config: &Config) -> impl Iterator<Item = Way> + use<> {
    let reversed = config.marks.is_some().then_some(Way::Reversed);
    std::iter::once(Way::Original).chain(reversed)
}

fn add_base(ruleset: &mut Ruleset, config: &Config) {
    let deny = match config.deny {
        Deny::Drop => drop_packet(),
        Deny::Reject => reject(),
    };
    // Where there are marks, they tell of flows that nobody has answered too.
    let is_evaluated = match config.marks {
        Some(bits) => ct_mark_in(bits, &Name::fixed(GENERATION)),
        None => ct_established(),
    };
    let rules = [
        Rule::new([is_evaluated.clone(), ct_not_related(), accept()]),
        Rule::new([ct_related(), jump(&Name::fixed(ICMP_ERRORS))]),
        Rule::new([icmpv6_neighbour(), accept()]),
        Rule::new([jump(&Name::fixed(CLASSIFY))]),
        Rule::new([counter(&Name::fixed(DENIED)), deny]),
    ];
    let base = Chain {
        priority: Some(config.priority),
        rules: rules.to_vec(),
        comment: Vec::new(),
    };
    ruleset.chains.insert(Name::fixed(BASE), base);
    add_icmp_errors(ruleset, &is_evaluated);

    let mut rules = link_local::rules().to_vec();
    if config.marks.is_some() {
        rules.push(Rule::new([
            ct_established(),
            ct_reply(),
            goto(&Name::fixed(R_EGRESS)),
        ]));
        rules.push(picked_up::rule());
        picked_up::add_chain(ruleset);
    }
    rules.push(Rule::new([goto(&Name::fixed(EGRESS))]));
    ruleset
        .chains
        .insert(Name::fixed(CLASSIFY), Chain::new(rules));
}

/// ICMP errors are accepted with the flow that they are about. What opens a flow that another one announced, as helpers
/// of conntrack do for FTP and SIP, is as much `related` to it and inherits its mark (`init_conntrack`); but nobody has
/// judged that flow yet.
fn add_icmp_errors(ruleset: &mut Ruleset, is_evaluated: &Statement) {
    let rule = |family| Rule::new([icmp(family), is_evaluated.clone(), accept()]);
    let rules = Family::ALL.map(rule).to_vec();
    ruleset
        .chains
        .insert(Name::fixed(ICMP_ERRORS), Chain::new(rules));
}

/// A packet that only belongs to the flow, such as an ICMP error, is accepted without a mark: it
/// was evaluated by its own addresses, so it must not speak for the flow that it is about.
fn add_stamp(ruleset: &mut Ruleset) {
    let rules = [
        Rule::new([ct_related(), accept()]),
        Rule::new([jump(&Name::fixed(WRITE_MARK))]),
        Rule::new([accept()]),
    ];
    ruleset.chains.insert(Name::fixed(STAMP), Chain::new(rules));
}

/// The two dispatch chains of one way: egress, then ingress. A pod always reaches itself, which it
/// does through a Service that picks it as its own backend.
fn add_stages(ruleset: &mut Ruleset, way: Way, marks: bool) {
    let last = match way {
        Way::Original if marks => goto(&Name::fixed(STAMP)),
        Way::Original | Way::Reversed => accept(),
    };
    let mut egress = Family::ALL
        .map(|family| {
            let ends = [saddr(family), daddr(family)];
            Rule::new([in_set(ends, &self_set(family)), last.clone()])
        })
        .to_vec();
    let ingress_chain = stage(Direction::Ingress, way);
    egress.extend(dispatch_rules(Direction::Egress, way));
    egress.push(Rule::new([goto(&ingress_chain)]));
    let mut ingress = dispatch_rules(Direction::Ingress, way).to_vec();
    ingress.push(Rule::new([last]));
    ruleset
        .chains
        .insert(stage(Direction::Egress, way), Chain::new(egress));
    ruleset.chains.insert(ingress_chain, Chain::new(ingress));
}

/// The field that holds the subject's own address is the one that does not hold the peer's.
fn dispatch_rules(direction: Direction, way: Way) -> [Rule; 2] {
    Family::ALL.map(|family| {
        let peer_is_source = class_chain::peer_is_source(direction, way);
        let field = if peer_is_source {
            daddr(family)
        } else {
            saddr(family)
        };
        Rule::new([vmap(field, &dispatch_map(direction, way, family))])
    })
}

fn add_dispatch(
    ruleset: &mut Ruleset,
    config: &Config,
    direction: Direction,
    classes: &Classes,
) -> Result<(), LayoutError> {
    for way in ways(config) {
        for family in Family::ALL {
            let name = dispatch_map(direction, way, family);
            ruleset.maps.insert(name, VerdictMap::new(family));
        }
    }
    for (address, dispatch) in &classes.pods {
        let Some(class) = class_of(direction, dispatch) else {
            continue;
        };
        if !direction.classes(classes).contains_key(class) {
            return Err(LayoutError::NoSuchClass {
                direction,
                class: class.clone(),
            });
        }
        for (map, chain) in class_entries(config, direction, *address, class) {
            if let Some(map) = ruleset.maps.get_mut(&map) {
                map.entries.insert(*address, chain);
            }
        }
    }
    Ok(())
}

fn add_self_sets(ruleset: &mut Ruleset, classes: &Classes) {
    for family in Family::ALL {
        let mut set = Set::new(Key::Pair(family), false);
        let pods = classes
            .pods
            .keys()
            .filter(|address| Family::of(**address) == family);
        set.elements = pods
            .map(|address| Element::Pair(*address, *address))
            .collect();
        ruleset.sets.insert(self_set(family), set);
    }
}

fn check_overlaps(ruleset: &Ruleset) -> Result<(), LayoutError> {
    for (name, set) in ruleset.sets.iter().filter(|(_, set)| set.interval) {
        if let Some((first, second)) = overlap(&set.elements) {
            return Err(LayoutError::Overlap {
                set: name.clone(),
                first,
                second,
            });
        }
    }
    Ok(())
}

fn class_of(direction: Direction, dispatch: &Dispatch) -> Option<&Label> {
    match direction {
        Direction::Ingress => dispatch.ingress.as_ref(),
        Direction::Egress => dispatch.egress.as_ref(),
    }
}

/// Where a class chain sends what it allows.
fn next_stage(direction: Direction, way: Way, marks: bool) -> Statement {
    match (direction, way) {
        (Direction::Egress, way) => goto(&stage(Direction::Ingress, way)),
        (Direction::Ingress, Way::Original) if marks => goto(&Name::fixed(STAMP)),
        (Direction::Ingress, Way::Original | Way::Reversed) => accept(),
    }
}

fn stage(direction: Direction, way: Way) -> Name {
    Name::fixed(match (direction, way) {
        (Direction::Ingress, Way::Original) => INGRESS,
        (Direction::Egress, Way::Original) => EGRESS,
        (Direction::Ingress, Way::Reversed) => R_INGRESS,
        (Direction::Egress, Way::Reversed) => R_EGRESS,
    })
}

/// `in4`, `eg6r`: the map from a local pod's address to its class chain.
fn dispatch_map(direction: Direction, way: Way, family: Family) -> Name {
    let stem = dispatch_stem(direction);
    let suffix = match way {
        Way::Original => "",
        Way::Reversed => "r",
    };
    Name::fixed(format!("{stem}{}{suffix}", family.digit()))
}

/// Whether a map holds the dispatch of this direction, by its name with or without an epoch. All maps are of dispatch.
pub(crate) fn is_dispatch_of(map: &Name, direction: Direction) -> bool {
    map.as_str().starts_with(dispatch_stem(direction))
}

const fn dispatch_stem(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "in",
        Direction::Egress => "eg",
    }
}

/// The direction whose dispatch a map of this name holds.
pub(crate) fn direction_of(map: &Name) -> Option<Direction> {
    let ways = [Way::Original, Way::Reversed];
    let is_of = |direction| {
        ways.iter().any(|way| {
            let mut families = Family::ALL.into_iter();
            families.any(|family| dispatch_map(direction, *way, family) == *map)
        })
    };
    Direction::ALL
        .into_iter()
        .find(|direction| is_of(*direction))
}

/// `self4`, `self6`: the pairs of pods with themselves.
pub(crate) fn self_set(family: Family) -> Name {
    Name::fixed(format!("self{}", family.digit()))
}

pub(crate) fn saddr(family: Family) -> Field {
    class_chain::source(family)
}

pub(crate) fn daddr(family: Family) -> Field {
    class_chain::destination(family)
}
