//! Keeps a table as it should be while others can change it.
//!
//! The kernel tells each transaction ([`notifications`](mod@crate::notifications)). One that touched our
//! table and is not ours is repaired at once: by what differs when it was about elements alone, by a
//! full load otherwise, because nft lists rules in other words than it took them, so that rules cannot
//! be compared. Both move the generation on where a permission was in force that should not be, so
//! flows that came in through the gap do not stay.
//!
//! Of a large transaction of ours nothing is told ([`Notices::pause`]), and a transaction that somebody else carried out
//! meanwhile counts as a lost message.
//! When messages were lost, or [`Guard::verify`] asks for it, the table is compared instead.
//! An update of ours that failed can leave the table in a state that nobody knows. Making up for it is no repair, and
//! nobody is blamed, unless somebody else was heard or found to have changed the table too.
//!
//! Another program may undo each repair. Then repairs are made at a bounded rate
//! ([`pace`](mod@crate::pace)), and the log says that somebody fights; they are never given up.

mod desired;
mod outcome;
mod unheard;

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::in_force::InForce;
use crate::kernel::{ApplyError, Kernel};
use crate::live::{Live, Update, UpdateError};
use crate::load::LoadError;
use crate::names::Name;
use crate::notifications::{Commit, Notice, Notices};
use crate::pace::{INTERVAL, Pace};
use crate::repair::with_elements;
use crate::ruleset::Ruleset;
use crate::transaction::{Target, Transaction};

pub use desired::Desired;
pub use outcome::{GuardError, Handled, Repair};
use unheard::Unheard;

/// Of a long quarrel the first of these are told.
const TOLD: usize = 8;

/// A table that is kept up to date, and repaired when somebody else changes it: to a ruleset that is given whole, or
/// to that of a [`Node`](crate::node::Node), which takes changes.
#[derive(Debug)]
pub struct Guard<K, N, D = Ruleset> {
    kernel: K,
    notices: N,
    table: Name,
    live: Live,
    /// What should be in force.
    desired: D,
    /// Whether something was put in force: a table which was never ours is not taken for one of ours that was
    /// changed.
    is_begun: bool,
    suspicion: Option<Suspicion>,
    pace: Pace,
    is_fought: bool,
    repairs: u64,
    /// The ports of own transactions that will be told.
    own: Vec<u32>,
}

/// Why the table may be otherwise than it should.
#[derive(Debug, Clone, Default)]
struct Suspicion {
    commits: Vec<Commit>,
    needs_load: bool,
    /// Whether it was found otherwise than it was left, also when it could not be repaired then.
    is_changed: bool,
}

impl Suspicion {
    /// Whether there is anything of somebody else in it, and not an update of ours alone that failed.
    fn is_of_others(&self) -> bool {
        self.is_changed || !self.commits.is_empty()
    }
}

/// What came of comparing the table with how it was left.
enum Compared {
    Intact,
    Changed,
    /// It is not known how it was left, since an update failed.
    Unknown,
}

impl<K: Kernel, N: Notices, D: Desired> Guard<K, N, D> {
    fn over(kernel: K, notices: N, config: Config, desired: D) -> Self {
        Self {
            kernel,
            notices,
            table: config.table.clone(),
            live: Live::new(config),
            desired,
            is_begun: false,
            suspicion: None,
            pace: Pace::new(Instant::now()),
            is_fought: false,
            repairs: 0,
            own: Vec::new(),
        }
    }

    /// Reads what was told and repairs what it says. It does not wait for more, so it is what to call
    /// when [`AsFd::as_fd`] is readable, and at [`due`](Self::due).
    ///
    /// # Errors
    /// When a repair fails: the table is as it was found, and the next call tries again. When nothing
    /// can be heard any more.
    pub fn handle(&mut self) -> Result<Handled, GuardError> {
        self.listen()?;
        let now = Instant::now();
        let Some(mut suspicion) = self.suspicion.take() else {
            return Ok(Handled::Quiet);
        };
        if !self.is_begun {
            return Ok(Handled::Quiet);
        }
        let handled = self.settle(&mut suspicion, now);
        if !matches!(
            handled,
            Ok(Handled::Intact | Handled::Updated(_) | Handled::Repaired(_))
        ) {
            self.suspicion = Some(suspicion);
        }
        self.listen()?;
        handled
    }

