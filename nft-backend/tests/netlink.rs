//! What netlink puts into the kernel is what nft puts there. Needs root and nft, and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(
    clippy::print_stdout,
    reason = "how much was tried is part of the result"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use common::case::Case;
use common::difference;
use common::grants::{configs, every_grant};
use common::kinds::{prefix, sets};
use common::log::logged;
use common::netns::Netns;
use common::places::nodes;
use common::{ip, port, sample, single};
use nft_backend::config::Config;
use nft_backend::drift::drift;
use nft_backend::element::{Element, Key, PeerPorts};
use nft_backend::guard::{Guard, Handled};
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::layout::lay_out;
use nft_backend::load::{StandingFlows, plan};
use nft_backend::names::Name;
use nft_backend::netlink::Netlink;
use nft_backend::nft::Nft;
use nft_backend::notifications::Notifications;
use nft_backend::render::render;
use nft_backend::ruleset::Ruleset;
use nft_backend::transaction::{Command, Object, Target, Transaction};
use nft_backend::value::{AddressRange, Family, PortRange, Protocol};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// Two namespaces that get the same transactions, the one by nft, the other by netlink, where no nft can step in.
struct Both {
    nft: Netns,
    netlink: Netns,
    by_nft: Nft,
    by_netlink: Netlink,
}

impl Both {
    fn new() -> Self {
        let (nft, netlink) = (Netns::new(), Netns::new());
        Self {
            by_nft: Nft::new().in_namespace(nft.path()),
            by_netlink: alone(&netlink),
            nft,
            netlink,
        }
    }

    fn apply(&mut self, transaction: &Transaction) {
        self.by_nft.apply(transaction).unwrap();
        self.by_netlink
            .apply(transaction)
            .unwrap_or_else(|error| panic!("{error}\n{transaction}"));
    }

    /// Compares what nft lists, as text and as JSON.
    fn assert_same(&self, context: &str) {
        self.assert_same_by(|netns| netns.run(&["nft", "list", "ruleset"]), context);
        self.assert_same_by(json, context);
    }

    fn assert_same_by(&self, list: impl Fn(&Netns) -> String, context: &str) {
        let (expected, found) = (list(&self.nft), list(&self.netlink));
        assert!(
            expected == found,
            "{context}: {}",
            difference(&expected, &found)
        );
    }
}

/// Netlink without nft: where that would step in, the test fails.
fn alone(netns: &Netns) -> Netlink {
    let nft = Nft::new().in_namespace(netns.path());
    Netlink::beside(nft.with_program("/nowhere/nft"))
}

