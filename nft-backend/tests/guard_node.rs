//! The guard of a node's table, beside a fake kernel: whatever is changed by events, by strangers and by failures comes
//! to the ruleset of the node.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::events::{arrivals, way};
use common::shared::Shared;
use common::watched::{Watched, trials};
use nft_backend::config::Config;
use nft_backend::drift::drift;
use nft_backend::element::Element;
use nft_backend::generation::MarkBits;
use nft_backend::guard::{Guard, GuardError, Handled};
use nft_backend::in_force::InForce;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::live::{Update, UpdateError};
use nft_backend::names::{BASE, Name};
use nft_backend::node::Node;
use nft_backend::render::render;
use nft_backend::ruleset::Ruleset;
use nft_backend::statement::Rule;
use nft_backend::transaction::{Object, Target, Transaction};
use nft_backend::vocabulary::accept;
use policy_core::incremental::{Changes, Engine, Event};
use policy_core::testing::{Rng, Size, random_cluster, random_flows};

type Fake = Shared<Watched>;

/// A random cluster whose node has isolated pods.
const SEED: u64 = 3;
const RUNS: [(Size, u64); 2] = [(Size::SMALL, 20), (Size::MEDIUM, 2)];
/// What is to be repaired in a test: each may take two of the repairs that are made at once.
const MOST_BLOWS: usize = 5;

/// Two bits, so that generations come round soon.
fn config() -> Config {
    Config {
        marks: Some(MarkBits::from_mask(0x3).unwrap()),
        ..Config::default()
    }
}

/// A node's table that is guarded.
struct Guarded {
    engine: Engine,
    kernel: Fake,
    guard: Guard<Fake, Fake, Node>,
}

impl Guarded {
    fn new(name: &str) -> Self {
        let kernel = Fake::default();
        let guard = Guard::of_node(kernel.clone(), kernel.clone(), config());
        Self {
            engine: Engine::new(name),
            kernel,
            guard: guard.unwrap(),
        }
    }

    fn take(&mut self, events: impl IntoIterator<Item = Event>) -> Result<Update, GuardError> {
        let changes = self.engine.apply(events);
        self.guard.update_by(&changes)
    }

    /// Makes the `nth` transaction from now fail.
    fn fail(&mut self, nth: usize) {
        let stderr = "on demand".to_owned();
        let refused = ApplyError::Refused { stderr };
        self.kernel.kernel.borrow_mut().fail(nth, refused);
    }

    fn desired(&self) -> Ruleset {
        self.guard.desired().ruleset().unwrap()
    }

    fn in_force(&self) -> InForce {
        self.kernel.list(&config().table).unwrap().unwrap()
    }

    #[track_caller]
    fn assert_right(&self, context: &str) {
        let in_force = self.in_force();
        assert_eq!(drift(&self.desired(), &in_force), [], "{context}");
        let digest = self.guard.desired().digest();
        assert_eq!(in_force.digest(), Some(digest), "{context}");
        let known = self.guard.contents().map(Ruleset::without_comments);
        let kernel = self.kernel.kernel.borrow();
        let table = kernel.table(&config().table);
        assert!(known == table.map(Ruleset::without_comments), "{context}");
    }
}

/// A node with its pods and policies in force, and the events that lead on to another cluster.
fn begun() -> (Guarded, Vec<Event>) {
    let objects = [0, 1000, 2000].map(|base| random_cluster(base + SEED, Size::MEDIUM));
    let [from, to, detour] = objects.map(|objects| objects.cluster());
    let mut guarded = Guarded::new("node-a");
    assert_eq!(guarded.take(arrivals(&from)).unwrap(), Update::Load);
    guarded.assert_right("begun");
    (guarded, way(&from, &to, &detour, &mut Rng::new(SEED)))
}

#[test]
fn after_the_first_load_changes_are_made_by_what_differs() {
    let (mut guarded, events) = begun();
    let mut made = 0;
    for event in events {
        let context = format!("{event:?}");
        let before = guarded.kernel.kernel.borrow().applied().len();
        let update = guarded.take([event]).unwrap();
        let after = guarded.kernel.kernel.borrow().applied().len();
        assert_ne!(update, Update::Load, "{context}");
        assert_eq!(update == Update::Nothing, before == after, "{context}");
        made += usize::from(update != Update::Nothing);
        guarded.assert_right(&context);
    }
    assert!(made > 10);
}

#[test]
fn a_table_that_was_never_ours_is_not_repaired() {
    let mut guarded = Guarded::new("node-a");
    guarded.kernel.lose();
    assert_eq!(guarded.guard.verify().unwrap(), Handled::Quiet);
    assert_eq!(guarded.kernel.list(&config().table).unwrap(), None);
    let mut strange = Transaction::new(config().table);
    strange.add(Object::Table);
    strange.create(Object::Chain {
        name: Name::table("nopal_theirs").unwrap(),
        priority: None,
    });
    guarded.kernel.meddle(&strange).unwrap();
    let before = guarded.in_force();
    for _ in 0..2 {
        let refused = guarded.take([]);
        assert!(matches!(
            refused,
            Err(GuardError::Update(UpdateError::Load(_)))
        ));
        assert_eq!(guarded.in_force(), before);
        assert_eq!(guarded.guard.due(), None);
    }
}

#[test]
fn a_table_that_was_deleted_between_two_changes_is_made_again_with_the_second() {
    let (mut guarded, events) = begun();
    for event in events.into_iter().take(3) {
        guarded.kernel.delete_table(&config().table);
        guarded.take([event]).unwrap();
        guarded.assert_right("with a change");
        guarded.kernel.delete_table(&config().table);
        let handled = guarded.guard.handle().unwrap();
        assert!(matches!(handled, Handled::Repaired(_)), "{handled:?}");
        guarded.assert_right("with a look");
        guarded.kernel.lose();
        assert_eq!(guarded.guard.handle().unwrap(), Handled::Intact);
    }
    assert_eq!(guarded.guard.repairs(), 6);
}

