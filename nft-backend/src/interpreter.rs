//! Executes a ruleset for a packet, as the kernel does.
//!
//! Exact about what the layout uses: hash and interval lookups, concatenations, verdict maps, and
//! that `goto` leaves its chain for good, so that the end of a chain comes back behind the last
//! `jump`. Tests compare its outcome with the reference evaluator's.

use std::net::IpAddr;

use crate::element::{Element, PeerPorts, ProtocolPorts};
use crate::names::Name;
use crate::ruleset::{Ruleset, Set};
use crate::statement::{Field, Rule, Statement};
use crate::value::{AddressRange, Family, PortRange, Protocol};

/// A packet at the forward hook. Both addresses are of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// What it carries.
    pub payload: Payload,
    /// What conntrack knows of it.
    pub conntrack: Conntrack,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// TCP, UDP or SCTP.
    Transport {
        /// The protocol.
        protocol: Protocol,
        /// The source port.
        source: u16,
        /// The destination port.
        destination: u16,
    },
    /// ICMP or `ICMPv6` other than neighbour discovery.
    Icmp,
    /// Neighbour discovery: `ICMPv6` types 133 to 136.
    Icmpv6Neighbour,
    /// Any other IP protocol.
    Other(u8),
}

/// What conntrack knows of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conntrack {
    /// The first of its flow.
    New,
    /// The first that is seen of a flow which began before; a TCP packet of this kind opens no connection.
    PickedUp,
    /// Of a flow that was seen in both directions.
    Established {
        /// The flow's mark.
        mark: u32,
        /// Which way the packet goes.
        way: FlowWay,
    },
    /// About another flow, such as an ICMP error.
    Related {
        /// That flow's mark.
        mark: u32,
        /// Which way the packet goes.
        way: FlowWay,
    },
    /// The first of a flow that another one announced.
    Expected {
        /// The mark, which it has from that one.
        mark: u32,
    },
}

/// Which way a packet goes in its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowWay {
    /// As its first packet.
    Original,
    /// Back.
    Reply,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It passes our table, and its flow has this mark.
    Accepted {
        /// The flow's mark afterwards.
        mark: u32,
    },
    /// It is dropped or rejected.
    Dropped,
}

/// Why a ruleset cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterpreterError {
    /// A rule mentions an object that the ruleset does not have.
    #[error("a rule mentions {0}, which does not exist")]
    Missing(Name),
    /// Chains lead back to themselves, or jump more than 15 chains deep.
    #[error("a packet passed more chains than the kernel allows")]
    TooDeep,
}

/// No packet visits more chains: the kernel allows 16 levels and refuses loops.
const MOST_CHAINS: usize = 1000;
const DEEPEST_JUMP: usize = 15;

/// Sends the packet through the base chains, in the order of their priorities.
pub fn execute(ruleset: &Ruleset, packet: &Packet) -> Result<Outcome, InterpreterError> {
    trace(ruleset, packet).map(|(outcome, _)| outcome)
}

/// The same, and the counters that the packet passes, each as often as it does.
pub fn trace(ruleset: &Ruleset, packet: &Packet) -> Result<(Outcome, Vec<Name>), InterpreterError> {
    let mut run = Run::new(ruleset, packet);
    let outcome = run.outcome()?;
    Ok((outcome, run.counted))
}

/// Whether a packet can pass that is held up while the table changes: it keeps the rules that it entered with, and from
/// some lookup on finds the elements of `later`.
///
/// A chain that was made since has no rules for it. A map that is gone has no entries, which the kernel takes away at
/// once; a set that is gone keeps its elements until all packets are through.
pub fn may_pass_held_up(
    entered: &Ruleset,
    later: &Ruleset,
    packet: &Packet,
) -> Result<bool, InterpreterError> {
    let (mut before, mut most) = (0, 0);
    while before <= most {
        let mut run = Run {
            later: Some(Later {
                ruleset: later,
                after: before,
            }),
            ..Run::new(entered, packet)
        };
        if run.outcome()? != Outcome::Dropped {
            return Ok(true);
        }
        most = most.max(run.lookups);
        before += 1;
    }
    Ok(false)
}

struct Run<'a> {
    ruleset: &'a Ruleset,
    packet: &'a Packet,
    mark: u32,
    counted: Vec<Name>,
    /// How many sets and maps were looked up so far.
    lookups: usize,
    later: Option<Later<'a>>,
}