/// The listing, object by object and without handles, which depend on what was there before.
fn json(netns: &Netns) -> String {
    let mut listed: serde_json::Value =
        serde_json::from_str(&netns.run(&["nft", "-j", "list", "ruleset"])).unwrap();
    let objects = listed["nftables"].as_array_mut().unwrap();
    for object in objects
        .iter_mut()
        .flat_map(|object| object.as_object_mut().unwrap().values_mut())
    {
        object.as_object_mut().unwrap().remove("handle");
    }
    let lines: Vec<String> = objects.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Loads the ruleset twice, so that everything is made, switched to and deleted again.
fn load_twice(both: &mut Both, ruleset: &Ruleset, config: &Config, context: &str) {
    let mut in_force = None;
    for _ in 0..2 {
        let load = plan(ruleset, config, in_force.as_ref(), StandingFlows::Recheck).unwrap();
        for transaction in [&load.create, &load.switch, &load.delete] {
            if !transaction.is_empty() {
                both.apply(transaction);
            }
            both.assert_same(context);
        }
        in_force = both.by_nft.outline(&config.table).unwrap();
    }
}

#[test]
fn every_form_of_grant_and_rule_is_the_same() {
    for (number, config) in configs().iter().enumerate() {
        for classes in [sample(), every_grant()] {
            let ruleset = lay_out(config, &classes).unwrap();
            load_twice(
                &mut Both::new(),
                &ruleset,
                config,
                &format!("configuration {number}"),
            );
        }
    }
}

#[test]
fn every_case_is_the_same() {
    let (config, mut tried) = (Config::default(), 0);
    for table in Case::tables() {
        let case = Case::read(&table).unwrap();
        let mut both = Both::new();
        for node in nodes(&case.cluster) {
            let ruleset = render(&case.graph, &node, &config).unwrap();
            let in_force = both.by_nft.outline(&config.table).unwrap();
            let load = plan(&ruleset, &config, in_force.as_ref(), StandingFlows::Recheck).unwrap();
            for transaction in [&load.create, &load.switch, &load.delete] {
                if !transaction.is_empty() {
                    both.apply(transaction);
                    tried += 1;
                }
            }
            both.assert_same_by(json, &format!("{}, node {node}", case.name));
        }
    }
    println!("{tried} transactions");
    assert!(tried > 0);
}

fn table() -> Transaction {
    let mut transaction = Transaction::new(Config::default().table);
    transaction.add(Object::Table);
    transaction
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[test]
fn elements_of_every_kind_come_and_go_as_by_nft() {
    let mut both = Both::new();
    let (mut make, mut add, mut delete) = (table(), Transaction::new(table().table), table());
    for (set, key, interval, elements) in sets() {
        let (name, set) = (name(set), name(set));
        make.create(Object::Set {
            name,
            key,
            interval,
        });
        let set_ = set.clone();
        add.add(Object::Elements {
            set: set_,
            elements: elements.clone(),
        });
        // One of them, so that others stay beside it.
        let elements = elements.into_iter().take(1).collect();
        delete.delete(Target::Elements { set, elements });
    }
    both.apply(&make);
    // The second time the elements are there already.
    for transaction in [&add, &add, &delete, &add, &delete] {
        both.apply(transaction);
        both.assert_same(&transaction.to_string());
    }
    let mut empty = Transaction::new(table().table);
    for (set, _, _, elements) in sets() {
        empty.commands.push(Command::FlushSet(name(set)));
        // nft refuses an empty list.
        let elements: BTreeSet<Element> = elements.into_iter().skip(1).collect();
        if !elements.is_empty() {
            let set = name(set);
            empty.add(Object::Elements { set, elements });
        }
    }
    both.apply(&empty);
    both.assert_same("flushed");
}

#[test]
fn entries_of_verdict_maps_come_and_go_as_by_nft() {
    let mut both = Both::new();
    let chains = ["c_one", "c_two"].map(name);
    let mut make = table();
    for chain in &chains {
        let (name, priority) = (chain.clone(), None);
        make.create(Object::Chain { name, priority });
    }
    let maps = [
        ("m_4", Family::V4, "10.0.0."),
        ("m_6", Family::V6, "fd00::"),
    ];
    let (mut add, mut moved) = (
        Transaction::new(table().table),
        Transaction::new(table().table),
    );
    for (map, family, stem) in maps {
        make.create(Object::Map {
            name: name(map),
            family,
        });
        let entries = |chain: &Name| -> BTreeMap<IpAddr, Name> {
            let addresses = (1..9).map(|last| ip(&format!("{stem}{last}")));
            addresses.map(|address| (address, chain.clone())).collect()
        };
        let [before, after] = [entries(&chains[0]), entries(&chains[1])];
        add.add(Object::Entries {
            map: name(map),
            entries: before.clone(),
        });
        moved.delete(Target::Entries {
            map: name(map),
            entries: before,
        });
        moved.add(Object::Entries {
            map: name(map),
            entries: after,
        });
    }
    let mut gone = Transaction::new(table().table);
    for (map, _, _) in maps {
        gone.commands.push(Command::FlushMap(name(map)));
        gone.delete(Target::Map(name(map)));
    }
    gone.delete(Target::Chain(chains[0].clone()));
    for transaction in [make, add, moved, gone] {
        both.apply(&transaction);
        both.assert_same(&transaction.to_string());
    }
}

/// More elements than a message holds, by number and by size, in one transaction that is larger than the socket's
/// buffer is at first. It is one all the same: where its last command fails, nothing of it is there.
#[test]
fn a_list_that_no_message_holds_is_split() {
    let netns = Netns::new();
    let mut kernel = alone(&netns);
    netns.run(&[
        "nft",
        "add table inet nopal; add set inet nopal s_x { type ipv4_addr; elements = { 10.0.0.1 }; }",
    ]);
    let before = json(&netns);
    let chain = name(&format!("c_{}", "x".repeat(240)));
    let mut transaction = table();
    let (name_, priority) = (chain.clone(), None);
    transaction.create(Object::Chain {
        name: name_,
        priority,
    });
    transaction.create(Object::Map {
        name: name("m_4"),
        family: Family::V4,
    });
    let address = |number: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number));
    let entries = (0..3000).map(|number| (address(number), chain.clone()));
    let entries: BTreeMap<IpAddr, Name> = entries.collect();
    transaction.add(Object::Entries {
        map: name("m_4"),
        entries: entries.clone(),
    });
    let key = Key::PeerPort(Family::V6);
    transaction.create(Object::Set {
        name: name("s_r6"),
        key,
        interval: true,
    });
    let ports = PortRange::new(1, 2).unwrap();
    let peer = |number: u32| AddressRange::prefix(ip(&format!("fd00:{number:x}::")), 32).unwrap();
    let boxes = (0..3000).map(|number| {
        let (peer, protocol) = (peer(number), Protocol::Tcp);
        Element::PeerPort(PeerPorts {
            peer,
            protocol,
            ports,
        })
    });
    let elements: BTreeSet<Element> = boxes.collect();
    transaction.add(Object::Elements {
        set: name("s_r6"),
        elements: elements.clone(),
    });
    let mut failing = transaction.clone();
    failing.delete(Target::Map(name("m_none")));
    let error = kernel.apply(&failing).unwrap_err().to_string();
    assert!(
        error.contains("delete map inet nopal m_none: No such file"),
        "{error}"
    );
    assert_eq!(json(&netns), before);
    kernel.apply(&transaction).unwrap();
    let nft = Nft::new().in_namespace(netns.path());
    let in_force = nft.list(&transaction.table).unwrap().unwrap();
    assert_eq!(in_force.maps[&name("m_4")].entries, entries);
    assert_eq!(in_force.sets[&name("s_r6")].elements, elements);
}

