//! The real kernel, in network namespaces that each test makes for itself. Needs root and nft.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use common::grants::{configs, every_grant};
use common::netns::Netns;
use common::ways::Way;
use common::{ip, port, range, sample};
use nft_backend::class::Classes;
use nft_backend::config::Config;
use nft_backend::drift::drift;
use nft_backend::element::{Element, Key};
use nft_backend::generation::MarkBits;
use nft_backend::in_force::InForce;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::layout::lay_out;
use nft_backend::load::{StandingFlows, load, plan};
use nft_backend::names::Name;
use nft_backend::nft::Nft;
use nft_backend::ruleset::Ruleset;
use nft_backend::transaction::{Object, Target, Transaction};
use nft_backend::value::{AddressRange, Family, Protocol};
use nopal_lab::patient;

fn nft(netns: &Netns) -> Nft {
    Nft::new().in_namespace(netns.path())
}

fn in_force(kernel: &Nft, config: &Config) -> InForce {
    kernel.list(&config.table).unwrap().unwrap()
}

#[test]
fn text_and_json_put_the_same_in_force() {
    for (config, classes) in configs()
        .iter()
        .flat_map(|c| [(c, sample()), (c, every_grant())])
    {
        let ruleset = lay_out(config, &classes).unwrap();
        let planned = plan(&ruleset, config, None, StandingFlows::Recheck).unwrap();
        let (by_text, by_json) = (Netns::new(), Netns::new());
        for transaction in [&planned.create, &planned.switch] {
            by_text.load(&transaction.to_string());
            nft(&by_json).apply(transaction).unwrap();
        }
        let list = ["nft", "list", "ruleset"];
        assert_eq!(by_text.run(&list), by_json.run(&list));
        assert_eq!(drift(&ruleset, &in_force(&nft(&by_json), config)), []);
        Netns::new().load(&ruleset.to_string());
    }
}

#[test]
fn loads_replace_each_other_and_touch_no_other_table() {
    let netns = Netns::new();
    netns.load(
        "table inet filter { set s { type ipv4_addr; elements = { 10.0.0.1 }; }; chain c { }; }",
    );
    netns.load("table ip nopal { chain mine { }; }");
    let foreign = |netns: &Netns| {
        netns.run(&["nft", "list", "table", "inet", "filter"])
            + &netns.run(&["nft", "list", "table", "ip", "nopal"])
    };
    let (before, mut kernel, config) = (foreign(&netns), nft(&netns), Config::default());
    for classes in [sample(), every_grant(), Classes::default(), sample()] {
        let ruleset = lay_out(&config, &classes).unwrap();
        let loaded = load(&mut kernel, &ruleset, &config, StandingFlows::Recheck).unwrap();
        let in_force = in_force(&kernel, &config);
        assert_eq!(drift(&ruleset, &in_force), []);
        assert_eq!(in_force.epoch(), Some(loaded.epoch));
        assert_eq!(in_force.digest(), Some(ruleset.digest()));
        assert_eq!(
            in_force.generation(),
            Some((MarkBits::DEFAULT, loaded.generation.unwrap()))
        );
    }
    assert_eq!(foreign(&netns), before);
}

#[test]
fn a_load_clears_up_leftovers_and_what_strangers_put_into_our_table() {
    let (netns, config) = (Netns::new(), Config::default());
    let (mut kernel, ruleset) = (nft(&netns), lay_out(&config, &sample()).unwrap());
    load(&mut kernel, &ruleset, &config, StandingFlows::Recheck).unwrap();
    let half = plan(
        &ruleset,
        &config,
        Some(&in_force(&kernel, &config)),
        StandingFlows::Recheck,
    );
    kernel.apply(&half.unwrap().create).unwrap();
    netns.load("table inet nopal { set s { type mark; elements = { 1 } }; counter k { }; }");
    netns.load("table inet nopal { chain c { meta mark @s jump stamp_e1; counter name k; }; }");
    load(&mut kernel, &ruleset, &config, StandingFlows::Recheck).unwrap();
    assert_eq!(drift(&ruleset, &in_force(&kernel, &config)), []);
}