/// The elements that a packet finds after so many lookups.
struct Later<'a> {
    ruleset: &'a Ruleset,
    after: usize,
}

/// A verdict that ends the evaluation of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Accept,
    Drop,
}

/// What a statement leads to.
enum Step<'a> {
    NextStatement,
    NextRule,
    Return,
    Jump(&'a Name),
    Goto(&'a Name),
    End(End),
}

impl<'a> Run<'a> {
    fn new(ruleset: &'a Ruleset, packet: &'a Packet) -> Self {
        Self {
            ruleset,
            packet,
            mark: packet.conntrack.mark(),
            counted: Vec::new(),
            lookups: 0,
            later: None,
        }
    }

    fn outcome(&mut self) -> Result<Outcome, InterpreterError> {
        let mut bases: Vec<_> = self
            .ruleset
            .chains
            .iter()
            .filter_map(|(name, chain)| Some((chain.priority?, name)))
            .collect();
        bases.sort();
        for (_, base) in bases {
            if self.chain(base)? == Some(End::Drop) {
                return Ok(Outcome::Dropped);
            }
        }
        Ok(Outcome::Accepted { mark: self.mark })
    }

    /// The ruleset whose elements the next lookup finds, when it is not the one whose rules are.
    fn elements_since(&mut self) -> Option<&'a Ruleset> {
        self.lookups += 1;
        let later = self.later.as_ref()?;
        (self.lookups > later.after).then_some(later.ruleset)
    }

    fn set(&mut self, name: &Name) -> Result<&'a Set, InterpreterError> {
        let since = self.elements_since();
        let since = since.and_then(|ruleset| ruleset.sets.get(name));
        found(since.or_else(|| self.ruleset.sets.get(name)), name)
    }

    /// Where the map leads this address.
    fn led_to(
        &mut self,
        map: &Name,
        address: IpAddr,
    ) -> Result<Option<&'a Name>, InterpreterError> {
        let entered = found(self.ruleset.maps.get(map), map)?;
        let map = match self.elements_since() {
            Some(since) => since.maps.get(map),
            None => Some(entered),
        };
        Ok(map.and_then(|map| map.entries.get(&address)))
    }

    /// The rules of a chain. What leads a packet to a chain that was made after it entered leads it nowhere.
    fn rules(&self, chain: &'a Name) -> Result<&'a [Rule], InterpreterError> {
        let later = self.later.as_ref();
        let is_made_later = || later.is_some_and(|later| later.ruleset.chains.contains_key(chain));
        match self.ruleset.chains.get(chain) {
            None if is_made_later() => Ok(&[]),
            chain_now => Ok(&found(chain_now, chain)?.rules),
        }
    }

    /// `None` is the end of the base chain, where its policy accepts.
    fn chain(&mut self, base: &'a Name) -> Result<Option<End>, InterpreterError> {
        let mut callers: Vec<(&Name, usize)> = Vec::new();
        let (mut chain, mut rule) = (base, 0);
        for _ in 0..MOST_CHAINS {
            let rules = self.rules(chain)?;
            let mut step = Step::NextRule;
            while let (Some(current), Step::NextRule) = (rules.get(rule), &step) {
                step = self.rule(&current.statements)?;
                rule += 1;
            }
            match step {
                Step::NextStatement | Step::NextRule | Step::Return => match callers.pop() {
                    Some(caller) => (chain, rule) = caller,
                    None => return Ok(None),
                },
                Step::Jump(target) => {
                    callers.push((chain, rule));
                    (chain, rule) = (target, 0);
                }
                Step::Goto(target) => (chain, rule) = (target, 0),
                Step::End(end) => return Ok(Some(end)),
            }
            if callers.len() > DEEPEST_JUMP {
                return Err(InterpreterError::TooDeep);
            }
        }
        Err(InterpreterError::TooDeep)
    }

    fn rule(&mut self, statements: &'a [Statement]) -> Result<Step<'a>, InterpreterError> {
        for statement in statements {
            match self.statement(statement)? {
                Step::NextStatement => {}
                step => return Ok(step),
            }
        }
        Ok(Step::NextRule)
    }

    fn statement(&mut self, statement: &'a Statement) -> Result<Step<'a>, InterpreterError> {
        let conntrack = self.packet.conntrack;
        let is_match = match statement {
            Statement::InSet { fields, set } => {
                let set = self.set(set)?;
                let values: Option<Vec<Value>> = fields.iter().map(|f| self.field(*f)).collect();
                values.is_some_and(|values| holds(set, &values))
            }
            Statement::CtEstablished => !conntrack.is_new(),
            Statement::CtNew => conntrack.is_new(),
            // Only a connection that was under way is one whose first packet opens nothing.
            Statement::TcpNotSyn => {
                let opens = matches!(conntrack, Conntrack::New | Conntrack::Expected { .. });
                !opens && self.packet.payload.protocol() == Some(Protocol::Tcp)
            }
            Statement::PortIn { field, ports } => match self.field(*field) {
                Some(Value::Port(port)) => ports.contains(port),
                _ => false,
            },
            Statement::CtRelated => conntrack.is_related(),
            Statement::CtNotRelated => !conntrack.is_related(),
            Statement::Icmp(family) => {
                let is_icmp = matches!(
                    self.packet.payload,
                    Payload::Icmp | Payload::Icmpv6Neighbour
                );
                is_icmp && Family::of(self.packet.source) == *family
            }
            Statement::CtReply => conntrack.way() == FlowWay::Reply,
            Statement::CtMarkIn { mask, set } => {
                let set = self.set(set)?;
                set.elements.contains(&Element::Mark(self.mark & mask))
            }
            Statement::CtMarkSet { mask, value } => {
                self.mark = self.mark & !mask | value;
                true
            }
            Statement::Icmpv6Neighbour => self.packet.payload == Payload::Icmpv6Neighbour,
            Statement::Limit(_) | Statement::Log { .. } => true,
            Statement::Counter(name) => {
                let counter = self.ruleset.counters.get(name);
                self.counted.extend(counter.cloned());
                counter.is_some()
            }
            Statement::Vmap { field, map } => {
                let target = match self.field(*field) {
                    Some(Value::Address(address)) => self.led_to(map, address)?,
                    _ => None,
                };
                return Ok(target.map_or(Step::NextStatement, Step::Goto));
            }
            Statement::Return => return Ok(Step::Return),
            Statement::Jump(chain) => return Ok(Step::Jump(chain)),
            Statement::Goto(chain) => return Ok(Step::Goto(chain)),
            Statement::Accept => return Ok(Step::End(End::Accept)),
            Statement::Drop | Statement::Reject => return Ok(Step::End(End::Drop)),
        };
        Ok(if is_match {
            Step::NextStatement
        } else {
            Step::NextRule
        })
    }

    /// The value of a field, or nothing when the packet has no such field.
    fn field(&self, field: Field) -> Option<Value> {
        let Packet {
            source,
            destination,
            payload,
            ..
        } = *self.packet;
        let address = |address: IpAddr, family| {
            (Family::of(address) == family).then_some(Value::Address(address))
        };
        match field {
            Field::IpSaddr => address(source, Family::V4),
            Field::IpDaddr => address(destination, Family::V4),
            Field::Ip6Saddr => address(source, Family::V6),
            Field::Ip6Daddr => address(destination, Family::V6),
            Field::L4Proto => payload.protocol().map(Value::Protocol),
            Field::ThSport => payload.ports().map(|(source, _)| Value::Port(source)),
            Field::ThDport => payload
                .ports()
                .map(|(_, destination)| Value::Port(destination)),
        }
    }
}

impl Conntrack {
    fn is_new(self) -> bool {
        matches!(self, Self::New | Self::PickedUp)
    }

    fn is_related(self) -> bool {
        matches!(self, Self::Related { .. } | Self::Expected { .. })
    }

    fn mark(self) -> u32 {
        match self {
            Self::New | Self::PickedUp => 0,
            Self::Established { mark, .. }
            | Self::Related { mark, .. }
            | Self::Expected { mark } => mark,
        }
    }

    fn way(self) -> FlowWay {
        match self {
            Self::New | Self::PickedUp | Self::Expected { .. } => FlowWay::Original,
            Self::Established { way, .. } | Self::Related { way, .. } => way,
        }
    }
}

impl Payload {
    /// The protocol, if sets can hold it.
    fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Transport { protocol, .. } => Some(protocol),
            Self::Icmp | Self::Icmpv6Neighbour => None,
            Self::Other(number) => Protocol::from_number(number),
        }
    }

    fn ports(self) -> Option<(u16, u16)> {
        match self {
            Self::Transport {
                source,
                destination,
                ..
            } => Some((source, destination)),
            Self::Icmp | Self::Icmpv6Neighbour | Self::Other(_) => None,
        }
    }
}