#[test]
fn sets_that_somebody_else_made_are_filled_as_they_were_made() {
    let mut both = Both::new();
    let command = "add table inet nopal; add set inet nopal s_x { type ipv4_addr; flags interval; }; \
                   add set inet nopal s_y { type ipv4_addr; }";
    for netns in [&both.nft, &both.netlink] {
        netns.run(&["nft", command]);
    }
    let mut add = Transaction::new(table().table);
    for set in ["s_x", "s_y"] {
        let elements = [Element::Address(single("10.0.0.1"))].into();
        add.add(Object::Elements {
            set: name(set),
            elements,
        });
    }
    both.apply(&add);
    both.assert_same("sets of others");
}

/// A single address written as for a hash would open an interval set from there to its end.
#[test]
fn a_set_that_was_made_anew_in_another_way_gets_no_wider_elements() {
    let mut both = Both::new();
    let (mut make, key) = (table(), Key::Address(Family::V4));
    make.create(Object::Set {
        name: name("s_x"),
        key,
        interval: false,
    });
    both.apply(&make);
    let command =
        "delete set inet nopal s_x; add set inet nopal s_x { type ipv4_addr; flags interval; }";
    for netns in [&both.nft, &both.netlink] {
        netns.run(&["nft", command]);
    }
    let mut add = Transaction::new(table().table);
    let elements = [Element::Address(single("10.0.0.1"))].into();
    add.add(Object::Elements {
        set: name("s_x"),
        elements,
    });
    both.apply(&add);
    both.assert_same("made anew");
}

#[test]
fn a_refused_batch_changes_nothing_and_the_next_one_is_fine() {
    let netns = Netns::new();
    let mut kernel = alone(&netns);
    let key = Key::Address(Family::V4);
    let mut make = table();
    make.create(Object::Set {
        name: name("s_x"),
        key,
        interval: false,
    });
    kernel.apply(&make).unwrap();
    let before = json(&netns);
    let twice = kernel.apply(&make).unwrap_err();
    let said = |error: &ApplyError| match error {
        ApplyError::Refused { stderr } => stderr.clone(),
        other => panic!("{other}"),
    };
    let expected = "create set inet nopal s_x { type ipv4_addr; }: File exists (EEXIST)";
    assert!(said(&twice).starts_with(expected), "{twice}");
    let mut missing = Transaction::new(make.table.clone());
    let elements: BTreeSet<Element> = [Element::Address(single("10.0.0.1"))].into();
    missing.add(Object::Elements {
        set: name("s_x"),
        elements: elements.clone(),
    });
    missing.add(Object::Elements {
        set: name("s_none"),
        elements: elements.clone(),
    });
    let error = kernel.apply(&missing).unwrap_err();
    assert!(
        said(&error).contains("s_none: No such file or directory"),
        "{error}"
    );
    let mut deleted = Transaction::new(make.table.clone());
    deleted.delete(Target::Elements {
        set: name("s_x"),
        elements: elements.clone(),
    });
    let error = kernel.apply(&deleted).unwrap_err();
    let expected = "delete element inet nopal s_x { 10.0.0.1 }: No such file or directory";
    assert!(said(&error).starts_with(expected), "{error}");
    assert_eq!(json(&netns), before);
    missing.commands.pop();
    kernel.apply(&missing).unwrap();
    let in_force = Nft::new().in_namespace(netns.path());
    let in_force = in_force.list(&make.table).unwrap().unwrap();
    assert_eq!(in_force.sets[&name("s_x")].elements, elements);
}

