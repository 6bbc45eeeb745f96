//! Full loads into the fake kernel: what is in force after each, and after each failure.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::sample;
use nft_backend::config::Config;
use nft_backend::drift::drift;
use nft_backend::fake::FakeKernel;
use nft_backend::generation::MarkBits;
use nft_backend::in_force::{InForce, ListedChain};
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::layout::lay_out;
use nft_backend::load::{LoadError, Loaded, StandingFlows, Step, load, plan};
use nft_backend::names::Name;
use nft_backend::ruleset::Ruleset;
use nft_backend::transaction::{Command, Object, Target, Transaction};

fn ruleset(config: &Config) -> Ruleset {
    lay_out(config, &sample()).unwrap()
}

fn reload(kernel: &mut FakeKernel, config: &Config) -> Result<Loaded, LoadError> {
    load(kernel, &ruleset(config), config, StandingFlows::Recheck)
}

fn refused() -> ApplyError {
    ApplyError::Refused {
        stderr: "on demand".to_owned(),
    }
}

fn narrow() -> Config {
    Config {
        marks: Some(MarkBits::from_mask(0x3000_0000).unwrap()),
        ..Config::default()
    }
}

#[test]
fn a_load_leaves_exactly_the_ruleset_in_force() {
    let (mut kernel, config) = (FakeKernel::new(), Config::default());
    for number in 1..4 {
        let loaded = reload(&mut kernel, &config).unwrap();
        assert_eq!(loaded.epoch.to_string(), number.to_string());
        assert_eq!(loaded.generation.unwrap().to_string(), number.to_string());
        let in_force = kernel.list(&config.table).unwrap().unwrap();
        assert_eq!(in_force.epoch(), Some(loaded.epoch));
        assert_eq!(in_force.generation().unwrap().1, loaded.generation.unwrap());
        assert_eq!(in_force.digest(), Some(ruleset(&config).digest()));
        assert_eq!(drift(&ruleset(&config), &in_force), []);
    }
}

#[test]
fn standing_flows_that_are_kept_keep_their_generation() {
    let (mut kernel, config) = (FakeKernel::new(), Config::default());
    let first = reload(&mut kernel, &config).unwrap();
    let kept = load(&mut kernel, &ruleset(&config), &config, StandingFlows::Keep).unwrap();
    assert_eq!(kept.generation, first.generation);
    assert_ne!(kept.epoch, first.epoch);
}

/// A packet that is held up between its way to a map and the lookup would find a deleted one empty.
#[test]
fn what_leads_packets_is_deleted_when_those_on_their_way_to_it_are_through() {
    let (mut kernel, config) = (FakeKernel::new(), Config::default());
    reload(&mut kernel, &config).unwrap();
    assert_eq!(kernel.waits(), [0; 0]);
    for _ in 0..2 {
        reload(&mut kernel, &config).unwrap();
    }
    let deletions = kernel.applied().iter().enumerate();
    let deletions = deletions.filter(|(_, transaction)| transaction.deletes_maps());
    let deletions: Vec<usize> = deletions.map(|(index, _)| index).collect();
    assert_eq!(deletions.len(), 2);
    assert_eq!(kernel.waits(), deletions);
}