/// The value of one field.
#[derive(Debug, Clone, Copy)]
enum Value {
    Address(IpAddr),
    Protocol(Protocol),
    Port(u16),
}

/// Whether a set holds the values of the fields that it is looked up by.
fn holds(set: &Set, values: &[Value]) -> bool {
    let Some(sought) = exact(values).filter(|sought| sought.key() == set.key) else {
        return false;
    };
    if set.interval {
        set.elements.iter().any(|element| element.overlaps(&sought))
    } else {
        set.elements.contains(&sought)
    }
}

/// The element that holds exactly these values.
fn exact(values: &[Value]) -> Option<Element> {
    match *values {
        [Value::Address(address)] => Some(Element::Address(AddressRange::single(address))),
        [Value::Address(first), Value::Address(second)] => Some(Element::Pair(first, second)),
        [Value::Protocol(protocol), Value::Port(port)] => Some(Element::Port(ProtocolPorts {
            protocol,
            ports: PortRange::single(port),
        })),
        [
            Value::Address(address),
            Value::Protocol(protocol),
            Value::Port(port),
        ] => {
            let (peer, ports) = (AddressRange::single(address), PortRange::single(port));
            Some(Element::PeerPort(PeerPorts {
                peer,
                protocol,
                ports,
            }))
        }
        _ => None,
    }
}