    /// Waits for a change by somebody else, at most so long, and repairs it.
    ///
    /// # Errors
    /// As [`handle`](Self::handle).
    pub fn wait(&mut self, timeout: Duration) -> Result<Handled, GuardError> {
        let end = Instant::now() + timeout;
        loop {
            let handled = self.handle()?;
            let until = match handled {
                Handled::Quiet => end,
                Handled::Postponed { until } => until.min(end),
                Handled::Intact | Handled::Updated(_) | Handled::Repaired(_) => return Ok(handled),
            };
            let now = Instant::now();
            if now >= end {
                return Ok(handled);
            }
            self.notices.wait(until.saturating_duration_since(now))?;
        }
    }

    /// Compares the table with what it should be and repairs what differs: for what notices cannot tell.
    /// It costs a listing of the table. Rules are only counted.
    ///
    /// # Errors
    /// As [`handle`](Self::handle).
    pub fn verify(&mut self) -> Result<Handled, GuardError> {
        self.suspicion.get_or_insert_default();
        self.handle()
    }

    /// Clears the marks of standing flows ahead of the change that would have to, if the next one may be it: for a moment
    /// at which no change waits.
    ///
    /// # Errors
    /// As [`Live::clear_ahead`]: the change makes up for it.
    pub fn clear_ahead(&mut self) -> Result<(), ApplyError> {
        self.live.clear_ahead(&mut self.kernel)
    }

    /// When to call [`handle`](Self::handle) though nothing is told: at once, or when a repair that was
    /// postponed or failed may be tried; `None` when nothing is to be repaired.
    pub fn due(&mut self) -> Option<Instant> {
        self.suspicion.as_ref()?;
        let now = Instant::now();
        Some(self.pace.clone().take(now).err().unwrap_or(now))
    }

    /// How many repairs were made.
    pub fn repairs(&self) -> u64 {
        self.repairs
    }

    /// The kernel that holds the table.
    pub fn kernel(&self) -> &K {
        &self.kernel
    }

    /// What should be in force.
    pub fn desired(&self) -> &D {
        &self.desired
    }

    /// What is in force, under the names that it has in the kernel; `None` when that is not known.
    pub fn contents(&self) -> Option<&Ruleset> {
        self.live.contents()
    }

    /// The end of an update.
    fn conclude(&mut self, updated: Result<Update, GuardError>) -> Result<Update, GuardError> {
        self.is_begun |= updated.is_ok();
        if updated.is_err() && self.is_begun {
            self.suspicion.get_or_insert_default();
        }
        let heard = self.listen();
        let updated = updated?;
        heard?;
        Ok(updated)
    }

    /// Reads all notices, and notes those of others.
    fn listen(&mut self) -> io::Result<()> {
        let notices = self.notices.read()?;
        // Asked for after reading: what is done by then, has been told.
        let mut own = mem::take(&mut self.own);
        own.extend(self.kernel.take_senders());
        for notice in notices {
            let Notice::Commit(commit) = notice else {
                self.suspicion.get_or_insert_default();
                continue;
            };
            // Each transaction of ours is told once. A second one from the same port is somebody else's,
            // whose process got the number of ours, as those of another process namespace may.
            if let Some(index) = own.iter().position(|port| *port == commit.port) {
                own.swap_remove(index);
                continue;
            }
            let suspicion = self.suspicion.get_or_insert_default();
            suspicion.needs_load |= !commit.changes.is_of_elements();
            if suspicion.commits.len() < TOLD {
                suspicion.commits.push(commit);
            }
        }
        Ok(())
    }

