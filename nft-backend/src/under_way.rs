//! Which transactions must wait for the packets that are under way in the rules.
//!
//! A packet looks elements up as they are at that moment, and may be held up between two lookups while the table changes
//! (module [`passage`](crate::passage)). What the one lookup found and what the other one finds is then of two states, and
//! together they may allow what neither of these states does:
//! - It is led by rules of its own moment to a map whose entries went since, and taken for one that nobody isolates. So
//!   the deletion of maps waits.
//! - It met an egress permission that was taken away since, and meets one for ingress that was given since. The other way
//!   round is harmless, since every packet passes egress first. Both ends are then pods of this node that are isolated,
//!   so what is about others is not waited for.
//! - It was the peer of a permission whose peers and ports have a set each, is it no more, and its port came since.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::class_chain::{
    Direction, is_of_class_in, is_of_ports_of_shared_peers, is_of_shared_peers,
};
use crate::element::Element;
use crate::layout::is_dispatch_of;
use crate::names::Name;
use crate::ruleset::Ruleset;
use crate::transaction::{Command, Object, Target, Transaction};
use crate::value::AddressRange;

/// What packets that are under way may have met and is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct UnderWay {
    egress: bool,
    peers: bool,
}

impl UnderWay {
    /// Whether these packets must be through before the transaction changes the table.
    pub(crate) fn must_wait(self, transaction: &Transaction, table: &Ruleset) -> bool {
        let gives = |gives: fn(&Ruleset, &Command) -> bool| {
            let mut commands = transaction.commands.iter();
            commands.any(|command| gives(table, command))
        };
        transaction.deletes_maps()
            || self.egress && gives(gives_ingress)
            || self.peers && gives(gives_ports)
    }

    /// Notes what the transaction takes away, before it is carried out.
    pub(crate) fn note(&mut self, transaction: &Transaction, table: &Ruleset) {
        for command in &transaction.commands {
            self.egress = self.egress || takes_egress(table, command);
            self.peers = self.peers || takes_peers(command);
        }
    }
}

/// Whether it takes an egress permission between two pods of the node.
fn takes_egress(table: &Ruleset, command: &Command) -> bool {
    match command {
        Command::Delete(Target::Elements { set, elements }) => {
            decides(set, Direction::Egress) && concern(table, Direction::Ingress, elements)
        }
        Command::Add(Object::Entries { map, .. }) => {
            is_dispatch_of(map, Direction::Egress) && isolates(table, Direction::Ingress)
        }
        _ => false,
    }
}

/// Whether it gives an ingress permission between two pods of the node. Nothing leads yet to what is not there before.
fn gives_ingress(table: &Ruleset, command: &Command) -> bool {
    match command {
        Command::Add(Object::Elements { set, elements }) => {
            decides(set, Direction::Ingress)
                && table.sets.contains_key(set)
                && concern(table, Direction::Egress, elements)
        }
        Command::Delete(Target::Entries { map, .. }) => {
            is_dispatch_of(map, Direction::Ingress) && isolates(table, Direction::Egress)
        }
        _ => false,
    }
}

/// Whether it takes peers away that are looked up before their ports.
fn takes_peers(command: &Command) -> bool {
    match command {
        Command::Delete(Target::Elements { set, .. }) => is_of_shared_peers(set),
        _ => false,
    }
}

fn gives_ports(table: &Ruleset, command: &Command) -> bool {
    match command {
        Command::Add(Object::Elements { set, .. }) => {
            is_of_ports_of_shared_peers(set) && table.sets.contains_key(set)
        }
        _ => false,
    }
}

fn decides(set: &Name, direction: Direction) -> bool {
    is_of_shared_peers(set) || is_of_class_in(set, direction)
}

/// The entries of the pods that are isolated in this direction.
fn entries(table: &Ruleset, direction: Direction) -> impl Iterator<Item = &BTreeMap<IpAddr, Name>> {
    let maps = table.maps.iter();
    let maps = maps.filter(move |(name, _)| is_dispatch_of(name, direction));
    maps.map(|(_, map)| &map.entries)
}

fn isolates(table: &Ruleset, direction: Direction) -> bool {
    entries(table, direction).any(|entries| !entries.is_empty())
}

/// Whether some element is about a pod that is isolated in this direction, or about every peer.
fn concern(table: &Ruleset, direction: Direction, elements: &BTreeSet<Element>) -> bool {
    let isolated: Vec<_> = entries(table, direction).collect();
    let is_isolated = |peers: AddressRange| {
        let ends = peers.first()..=peers.last();
        let mut maps = isolated.iter();
        maps.any(|entries| entries.range(ends.clone()).next().is_some())
    };
    elements
        .iter()
        .any(|element| element.peers().is_none_or(is_isolated))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::{Key, ProtocolPorts};
    use crate::ruleset::Set;
    use crate::value::{PortRange, Protocol};

    const PEERS: &str = "p_many_a4_e1";
    const PORTS: &str = "iq0_web_any_e1";

    fn table() -> Ruleset {
        let mut table = Ruleset::new(Name::table("nopal").unwrap());
        table
            .sets
            .insert(Name::fixed(PORTS), Set::new(Key::Port, false));
        table
    }

    fn transaction(command: Command) -> Transaction {
        let mut transaction = Transaction::new(table().table);
        transaction.commands.push(command);
        transaction
    }

    fn take_a_peer() -> Transaction {
        let peer = AddressRange::single("10.0.0.1".parse().unwrap());
        transaction(Command::Delete(Target::Elements {
            set: Name::fixed(PEERS),
            elements: BTreeSet::from([Element::Address(peer)]),
        }))
    }

    fn give_a_port(set: &str) -> Transaction {
        let port = ProtocolPorts {
            protocol: Protocol::Tcp,
            ports: PortRange::single(80),
        };
        transaction(Command::Add(Object::Elements {
            set: Name::fixed(set.to_owned()),
            elements: BTreeSet::from([Element::Port(port)]),
        }))
    }

    #[test]
    fn a_port_that_comes_waits_for_packets_of_a_peer_that_went() {
        let mut under_way = UnderWay::default();
        assert!(!under_way.must_wait(&give_a_port(PORTS), &table()));
        under_way.note(&take_a_peer(), &table());
        assert!(under_way.must_wait(&give_a_port(PORTS), &table()));
        assert!(!under_way.must_wait(&take_a_peer(), &table()));
        let of_a_new_class = give_a_port("iq0_new_any_e2");
        assert!(!under_way.must_wait(&of_a_new_class, &table()));
    }
}