#[test]
fn checking_changes_nothing() {
    let (netns, config) = (Netns::new(), Config::default());
    let kernel = nft(&netns);
    let ruleset = lay_out(&config, &sample()).unwrap();
    let planned = plan(&ruleset, &config, None, StandingFlows::Recheck).unwrap();
    kernel.check(&planned.create).unwrap();
    assert_eq!(netns.run(&["nft", "list", "ruleset"]), "");
    let error = kernel.check(&planned.switch).unwrap_err();
    assert!(matches!(error, ApplyError::Refused { .. }), "{error}");
}

#[test]
fn drift_names_what_somebody_changed_by_hand() {
    let (netns, config) = (Netns::new(), Config::default());
    let (mut kernel, ruleset) = (nft(&netns), lay_out(&config, &sample()).unwrap());
    load(&mut kernel, &ruleset, &config, StandingFlows::Recheck).unwrap();
    for command in [
        "delete element inet nopal i_db_h4_e1 { 10.1.0.2 . tcp . 5432 }",
        "add element inet nopal e_web_any_e1 { tcp . 22 }",
        "delete element inet nopal eg4_e1 { 10.1.0.2 : goto e_web_e1 }",
        "add rule inet nopal stamp_e1 accept",
        "add element inet nopal generation_e1 { 0 }",
        "add chain inet nopal strange",
    ] {
        netns.run(&["nft", command]);
    }
    let found = drift(&ruleset, &in_force(&kernel, &config));
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "chain strange is not ours",
            "set e_web_any_e1 has tcp . 22 too many",
            "set generation_e1 has 0x00000000 too many",
            "set i_db_h4_e1 lacks 10.1.0.2 . tcp . 5432",
            "map eg4_e1 lacks 10.1.0.2 : goto e_web_e1",
            "chain stamp_e1 has 4 rules in place of 3 rules",
        ]
    );
}

#[test]
fn elements_and_entries_can_be_deleted_and_sets_flushed() {
    let (netns, config) = (Netns::new(), Config::default());
    let (mut kernel, ruleset) = (nft(&netns), lay_out(&config, &sample()).unwrap());
    load(&mut kernel, &ruleset, &config, StandingFlows::Recheck).unwrap();
    let name = |text| Name::new(text).unwrap();
    let mut transaction = Transaction::new(config.table.clone());
    transaction.delete(Target::Elements {
        set: name("e_web_any_e1"),
        elements: [Element::Port(port(Protocol::Tcp, 53))].into(),
    });
    transaction.delete(Target::Entries {
        map: name("eg4_e1"),
        entries: [(ip("10.1.0.2"), name("e_web_e1"))].into(),
    });
    transaction
        .commands
        .push(nft_backend::transaction::Command::FlushSet(name(
            "i_db_h4_e1",
        )));
    transaction
        .commands
        .push(nft_backend::transaction::Command::FlushMap(name("in4_e1")));
    let by_text = Netns::new();
    let fresh = plan(&ruleset, &config, None, StandingFlows::Recheck).unwrap();
    for text in [&fresh.create, &fresh.switch, &transaction] {
        by_text.load(&text.to_string());
    }
    kernel.apply(&transaction).unwrap();
    assert_eq!(
        in_force(&kernel, &config),
        in_force(&nft(&by_text), &config)
    );
    assert_eq!(
        drift(&ruleset, &in_force(&kernel, &config)).len(),
        1 + 1 + 2 + 2
    );
}

#[test]
fn a_refused_transaction_changes_nothing_and_says_why() {
    for way in Way::ALL {
        let netns = Netns::new();
        let mut transaction = Transaction::new(Config::default().table);
        transaction.add(Object::Table);
        transaction.delete(Target::Chain(Name::new("not_there").unwrap()));
        let error = way.kernel(nft(&netns)).apply(&transaction).unwrap_err();
        let ApplyError::Refused { stderr } = &error else {
            panic!("{error}")
        };
        assert!(stderr.contains("No such file or directory"), "{stderr}");
        assert!(
            stderr.contains("not_there") || matches!(way, Way::Nft),
            "{stderr}"
        );
        assert_eq!(netns.run(&["nft", "list", "ruleset"]), "");
    }
}

