//! The guard beside a fake kernel: which changes it repairs, how, and how often.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::time::{Duration, Instant};

use common::sample;
use common::shared::Shared;
use nft_backend::config::Config;
use nft_backend::drift::drift;
use nft_backend::fake::FakeKernel;
use nft_backend::guard::{Guard, GuardError, Handled};
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::layout::lay_out;
use nft_backend::live::Update;
use nft_backend::names::Name;
use nft_backend::pace::{BURST, INTERVAL};
use nft_backend::ruleset::Ruleset;

type Fake = Shared<FakeKernel>;

fn table() -> Name {
    Config::default().table
}

fn desired() -> Ruleset {
    lay_out(&Config::default(), &sample()).unwrap()
}

fn guarded() -> (Fake, Guard<Fake, Fake>) {
    let kernel = Fake::default();
    let mut guard = Guard::new(kernel.clone(), kernel.clone(), Config::default());
    assert_eq!(guard.update(desired()).unwrap(), Update::Load);
    (kernel, guard)
}

fn assert_right(kernel: &Fake) {
    let in_force = kernel.list(&table()).unwrap().unwrap();
    assert_eq!(drift(&desired(), &in_force), []);
}

fn update_of(handled: &Handled) -> Update {
    match handled {
        Handled::Repaired(repair) => repair.update,
        other => panic!("{other:?}"),
    }
}

fn refused() -> ApplyError {
    ApplyError::Refused {
        stderr: "on demand".to_owned(),
    }
}

#[test]
fn what_is_lost_is_compared_and_repaired_by_what_differs() {
    let (mut kernel, mut guard) = guarded();
    assert_eq!(guard.handle().unwrap(), Handled::Quiet);
    kernel.lose();
    assert_eq!(guard.handle().unwrap(), Handled::Intact);
    kernel.delete_elements(&table());
    assert_eq!(update_of(&guard.handle().unwrap()), Update::Increment);
    kernel.delete_table(&table());
    assert_eq!(update_of(&guard.handle().unwrap()), Update::Load);
    assert_right(&kernel);
    assert_eq!(guard.repairs(), 2);
}

#[test]
fn a_table_that_was_never_ours_is_not_repaired() {
    let kernel = Fake::default();
    let mut guard = Guard::new(kernel.clone(), kernel.clone(), Config::default());
    kernel.lose();
    assert_eq!(guard.verify().unwrap(), Handled::Quiet);
    assert_eq!(kernel.list(&table()).unwrap(), None);
}

#[test]
fn a_repair_that_fails_is_tried_again() {
    for nth in 1..=2 {
        let (mut kernel, mut guard) = guarded();
        kernel.delete_table(&table());
        kernel.kernel.borrow_mut().fail(nth, refused());
        assert!(matches!(guard.handle(), Err(GuardError::Update(_))));
        assert!(guard.due().is_some_and(|due| due <= Instant::now()));
        assert_eq!(update_of(&guard.handle().unwrap()), Update::Load);
        assert_right(&kernel);
        assert_eq!(guard.due(), None);
    }
}

#[test]
fn an_update_that_fails_is_made_later() {
    let (kernel, mut guard) = guarded();
    let other = lay_out(&Config::default(), &<_>::default()).unwrap();
    kernel.kernel.borrow_mut().fail(1, refused());
    assert!(guard.update(other.clone()).is_err());
    assert_right(&kernel);
    let handled = guard.handle().unwrap();
    assert!(matches!(handled, Handled::Updated(_)), "{handled:?}");
    assert_eq!(guard.repairs(), 0);
    let in_force = kernel.list(&table()).unwrap().unwrap();
    assert_eq!(drift(&other, &in_force), []);
}

#[test]
fn who_never_stops_is_answered_at_a_bounded_rate() {
    let (mut kernel, mut guard) = guarded();
    for _ in 0..BURST {
        kernel.delete_table(&table());
        update_of(&guard.handle().unwrap());
    }
    for _ in 0..2 {
        kernel.delete_table(&table());
        let start = Instant::now();
        // On a slow machine the bucket may have got a permission back.
        if let Handled::Postponed { until } = guard.handle().unwrap() {
            assert!(until <= start + INTERVAL * 2);
            assert_eq!(guard.due(), Some(until));
            assert_eq!(kernel.list(&table()).unwrap(), None);
            update_of(&guard.wait(Duration::from_secs(20)).unwrap());
            assert!(Instant::now() >= until);
        }
        assert_right(&kernel);
    }
}