    fn settle(&mut self, suspicion: &mut Suspicion, now: Instant) -> Result<Handled, GuardError> {
        if self.pace.is_full(now) {
            self.is_fought = false;
        }
        if let Err(until) = self.pace.take(now) {
            self.say_that_it_is_fought(suspicion);
            return Ok(Handled::Postponed { until });
        }
        if suspicion.needs_load {
            self.live.forget();
            suspicion.is_changed = true;
        } else {
            suspicion.is_changed |= match self.compare().map_err(GuardError::Compare)? {
                Compared::Intact => false,
                Compared::Changed => true,
                Compared::Unknown => suspicion.is_of_others(),
            };
        }
        let update = self.put_back()?;
        match (suspicion.is_changed, update) {
            (false, Update::Nothing) => return Ok(Handled::Intact),
            (false, update) => return Ok(Handled::Updated(update)),
            (true, _) => {}
        }
        self.repairs += 1;
        let changes = told(&suspicion.commits);
        let (table, repairs) = (&self.table, self.repairs);
        tracing::warn!(%table, %changes, ?update, repairs, "somebody changed our table; repaired");
        Ok(Handled::Repaired(Repair {
            update,
            commits: suspicion.commits.clone(),
        }))
    }

    /// Whether the table is as it was left. If not, what is found becomes what is known of it, or nothing
    /// is known of it any more.
    fn compare(&mut self) -> Result<Compared, ApplyError> {
        let Some(known) = self.live.contents() else {
            return Ok(Compared::Unknown);
        };
        let mut found = self.kernel.list(&self.table)?;
        let left = InForce::of(known);
        if found.as_ref() != Some(&left) {
            // Just after a large load the kernel can leave elements out of a list.
            found = self.kernel.list(&self.table)?;
        }
        if found.as_ref() == Some(&left) {
            return Ok(Compared::Intact);
        }
        match found.and_then(|found| with_elements(known, &found)) {
            Some(found) => self.live.assume(found),
            None => self.live.forget(),
        }
        Ok(Compared::Changed)
    }

    /// Puts what should be in force back. Where somebody made another table in the place of ours, or
    /// moved our base chain, that goes first: there is nothing of ours left in it.
    fn put_back(&mut self) -> Result<Update, GuardError> {
        let desired = self.desired.ruleset()?;
        let mut kernel = Unheard::new(&mut self.kernel, &mut self.notices, &mut self.own);
        match self.live.update(&mut kernel, &desired) {
            Err(UpdateError::Load(
                LoadError::NotOurs { .. } | LoadError::BaseChainElsewhere { .. },
            )) => {}
            updated => return Ok(updated?),
        }
        let mut delete = Transaction::new(self.table.clone());
        delete.delete(Target::Table);
        // Somebody may have deleted it by now. If it cannot be deleted, the update fails as before.
        let deleted = kernel.apply(&delete);
        let updated = self.live.update(&mut kernel, &desired);
        if let (Err(error), Err(_)) = (deleted, &updated) {
            let table = &self.table;
            tracing::warn!(%table, %error, "the table in the place of ours could not be deleted");
        }
        Ok(updated?)
    }

    fn say_that_it_is_fought(&mut self, suspicion: &Suspicion) {
        if !self.is_fought && suspicion.is_of_others() {
            let (table, changes) = (&self.table, told(&suspicion.commits));
            tracing::warn!(
                %table, %changes, every = ?INTERVAL,
                "somebody changes our table again and again; repairs go on at a lower rate"
            );
        }
        self.is_fought |= suspicion.is_of_others();
    }
}

impl<K, N: AsFd, D> AsFd for Guard<K, N, D> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notices.as_fd()
    }
}

/// Who did what.
fn told(commits: &[Commit]) -> String {
    if commits.is_empty() {
        return "not known".to_owned();
    }
    let told: Vec<String> = commits.iter().map(ToString::to_string).collect();
    told.join("; ")
}