#[test]
fn a_table_that_is_not_there_is_none() {
    let (netns, table) = (Netns::new(), Config::default().table);
    assert_eq!(nft(&netns).list(&table), Ok(None));
    assert_eq!(nft(&netns).counted(&table), Ok(None));
}

#[test]
fn a_namespace_or_a_program_that_is_not_there_is_named() {
    let table = Config::default().table;
    let error = Nft::new()
        .in_namespace("nopal-none")
        .list(&table)
        .unwrap_err();
    assert_eq!(
        error,
        ApplyError::NoNamespace {
            path: "/run/netns/nopal-none".into()
        }
    );
    let netns = Netns::new();
    let outside = Nft::new().with_program("/nowhere/nft");
    for kernel in [outside.clone(), outside.in_namespace(netns.path())] {
        let error = kernel.list(&table).unwrap_err();
        let ApplyError::NftMissing { program, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(program, Path::new("/nowhere/nft"));
    }
}

/// A program in a folder of its own that stands in for nft.
fn stub(script: &str) -> (tempfile::TempDir, Nft) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nft");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let kernel = Nft::new().with_program(path);
    (folder, kernel)
}

#[test]
fn nft_that_hangs_is_stopped_with_its_children() {
    let (_folder, kernel) = stub("sleep 60");
    let limit = Duration::from_millis(200);
    let start = Instant::now();
    let error = kernel
        .with_limit(limit)
        .list(&Config::default().table)
        .unwrap_err();
    assert_eq!(error, ApplyError::TimedOut { limit });
    assert!(start.elapsed() < patient(Duration::from_secs(10)));
}

#[test]
fn an_old_nft_is_found_out() {
    let (_folder, kernel) = stub("echo 'nftables v0.9.3 (Topsy)'");
    let error = kernel.version().unwrap_err();
    assert_eq!(
        error.to_string(),
        "nft 0.9.3 is too old; install nftables 1.0.6 or later"
    );
    assert!(Nft::new().version().is_ok());
}

