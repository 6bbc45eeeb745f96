//! A fake kernel that lets no transaction make a state in which a packet passes that the old and the new ruleset
//! deny, or is dropped that both allow.

use nft_backend::fake::FakeKernel;
use nft_backend::generation::MarkBits;
use nft_backend::in_force::InForce;
use nft_backend::interpreter::{
    Conntrack, FlowWay, Outcome, Packet, Payload, execute, may_pass_held_up,
};
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::names::Name;
use nft_backend::ruleset::Ruleset;
use nft_backend::statement::Rule;
use nft_backend::transaction::{Command, Object, Transaction};
use nft_backend::value::Protocol;
use policy_core::{Flow, FlowPort};

#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    kernel: FakeKernel,
    /// Packets, with what the old and the new ruleset say of each.
    packets: Vec<(Packet, [bool; 2])>,
    /// The tables that packets under way may have entered with.
    entered: Vec<Ruleset>,
}

impl std::ops::Deref for Watched {
    type Target = FakeKernel;

    fn deref(&self) -> &FakeKernel {
        &self.kernel
    }
}

impl std::ops::DerefMut for Watched {
    fn deref_mut(&mut self) -> &mut FakeKernel {
        &mut self.kernel
    }
}

impl Watched {
    /// Watches these packets from now on.
    pub(crate) fn watch(&mut self, packets: &[Packet], before: &Ruleset, after: &Ruleset) {
        let in_force = self.kernel.table(&before.table);
        self.entered = in_force.into_iter().cloned().collect();
        let verdicts = |packet| [passes(before, packet), passes(after, packet)];
        self.packets = packets
            .iter()
            .map(|packet| (*packet, verdicts(packet)))
            .collect();
    }

    /// The packets that are watched.
    pub(crate) fn trials(&self) -> impl Iterator<Item = &Packet> {
        self.packets.iter().map(|(packet, _)| packet)
    }
}

impl Kernel for Watched {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let waited = self.kernel.waits().last() == Some(&self.kernel.applied().len());
        assert!(waited || !transaction.deletes_maps(), "{transaction}");
        if let Some(table) = self.kernel.table(&transaction.table) {
            assert_eq!(
                leads_to_what_it_makes(table, transaction),
                None,
                "{transaction}"
            );
        }
        let outcome = self.kernel.apply(transaction);
        let Some(table) = self.kernel.table(&transaction.table) else {
            return outcome;
        };
        for (packet, [before, after]) in &self.packets {
            let passes = passes(table, packet);
            assert!(
                passes == *before || passes == *after,
                "{packet:?} passes: {passes}, before {before}, after {after}; last transaction:\n{transaction}{table}"
            );
            let held_up = |entered| may_pass_held_up(entered, table, packet).unwrap();
            assert!(
                *before || *after || !self.entered.iter().any(held_up),
                "{packet:?} passes if it is held up; last transaction:\n{transaction}{table}"
            );
        }
        self.entered.push(table.clone());
        outcome
    }

    fn check(&self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.kernel.check(transaction)
    }

    fn list(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.kernel.list(table)
    }

    fn outline(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.kernel.outline(table)
    }

    fn clear_marks(&mut self, bits: MarkBits) -> Result<(), ApplyError> {
        self.kernel.clear_marks(bits)
    }

    fn let_packets_through(&mut self) {
        self.kernel.let_packets_through();
        let last = self.entered.len().saturating_sub(1);
        self.entered.drain(..last);
    }
}

/// What the transaction makes and leads packets to at once from what was there before: they could meet it half made.
fn leads_to_what_it_makes<'t>(
    table: &Ruleset,
    transaction: &'t Transaction,
) -> Option<&'t Command> {
    let is_made = |name: &Name| {
        !table.chains.contains_key(name)
            && !table.sets.contains_key(name)
            && !table.maps.contains_key(name)
    };
    let mentions_made = |rule: &Rule| {
        let text = rule.to_string();
        let mut words = text.split(' ').map(|word| word.trim_start_matches('@'));
        words.any(|word| is_made_by(transaction, word))
    };
    transaction.commands.iter().find(|command| match command {
        Command::Add(Object::Rule { chain, rule }) => !is_made(chain) && mentions_made(rule),
        Command::Add(Object::Entries { map, entries }) => {
            !is_made(map) && entries.values().any(is_made)
        }
        _ => false,
    })
}

fn is_made_by(transaction: &Transaction, name: &str) -> bool {
    transaction.commands.iter().any(|command| match command {
        Command::Create(
            Object::Chain { name: made, .. }
            | Object::Set { name: made, .. }
            | Object::Map { name: made, .. },
        )
        | Command::Add(
            Object::Chain { name: made, .. }
            | Object::Set { name: made, .. }
            | Object::Map { name: made, .. },
        ) => made.as_str() == name,
        _ => false,
    })
}

/// A way in which the kernel may fail at a transaction: in turns one that does nothing, and one that nobody hears of.
pub(crate) fn way_to_fail(turn: usize) -> fn(&mut FakeKernel, usize, ApplyError) {
    if turn.is_multiple_of(2) {
        FakeKernel::fail
    } else {
        FakeKernel::fail_unheard
    }
}

fn passes(ruleset: &Ruleset, packet: &Packet) -> bool {
    execute(ruleset, packet).unwrap() != Outcome::Dropped
}

/// The first packet of each flow, and a reply to it that no mark speaks for.
pub(crate) fn trials(flows: &[Flow]) -> Vec<Packet> {
    flows.iter().flat_map(packets).collect()
}

fn packets(flow: &Flow) -> [Packet; 2] {
    let (there, back) = match flow.port {
        FlowPort::Other => (Payload::Icmp, Payload::Icmp),
        FlowPort::Port(protocol, port) => {
            let protocol = match protocol {
                policy_core::Protocol::Tcp => Protocol::Tcp,
                policy_core::Protocol::Udp => Protocol::Udp,
                policy_core::Protocol::Sctp => Protocol::Sctp,
            };
            let payload = |source, destination| Payload::Transport {
                protocol,
                source,
                destination,
            };
            (payload(40_000, port), payload(port, 40_000))
        }
    };
    let packet = |source, destination, payload, conntrack| Packet {
        source,
        destination,
        payload,
        conntrack,
    };
    let reply = Conntrack::Established {
        mark: 0,
        way: FlowWay::Reply,
    };
    [
        packet(flow.from, flow.to, there, Conntrack::New),
        packet(flow.to, flow.from, back, reply),
    ]
}

/// The same packet of a flow that carries this mark.
pub(crate) fn standing(packet: &Packet, mark: u32) -> Packet {
    let way = match packet.conntrack {
        Conntrack::New | Conntrack::PickedUp | Conntrack::Expected { .. } => FlowWay::Original,
        Conntrack::Established { way, .. } | Conntrack::Related { way, .. } => way,
    };
    Packet {
        conntrack: Conntrack::Established { mark, way },
        ..*packet
    }
}