/// What no set can hold is not sent; nft, which is out of reach here, would refuse it in its own words.
#[test]
fn what_cannot_be_written_is_left_to_nft() {
    let netns = Netns::new();
    let mut kernel = alone(&netns);
    let (mut make, key) = (table(), Key::Address(Family::V4));
    make.create(Object::Set {
        name: name("s_x"),
        key,
        interval: false,
    });
    kernel.apply(&make).unwrap();
    for element in [
        prefix("10.0.0.0", 8),
        prefix("fd00::", 128),
        Element::Port(port(Protocol::Tcp, 1)),
    ] {
        let mut add = Transaction::new(make.table.clone());
        add.add(Object::Elements {
            set: name("s_x"),
            elements: [element].into(),
        });
        let error = kernel.apply(&add).unwrap_err();
        assert!(
            matches!(error, ApplyError::NftMissing { .. }),
            "{element}: {error}"
        );
        let mut by_nft = Nft::new().in_namespace(netns.path());
        let error = by_nft.apply(&add).unwrap_err();
        assert!(
            matches!(error, ApplyError::Refused { .. }),
            "{element}: {error}"
        );
    }
}

/// Does a job without the capability that netlink asks the caller for. A program that it starts as root has it again.
fn refused<T>(job: impl FnOnce() -> T) -> T {
    let all = capabilities(None).unwrap();
    let mut fewer = all;
    fewer.effective.remove(CapabilitySet::NET_ADMIN);
    set_capabilities(None, fewer).unwrap();
    let done = job();
    set_capabilities(None, all).unwrap();
    done
}

/// Before the socket is opened, and when it has been used.
#[test]
fn nft_steps_in_where_the_kernel_refuses_netlink_and_netlink_goes_on_where_it_does_not() {
    // Without marks, which are cleared by netlink alone.
    let config = Config {
        marks: None,
        ..Config::default()
    };
    let [one, other] = [sample(), every_grant()].map(|classes| lay_out(&config, &classes).unwrap());
    for opened in [false, true] {
        let netns = Netns::new();
        let nft = Nft::new().in_namespace(netns.path());
        let notices = Notifications::of(&nft, &config.table).unwrap();
        let mut guard = Guard::new(Netlink::beside(nft.clone()), notices, config.clone());
        let mut put = |ruleset: &Ruleset, is_refused: bool| {
            let (updated, log) = logged(|| {
                let mut update = || guard.update(ruleset.clone());
                if is_refused {
                    refused(update)
                } else {
                    update()
                }
            });
            updated.unwrap();
            assert_eq!(
                guard.handle().unwrap(),
                Handled::Quiet,
                "the sender is known"
            );
            let in_force = nft.list(&config.table).unwrap().unwrap();
            assert_eq!(drift(ruleset, &in_force), []);
            log
        };
        if opened {
            assert_eq!(put(&other, false), [""; 0]);
        }
        let log = put(&one, true);
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(
            log[0].contains("no nftables by netlink here; the nft program steps in"),
            "{log:?}"
        );
        assert_eq!(put(&other, true), [""; 0], "it was said");
        assert_eq!(put(&one, false), [""; 0]);
    }
}

#[test]
fn a_namespace_that_is_not_there_is_named() {
    let error = Netlink::new()
        .in_namespace("nopal-none")
        .apply(&table())
        .unwrap_err();
    let path = "/run/netns/nopal-none".into();
    assert_eq!(error, ApplyError::NoNamespace { path });
}
