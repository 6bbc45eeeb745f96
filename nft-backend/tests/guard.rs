//! The guard beside a fake kernel: which changes it repairs, how, and how often.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::log::logged;
use common::sample;
use common::shared::Shared;
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
use nft_backend::notifications::{Changes, Commit, Notice, Notices};
use nft_backend::pace::{BURST, INTERVAL};
use nft_backend::ruleset::Ruleset;
use nft_backend::transaction::Transaction;

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

/// The ports of our transactions, and of a stranger's.
const OURS: u32 = 1;
const THEIRS: u32 = 2;

/// A kernel that tells of our transactions. Where nft dies, the next one is carried out and ends in an error; after it
/// the table cannot be listed once, if that is wanted.
#[derive(Clone, Default)]
struct Dying {
    fake: Fake,
    dies: Rc<Cell<bool>>,
    hides: Rc<Cell<bool>>,
    notices: Rc<RefCell<Vec<Notice>>>,
    senders: Rc<RefCell<Vec<u32>>>,
}

impl Dying {
    fn tell(&self, port: u32) {
        let commit = Commit {
            port,
            process: None,
            changes: Changes::default(),
        };
        self.notices.borrow_mut().push(Notice::Commit(commit));
    }
}

impl Kernel for Dying {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.fake.apply(transaction)?;
        self.senders.borrow_mut().push(OURS);
        self.tell(OURS);
        if self.dies.take() {
            return Err(ApplyError::Killed);
        }
        Ok(())
    }

    fn check(&self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.fake.check(transaction)
    }

    fn list(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        if self.hides.take() {
            return Err(ApplyError::Killed);
        }
        self.fake.list(table)
    }

    fn outline(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.fake.outline(table)
    }

    fn clear_marks(&mut self, bits: MarkBits) -> Result<(), ApplyError> {
        self.fake.clear_marks(bits)
    }

    fn let_packets_through(&mut self) {
        self.fake.let_packets_through();
    }

    fn take_senders(&mut self) -> Vec<u32> {
        mem::take(&mut self.senders.borrow_mut())
    }
}

impl Notices for Dying {
    fn read(&mut self) -> io::Result<Vec<Notice>> {
        Ok(mem::take(&mut self.notices.borrow_mut()))
    }

    fn wait(&self, timeout: Duration) -> io::Result<()> {
        self.fake.wait(timeout)
    }
}

/// A guard whose last update was carried out and ended in an error. If it `hides`, nobody knows what is in force.
fn broken_off(hides: bool) -> (Dying, Guard<Dying, Dying>) {
    let kernel = Dying::default();
    let mut guard = Guard::new(kernel.clone(), kernel.clone(), Config::default());
    let nothing = lay_out(&Config::default(), &<_>::default()).unwrap();
    assert_eq!(guard.update(nothing).unwrap(), Update::Load);
    kernel.dies.set(true);
    kernel.hides.set(hides);
    assert!(guard.update(desired()).is_err());
    assert_eq!(guard.contents().is_none(), hides);
    (kernel, guard)
}

#[test]
fn an_update_of_ours_that_broke_off_is_nobody_elses_change() {
    for (hides, expected) in [(false, Update::Increment), (true, Update::Load)] {
        let (kernel, mut guard) = broken_off(hides);
        let (handled, log) = logged(|| guard.handle().unwrap());
        assert_eq!(handled, Handled::Updated(expected));
        assert_eq!(log, [""; 0]);
        assert_eq!(guard.repairs(), 0);
        assert_right(&kernel.fake);
        assert_eq!(guard.handle().unwrap(), Handled::Quiet);
    }
}

#[test]
fn who_changes_the_table_after_an_update_broke_off_is_told() {
    for (hides, blamed) in [(false, vec![]), (true, vec![THEIRS])] {
        let (mut kernel, mut guard) = broken_off(hides);
        if hides {
            kernel.tell(THEIRS);
        } else {
            kernel.fake.delete_table(&table());
        }
        let (handled, log) = logged(|| guard.handle().unwrap());
        let Handled::Repaired(repair) = handled else {
            panic!("{handled:?}")
        };
        let commits = repair.commits.iter().map(|commit| commit.port);
        assert_eq!(commits.collect::<Vec<_>>(), blamed);
        assert!(log[0].contains("somebody changed our table"), "{log:?}");
        assert_eq!(guard.repairs(), 1);
        assert_right(&kernel.fake);
    }
}

#[test]
fn updates_of_ours_that_fail_again_and_again_are_nobodys_fight() {
    let (kernel, mut guard) = broken_off(true);
    let (postponed, log) = logged(|| {
        (0..=BURST * 2).find_map(|_| {
            kernel.fake.kernel.borrow_mut().fail(1, refused());
            match guard.handle() {
                Ok(Handled::Postponed { until }) => Some(until),
                handled => {
                    assert!(handled.is_err(), "{handled:?}");
                    None
                }
            }
        })
    });
    assert!(postponed.is_some());
    assert_eq!(log, [""; 0]);
}