fn found<'a, T>(object: Option<&'a T>, name: &Name) -> Result<&'a T, InterpreterError> {
    object.ok_or_else(|| InterpreterError::Missing(name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::Chain;
    use crate::statement::Rule;
    use crate::vocabulary::{accept, drop_packet, goto, jump};

    fn ruleset(chains: &[(&str, Vec<Rule>)]) -> Ruleset {
        let mut ruleset = Ruleset::new(Name::table("nopal").unwrap());
        for (name, rules) in chains {
            let mut chain = Chain::new(rules.clone());
            chain.priority = (*name == "base").then_some(0);
            ruleset.chains.insert(Name::fixed(*name), chain);
        }
        ruleset
    }

    fn rule(statement: Statement) -> Rule {
        Rule::new([statement])
    }

    fn outcome(ruleset: &Ruleset) -> Result<Outcome, InterpreterError> {
        let packet = Packet {
            source: "10.0.0.1".parse().unwrap(),
            destination: "10.0.0.2".parse().unwrap(),
            payload: Payload::Icmp,
            conntrack: Conntrack::New,
        };
        execute(ruleset, &packet)
    }

    #[test]
    fn a_chain_entered_by_goto_returns_to_the_last_jump() {
        let [a, b] = [Name::fixed("a"), Name::fixed("b")];
        let ruleset = ruleset(&[
            ("base", vec![rule(jump(&a)), rule(drop_packet())]),
            ("a", vec![rule(goto(&b)), rule(accept())]),
            ("b", vec![]),
        ]);
        assert_eq!(outcome(&ruleset), Ok(Outcome::Dropped));
    }

    #[test]
    fn a_chain_entered_by_jump_returns_behind_it() {
        let [a, b] = [Name::fixed("a"), Name::fixed("b")];
        let ruleset = ruleset(&[
            ("base", vec![rule(jump(&a)), rule(drop_packet())]),
            ("a", vec![rule(jump(&b)), rule(accept())]),
            ("b", vec![]),
        ]);
        assert_eq!(outcome(&ruleset), Ok(Outcome::Accepted { mark: 0 }));
    }

    #[test]
    fn the_end_of_the_base_chain_accepts() {
        let a = Name::fixed("a");
        let ruleset = ruleset(&[
            ("base", vec![rule(goto(&a)), rule(drop_packet())]),
            ("a", vec![]),
        ]);
        assert_eq!(outcome(&ruleset), Ok(Outcome::Accepted { mark: 0 }));
    }

    #[test]
    fn a_loop_and_a_missing_chain_are_errors() {
        let a = Name::fixed("a");
        let looping = ruleset(&[("base", vec![rule(goto(&a))]), ("a", vec![rule(goto(&a))])]);
        assert_eq!(outcome(&looping), Err(InterpreterError::TooDeep));
        let dangling = ruleset(&[("base", vec![rule(goto(&a))])]);
        assert_eq!(outcome(&dangling), Err(InterpreterError::Missing(a)));
    }
}