#[test]
fn what_failed_comes_with_the_next_look_or_the_next_change() {
    let (mut guarded, events) = begun();
    let (mut failed, mut events) = (0, events.into_iter());
    while let Some(event) = events.next() {
        if failed == MOST_BLOWS {
            break;
        }
        guarded.fail(1);
        if guarded.take([event]).is_ok() {
            guarded.kernel.kernel.borrow_mut().fail_no_more();
            continue;
        }
        failed += 1;
        assert!(guarded.guard.due().is_some());
        if failed % 2 == 0 {
            let handled = guarded.guard.handle().unwrap();
            assert!(matches!(handled, Handled::Updated(_)), "{handled:?}");
        } else if failed % 4 == 1 {
            let update = guarded.guard.update_by(&Changes::default()).unwrap();
            assert_ne!(update, Update::Nothing, "an update that is made up for");
        } else {
            guarded.take(events.next()).unwrap();
        }
        guarded.assert_right("after a failure");
        assert_eq!(guarded.guard.due(), None);
    }
    assert_eq!((failed, guarded.guard.repairs()), (MOST_BLOWS, 0));
}

#[test]
fn the_first_load_may_fail_and_is_made_with_the_next_change() {
    // Nothing of an older load is to be deleted.
    for nth in 1..=2 {
        let cluster = random_cluster(SEED, Size::MEDIUM).cluster();
        let mut guarded = Guarded::new("node-a");
        guarded.fail(nth);
        assert!(guarded.take(arrivals(&cluster)).is_err(), "{nth}");
        assert_eq!(guarded.take([]).unwrap(), Update::Load);
        guarded.assert_right("at last");
    }
}

/// What a stranger does at random.
fn strike(kernel: &mut Fake, rng: &mut Rng) {
    let table = config().table;
    let mut transaction = Transaction::new(table.clone());
    let Some(in_force) = kernel.list(&table).unwrap() else {
        return;
    };
    let sets: Vec<_> = in_force.sets.iter().collect();
    let maps: Vec<_> = in_force.maps.iter().collect();
    match rng.below(6) {
        0 => transaction.delete(Target::Table),
        1 => {
            let (set, listed) = *rng.pick(&sets);
            let half = listed.elements.iter().filter(|_| rng.chance(50)).copied();
            let (set, elements) = (set.clone(), half.collect());
            transaction.delete(Target::Elements { set, elements });
        }
        2 | 3 => {
            // Elements of another set, which open what that one is about.
            let ((set, listed), (_, other)) = (*rng.pick(&sets), *rng.pick(&sets));
            let is_other = |element: &&Element| {
                listed.types == other.types && !listed.elements.contains(element)
            };
            let elements = other.elements.iter().filter(is_other).copied().collect();
            let set = set.clone();
            transaction.add(Object::Elements { set, elements });
        }
        4 => {
            let (map, listed) = *rng.pick(&maps);
            let half = listed.entries.iter().filter(|_| rng.chance(50));
            let half = half.map(|(address, chain)| (*address, chain.clone()));
            let (map, entries) = (map.clone(), half.collect());
            transaction.delete(Target::Entries { map, entries });
        }
        _ => transaction.add(Object::Rule {
            chain: Name::table(BASE).unwrap(),
            rule: Rule::new([accept()]),
        }),
    }
    // What the kernel refuses has not happened.
    let _ = kernel.meddle(&transaction);
}

#[test]
fn events_strangers_and_failures_in_any_order_end_in_the_rules_of_the_node() {
    for (size, seeds) in RUNS {
        for seed in 0..seeds {
            let objects = [0, 1000, 2000].map(|base| random_cluster(base + seed, size));
            let mut flows = random_flows(&objects[0], seed, 40);
            flows.extend(random_flows(&objects[1], seed, 40));
            let [from, to, detour] = objects.map(|objects| objects.cluster());
            let mut rng = Rng::new(seed);
            let name = *rng.pick(&["node-a", "node-b"]);
            let mut guarded = Guarded::new(name);
            guarded.take(arrivals(&from)).unwrap();
            let events = way(&from, &to, &detour, &mut rng);
            let (mut rest, mut blows) = (events.as_slice(), 0);
            while !rest.is_empty() {
                let (batch, others) = rest.split_at((1 + rng.below(4)).min(rest.len()));
                rest = others;
                let context = format!("seed {seed}, {} left, {blows} blows", rest.len());
                let before = guarded.desired();
                let changes = guarded.engine.apply(batch.iter().cloned());
                let is_struck = blows < MOST_BLOWS && rng.chance(20);
                if is_struck {
                    blows += 1;
                    guarded
                        .kernel
                        .kernel
                        .borrow_mut()
                        .watch(&[], &before, &before);
                    strike(&mut guarded.kernel, &mut rng);
                    if rng.chance(50) {
                        guarded.fail(1 + rng.below(3));
                    }
                } else {
                    let after = render(&guarded.engine.graph(), name, &config()).unwrap();
                    let trials = trials(&flows);
                    guarded
                        .kernel
                        .kernel
                        .borrow_mut()
                        .watch(&trials, &before, &after);
                }
                let updated = guarded.guard.update_by(&changes);
                assert!(is_struck || updated.is_ok(), "{context}: {updated:?}");
                guarded.kernel.kernel.borrow_mut().fail_no_more();
                if is_struck {
                    guarded.guard.handle().unwrap();
                }
                guarded.assert_right(&context);
            }
            assert!(guarded.guard.due().is_none());
        }
    }
}