#[test]
fn without_root_it_is_not_permitted() {
    let run_as_nobody = "exec setpriv --reuid 65534 --regid 65534 --clear-groups nft \"$@\"";
    let (_folder, mut kernel) = stub(run_as_nobody);
    let mut transaction = Transaction::new(Config::default().table);
    transaction.add(Object::Table);
    for error in [
        kernel.check(&transaction).unwrap_err(),
        kernel.apply(&transaction).unwrap_err(),
    ] {
        assert!(
            matches!(error, ApplyError::NotPermitted { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn clearing_marks_leaves_other_bits_and_the_flows_alone() {
    let netns = Netns::new();
    let insert = |from: &str, to: &str, sport: &str, mark: &str| {
        let (flow, state) = (
            ["-s", from, "-d", to, "-p", "udp"],
            ["-t", "600", "-m", mark],
        );
        let ports = ["--sport", sport, "--dport", "80"];
        netns.run(&[&["conntrack", "-I"][..], &flow, &ports, &state].concat());
    };
    for number in 1..200 {
        let (sport, mark) = (number.to_string(), format!("{:#x}", number << 24 | 5));
        insert("10.0.0.1", "10.0.0.2", &sport, &mark);
    }
    insert("fd00::1", "fd00::2", "1000", "0x02000006");
    insert("10.0.0.1", "10.0.0.2", "1000", "0x7");
    nft(&netns).clear_marks(MarkBits::DEFAULT).unwrap();
    let mut marks: Vec<String> = Vec::new();
    for family in ["ipv4", "ipv6"] {
        let listed = netns.run(&["conntrack", "-L", "-f", family]);
        let words = listed
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("mark="));
        marks.extend(words.map(str::to_owned));
    }
    marks.sort();
    assert_eq!(marks, [vec!["5"; 199], vec!["6", "7"]].concat());
    nft(&Netns::new()).clear_marks(MarkBits::DEFAULT).unwrap();
}

#[test]
fn a_hundred_thousand_elements_pass() {
    let set = Name::new("s_large").unwrap();
    let elements = (0..100_000_u32).map(|number| {
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number);
        Element::Address(AddressRange::single(address.into()))
    });
    let elements: BTreeSet<Element> = elements.collect();
    let mut transaction = Transaction::new(Config::default().table);
    transaction.add(Object::Table);
    let (name, key) = (set.clone(), Key::Address(Family::V4));
    transaction.create(Object::Set {
        name,
        key,
        interval: false,
    });
    transaction.add(Object::Elements {
        set: set.clone(),
        elements: elements.clone(),
    });
    for way in Way::ALL {
        let netns = Netns::new();
        let mut kernel = way.kernel(nft(&netns));
        kernel.apply(&transaction).unwrap();
        let listed = || {
            kernel.list(&transaction.table).unwrap().unwrap().sets[&set]
                .elements
                .clone()
        };
        let patience = Instant::now() + patient(Duration::from_secs(20));
        while listed() != elements {
            assert!(
                Instant::now() < patience,
                "{way:?}: {} elements in place of 100,000",
                listed().len()
            );
        }
    }
}

#[test]
fn the_kernel_and_the_fake_one_agree_on_what_is_refused() {
    let chain = |number: usize| Name::new(&format!("c_{number}")).unwrap();
    let deep = |depth: usize| {
        let mut t = Transaction::new(Config::default().table);
        t.add(Object::Table);
        for number in 0..=depth {
            t.add(Object::Chain {
                name: chain(number),
                priority: (number == 0).then_some(0),
            });
        }
        for number in 0..depth {
            let jump = nft_backend::vocabulary::jump(&chain(number + 1));
            let rule = nft_backend::statement::Rule::new([jump]);
            t.add(Object::Rule {
                chain: chain(number),
                rule,
            });
        }
        t
    };
    let set = Name::new("s_ranges").unwrap();
    let with_ranges = |ranges: &[AddressRange]| {
        let mut t = Transaction::new(Config::default().table);
        t.add(Object::Table);
        let key = Key::Address(Family::V4);
        t.add(Object::Set {
            name: set.clone(),
            key,
            interval: true,
        });
        let elements = ranges.iter().copied().map(Element::Address).collect();
        t.add(Object::Elements {
            set: set.clone(),
            elements,
        });
        t
    };
    let [a, b] = [
        range("10.0.0.0", "10.0.0.9"),
        range("10.0.0.5", "10.0.0.20"),
    ];
    for (transaction, is_fine) in [
        (deep(15), true),
        (deep(16), false),
        (with_ranges(&[a, range("10.0.0.10", "10.0.0.20")]), true),
        (with_ranges(&[a, b]), false),
    ] {
        for way in Way::ALL {
            let netns = Netns::new();
            let applied = way.kernel(nft(&netns)).apply(&transaction);
            assert_eq!(applied.is_ok(), is_fine, "{way:?}\n{transaction}");
        }
        let mut fake = nft_backend::fake::FakeKernel::new();
        assert_eq!(fake.apply(&transaction).is_ok(), is_fine, "{transaction}");
    }
}

#[test]
fn an_empty_ruleset_protects_nobody_and_loads() {
    let (netns, config) = (Netns::new(), Config::for_table("nopal_test").unwrap());
    let ruleset: Ruleset = lay_out(&config, &Classes::default()).unwrap();
    let mut kernel = nft(&netns);
    load(&mut kernel, &ruleset, &config, StandingFlows::Recheck).unwrap();
    assert_eq!(drift(&ruleset, &in_force(&kernel, &config)), []);
}