/// The rule that keeps packets from leaking through a half-made table.
#[test]
fn no_transaction_makes_an_object_and_uses_it() {
    let (mut kernel, config) = (FakeKernel::new(), Config::default());
    for _ in 0..2 {
        let in_force = kernel.list(&config.table).unwrap();
        let load_ = plan(
            &ruleset(&config),
            &config,
            in_force.as_ref(),
            StandingFlows::Recheck,
        );
        let planned = load_.unwrap();
        let base = Name::new("nopal_forward").unwrap();
        for command in &planned.create.commands {
            match command {
                Command::Add(Object::Table | Object::Counter(_)) => {}
                Command::Add(Object::Rule { chain, .. }) => assert!(*chain != base),
                Command::Add(
                    Object::Elements { set: name, .. } | Object::Entries { map: name, .. },
                )
                | Command::Create(
                    Object::Set { name, .. }
                    | Object::Map { name, .. }
                    | Object::Chain { name, .. },
                ) => assert_eq!(name.epoch(), Some(planned.epoch), "{command:?}"),
                other => panic!("{other:?} changes what is in force"),
            }
        }
        for command in &planned.switch.commands {
            let is_base = match command {
                Command::FlushChain(chain)
                | Command::Create(Object::Chain { name: chain, .. })
                | Command::Add(Object::Rule { chain, .. }) => *chain == base,
                _ => false,
            };
            assert!(is_base, "{command:?}");
        }
        let deletes_base = Command::Delete(Target::Chain(base));
        assert!(!planned.delete.commands.contains(&deletes_base));
        reload(&mut kernel, &config).unwrap();
    }
}

#[test]
fn until_the_switch_a_failure_leaves_the_old_ruleset_in_force() {
    for (nth, step) in [(1, Step::Create), (2, Step::Switch)] {
        let (mut kernel, config) = (FakeKernel::new(), Config::default());
        let before = reload(&mut kernel, &config).unwrap();
        kernel.fail(nth, refused());
        let error = reload(&mut kernel, &config).unwrap_err();
        assert_eq!(
            error,
            LoadError::Step {
                step,
                source: refused()
            }
        );
        let in_force = kernel.list(&config.table).unwrap().unwrap();
        assert_eq!(in_force.epoch(), Some(before.epoch));
        assert_eq!(
            in_force.generation().map(|(_, generation)| generation),
            before.generation
        );
    }
}

#[test]
fn a_load_that_cannot_clear_the_marks_leaves_the_old_ruleset_in_force() {
    let (mut kernel, config) = (FakeKernel::new(), narrow());
    let mut failed = 0;
    for _ in 0..7 {
        let in_force = |kernel: &FakeKernel| {
            let in_force = kernel.list(&config.table).unwrap();
            in_force.map(|in_force| (in_force.epoch(), in_force.generation()))
        };
        let (before, cleared) = (in_force(&kernel), kernel.cleared().len());
        kernel.fail_to_clear(refused());
        if let Err(error) = reload(&mut kernel, &config) {
            let (step, source) = (Step::ClearMarks, refused());
            assert_eq!(error, LoadError::Step { step, source });
            let nothing_leads_to_it = (None, None);
            assert_eq!(in_force(&kernel), before.or(Some(nothing_leads_to_it)));
            reload(&mut kernel, &config).unwrap();
            assert_eq!(kernel.cleared().len(), cleared + 1);
            failed += 1;
        }
        kernel.fail_no_more();
    }
    assert!(failed > 2, "{failed}");
}

#[test]
fn the_next_load_clears_up_after_one_that_failed() {
    for nth in 1..=3 {
        let (mut kernel, config) = (FakeKernel::new(), Config::default());
        reload(&mut kernel, &config).unwrap();
        kernel.fail(nth, refused());
        reload(&mut kernel, &config).unwrap_err();
        reload(&mut kernel, &config).unwrap();
        let in_force = kernel.list(&config.table).unwrap().unwrap();
        assert_eq!(
            drift(&ruleset(&config), &in_force),
            [],
            "after a failure of apply {nth}"
        );
    }
}

#[test]
fn marks_are_cleared_at_first_and_whenever_the_numbers_change_their_era() {
    let (mut kernel, config) = (FakeKernel::new(), narrow());
    let mut history = Vec::new();
    for _ in 0..7 {
        let before = kernel.cleared().len();
        let loaded = reload(&mut kernel, &config).unwrap();
        let cleared = if kernel.cleared().len() > before {
            "cleared "
        } else {
            ""
        };
        history.push(format!("{cleared}{}", loaded.generation.unwrap()));
    }
    assert_eq!(
        history,
        [
            "cleared 1",
            "cleared 2",
            "3",
            "cleared 1",
            "cleared 2",
            "3",
            "cleared 1"
        ]
    );
}

