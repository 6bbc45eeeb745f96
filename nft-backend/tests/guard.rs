//! The guard beside a fake kernel: which changes it repairs, how, and how often.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use common::sample;
use nft_backend::config::Config;
use nft_backend::drift::drift;
use nft_backend::fake::FakeKernel;
use nft_backend::generation::MarkBits;
use nft_backend::guard::{Guard, GuardError, Handled};
use nft_backend::in_force::InForce;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::layout::lay_out;
use nft_backend::live::Update;
use nft_backend::names::Name;
use nft_backend::notifications::{Notice, Notices};
use nft_backend::pace::{BURST, INTERVAL};
use nft_backend::ruleset::Ruleset;
use nft_backend::transaction::{Target, Transaction};

/// A kernel that a stranger can change too.
#[derive(Clone, Default)]
struct Shared {
    kernel: Rc<RefCell<FakeKernel>>,
    notices: Rc<RefCell<VecDeque<Notice>>>,
}

impl Kernel for Shared {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.kernel.borrow_mut().apply(transaction)
    }

    fn check(&self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.kernel.borrow().check(transaction)
    }

    fn list(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.kernel.borrow().list(table)
    }

    fn outline(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.kernel.borrow().outline(table)
    }

    fn clear_marks(&mut self, bits: MarkBits) -> Result<(), ApplyError> {
        self.kernel.borrow_mut().clear_marks(bits)
    }
}

impl Notices for Shared {
    fn read(&mut self) -> io::Result<Vec<Notice>> {
        Ok(self.notices.borrow_mut().drain(..).collect())
    }

    fn wait(&self, timeout: Duration) -> io::Result<()> {
        thread::sleep(timeout.min(Duration::from_millis(20)));
        Ok(())
    }
}

impl Shared {
    /// Somebody deletes the table, and the messages about it are lost.
    fn delete_table(&mut self) {
        let mut transaction = Transaction::new(table());
        transaction.delete(Target::Table);
        self.apply(&transaction).unwrap();
        self.lose();
    }

    /// Somebody deletes all elements of the first set that has some.
    fn delete_elements(&mut self) {
        let in_force = self.list(&table()).unwrap().unwrap();
        let mut sets = in_force.sets.into_iter();
        let (set, found) = sets
            .find(|(name, set)| name.as_str().contains("_h4_") && !set.elements.is_empty())
            .unwrap();
        let elements = found.elements;
        let mut transaction = Transaction::new(table());
        transaction.delete(Target::Elements { set, elements });
        self.apply(&transaction).unwrap();
        self.lose();
    }

    fn lose(&self) {
        self.notices.borrow_mut().push_back(Notice::Lost);
    }
}

fn table() -> Name {
    Config::default().table
}

fn desired() -> Ruleset {
    lay_out(&Config::default(), &sample()).unwrap()
}

fn guarded() -> (Shared, Guard<Shared, Shared>) {
    let kernel = Shared::default();
    let mut guard = Guard::new(kernel.clone(), kernel.clone(), Config::default());
    assert_eq!(guard.update(desired()).unwrap(), Update::Load);
    (kernel, guard)
}

fn assert_right(kernel: &Shared) {
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
    kernel.delete_elements();
    assert_eq!(update_of(&guard.handle().unwrap()), Update::Increment);
    kernel.delete_table();
    assert_eq!(update_of(&guard.handle().unwrap()), Update::Load);
    assert_right(&kernel);
    assert_eq!(guard.repairs(), 2);
}

#[test]
fn a_table_that_was_never_ours_is_not_repaired() {
    let kernel = Shared::default();
    let mut guard = Guard::new(kernel.clone(), kernel.clone(), Config::default());
    kernel.lose();
    assert_eq!(guard.verify().unwrap(), Handled::Quiet);
    assert_eq!(kernel.list(&table()).unwrap(), None);
}

#[test]
fn a_repair_that_fails_is_tried_again() {
    for nth in 1..=2 {
        let (mut kernel, mut guard) = guarded();
        kernel.delete_table();
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
        kernel.delete_table();
        update_of(&guard.handle().unwrap());
    }
    for _ in 0..2 {
        kernel.delete_table();
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
