//! Large transactions of ours, which the kernel tells nobody of, and what others do meanwhile. Needs root, nft and ip,
//! and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::net::Ipv4Addr;

use common::netns::Netns;
use common::pair::rules;
use nft_backend::config::Config;
use nft_backend::drift::drift;
use nft_backend::generation::MarkBits;
use nft_backend::guard::{Guard, Handled};
use nft_backend::in_force::InForce;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::live::Update;
use nft_backend::load::{StandingFlows, load};
use nft_backend::names::Name;
use nft_backend::netlink::Netlink;
use nft_backend::nft::Nft;
use nft_backend::notifications::{Notice, Notices, Notifications};
use nft_backend::ruleset::Ruleset;
use nft_backend::transaction::Transaction;

/// Blocks that a policy allows, no two of them beside each other.
const BLOCKS: u32 = 1_500;
const OTHER_TABLE: &str = "add table ip other; add chain ip other c";

/// The kernel, in which a stranger acts before and after the first large transaction.
struct Disturbed<'a> {
    kernel: Netlink,
    netns: &'a Netns,
    acts: Option<[&'a str; 2]>,
}

impl Disturbed<'_> {
    fn stranger(&self, act: &str) {
        if !act.is_empty() {
            self.netns.run(&["nft", act]);
        }
    }
}

impl Kernel for Disturbed<'_> {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        if transaction.elements() < BLOCKS as usize {
            return self.kernel.apply(transaction);
        }
        let [before, after] = self.acts.take().unwrap_or_default();
        self.stranger(before);
        let applied = self.kernel.apply(transaction);
        self.stranger(after);
        applied
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
    }

    fn take_senders(&mut self) -> Vec<u32> {
        self.kernel.take_senders()
    }
}

fn table() -> Name {
    Config::default().table
}

/// Rules with many elements.
fn large() -> Ruleset {
    let block = |number: u32| {
        let address = Ipv4Addr::from_bits(0xac10_0000 + 2 * number);
        format!("{{ipBlock: {{cidr: {address}/32}}}}")
    };
    let blocks: Vec<String> = (0..BLOCKS).map(block).collect();
    let spec = format!(
        "policyTypes: [Ingress], ingress: [{{from: [{}]}}]",
        blocks.join(", ")
    );
    rules(&spec, &Config::default())
}

/// A guard that puts the large rules in force while a stranger acts, and what it finds to do after that.
fn handled(netns: &Netns, before: &str, after: &str) -> Handled {
    let nft = Nft::new().in_namespace(netns.path());
    let notices = Notifications::of(&nft, &table()).unwrap();
    let kernel = Disturbed {
        kernel: Netlink::beside(nft),
        netns,
        acts: Some([before, after]),
    };
    let mut guard = Guard::new(kernel, notices, Config::default());
    assert_eq!(guard.update(large()).unwrap(), Update::Load);
    assert_eq!(guard.kernel().acts, None, "nothing large was loaded");
    let handled = guard.handle().unwrap();
    let in_force = guard.kernel().list(&table()).unwrap().unwrap();
    let found = drift(&large(), &in_force);
    assert!(found.is_empty(), "{} differences", found.len());
    assert_eq!(guard.handle().unwrap(), Handled::Quiet, "{before}{after}");
    netns.run(&["nft", "flush ruleset"]);
    assert!(matches!(guard.handle().unwrap(), Handled::Repaired(_)));
    handled
}

#[test]
fn nothing_is_heard_of_a_large_load_and_all_of_what_comes_after_it() {
    assert_eq!(handled(&Netns::new(), "", ""), Handled::Quiet);
}

#[test]
fn who_acts_during_a_large_load_has_the_table_compared() {
    for [before, after] in [
        [OTHER_TABLE, ""],
        ["", OTHER_TABLE],
        [OTHER_TABLE, OTHER_TABLE],
    ] {
        let handled = handled(&Netns::new(), before, after);
        assert_eq!(handled, Handled::Intact, "{before}, {after}");
    }
}

#[test]
fn what_is_taken_away_during_a_large_load_is_put_back() {
    let netns = Netns::new();
    let nft = Nft::new().in_namespace(netns.path());
    let mut kernel = Netlink::beside(nft);
    let standing = StandingFlows::Recheck;
    load(&mut kernel, &large(), &Config::default(), standing).unwrap();
    let in_force = kernel.list(&table()).unwrap().unwrap();
    let (set, _) = in_force
        .sets
        .iter()
        .max_by_key(|(_, set)| set.elements.len())
        .unwrap();
    netns.run(&["nft", "flush ruleset"]);
    let handled = handled(&netns, "", &format!("flush set inet nopal {set}"));
    assert!(matches!(handled, Handled::Repaired(_)), "{handled:?}");
}

/// What notices say of a pause in which a stranger carries out so many transactions.
fn told(during: u32, own: u32) -> Vec<Notice> {
    let netns = Netns::new();
    let nft = Nft::new().in_namespace(netns.path());
    let mut notices = Notifications::of(&nft, &table()).unwrap();
    netns.run(&["nft", "add table inet nopal"]);
    notices.pause().unwrap();
    for _ in 0..during {
        netns.run(&["nft", "add chain inet nopal c; delete chain inet nopal c"]);
    }
    notices.resume(own);
    netns.run(&["nft", "delete table inet nopal"]);
    notices.read().unwrap()
}

#[test]
fn a_pause_swallows_own_transactions_alone() {
    let is_lost = |notice: &&Notice| **notice == Notice::Lost;
    for (during, own) in [(0, 0), (1, 1), (3, 3)] {
        let told = told(during, own);
        assert_eq!(told.iter().filter(is_lost).count(), 0, "{during}: {told:?}");
        assert_eq!(told.len(), 2, "before and after the pause: {told:?}");
    }
    for (during, own) in [(0, 1), (1, 0), (2, 1), (1, 2)] {
        let told = told(during, own);
        assert_eq!(told.iter().filter(is_lost).count(), 1, "{during}: {told:?}");
    }
}