#[test]
fn without_marks_nothing_is_ever_cleared() {
    let (mut kernel, config) = (
        FakeKernel::new(),
        Config {
            marks: None,
            ..Config::default()
        },
    );
    assert_eq!(reload(&mut kernel, &config).unwrap().generation, None);
    assert_eq!(kernel.cleared(), []);
    let in_force = kernel.list(&config.table).unwrap().unwrap();
    assert_eq!(drift(&ruleset(&config), &in_force), []);
}

/// The former bits are cleared too, since rules that are in force until the switch must not read half of a number. Where
/// the bits overlap, flows are stamped meanwhile with what the new bits read as some number.
#[test]
fn other_mark_bits_begin_behind_the_number_that_the_former_ones_still_write() {
    for (former, loads, new, generation) in [
        (0xff00_0000, 5, 0x0f, "1"),
        (0xff00_0000, 5, 0x0f00_0000, "6"),
        (0xff00_0000, 16, 0x0f00_0000, "1"),
        (0xff00_0000, 16, 0xf000_0000, "2"),
        (0x0300_0000, 3, 0x0f00_0000, "4"),
        (0x0f00_0000, 3, 0x0300_0000, "1"),
    ] {
        let with = |mask| Config {
            marks: Some(MarkBits::from_mask(mask).unwrap()),
            ..Config::default()
        };
        let mut kernel = FakeKernel::new();
        for _ in 0..loads {
            reload(&mut kernel, &with(former)).unwrap();
        }
        let loaded = reload(&mut kernel, &with(new)).unwrap();
        assert_eq!(
            loaded.generation.unwrap().to_string(),
            generation,
            "{new:#x}"
        );
        let cleared = kernel.cleared().last().unwrap();
        assert_eq!(cleared.mask(), former | new);
        let in_force = kernel.list(&with(new).table).unwrap().unwrap();
        assert_eq!(drift(&ruleset(&with(new)), &in_force), []);
    }
}

#[test]
fn another_priority_needs_a_fresh_table() {
    let mut kernel = FakeKernel::new();
    reload(&mut kernel, &Config::default()).unwrap();
    let elsewhere = Config {
        priority: 10,
        ..Config::default()
    };
    let error = reload(&mut kernel, &elsewhere).unwrap_err();
    assert!(
        matches!(error, LoadError::BaseChainElsewhere { .. }),
        "{error}"
    );
    let mut drop_table = Transaction::new(Config::default().table);
    drop_table.delete(Target::Table);
    kernel.apply(&drop_table).unwrap();
    reload(&mut kernel, &elsewhere).unwrap();
}

/// Before there was a chain for it, the last rule of `stamp` wrote the generation and told it.
#[test]
fn the_generation_of_an_older_layout_is_counted_on() {
    let config = Config::default();
    let mut found = InForce::default();
    let comment = |text: &str| Some(text.to_owned());
    let base = ListedChain {
        hook: Some(("forward".to_owned(), config.priority)),
        rules: vec![comment("epoch 3"), None],
        ..ListedChain::default()
    };
    let stamp = ListedChain {
        rules: vec![None, comment("generation 5 mask 0xff000000")],
        ..ListedChain::default()
    };
    for (name, chain) in [("nopal_forward", base), ("stamp_e3", stamp)] {
        found.chains.insert(Name::new(name).unwrap(), chain);
    }
    let generation = |found: &InForce| found.generation().map(|(_, number)| number.to_string());
    assert_eq!(generation(&found).as_deref(), Some("5"));
    let load = plan(
        &ruleset(&config),
        &config,
        Some(&found),
        StandingFlows::Recheck,
    )
    .unwrap();
    assert_eq!(load.epoch.to_string(), "4");
    assert_eq!(
        load.generation.map(|number| number.to_string()).as_deref(),
        Some("6")
    );
    assert_eq!(load.clear_marks, None);
}
