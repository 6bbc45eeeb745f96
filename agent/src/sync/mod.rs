//! The one thread that puts changes in force.
//!
//! It has a runtime of its own and works on its own thread: between a change that comes and its being in force nothing is
//! handed to another thread, and what the kernel tells of our own transactions, while they are being made, wakes nobody.
//!
//! Nothing is applied before a complete view of all four kinds is there. After that a change goes out at once when it
//! is quiet; under load, all that came within a window goes out together; it is the longer the more a sync costs, except
//! where the start of a pod waits. After a failure what was in force stays, and the next attempt comes after a growing
//! pause. What others do to the table is undone as soon as the kernel tells.

mod alarm;
mod saver;
mod schedule;

pub use alarm::Alarm;
pub use schedule::{Schedule, Task, Timing};

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::pin::pin;

use nft_backend::kernel::Kernel;
use nft_backend::notifications::Notices;
use tokio::runtime::Builder;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until};

use crate::enforcer::Enforcer;
use crate::jitter;
use crate::kind::Kind;
use crate::metrics::gauge;
use crate::status::Shared;
use crate::watch::Batch;
use alarm::Listening;
use saver::Saver;

/// Changes that wait, and which kinds have been seen as a whole.
#[derive(Debug, Default)]
struct Backlog {
    batches: Vec<Batch>,
    complete: BTreeSet<Kind>,
}

impl Backlog {
    fn add(&mut self, batch: Batch) {
        if batch.is_complete && self.complete.insert(batch.kind) {
            tracing::info!(kind = ?batch.kind, objects = batch.changes.len(), "first complete view");
        }
        self.batches.push(batch);
    }

    /// Whether there is anything to put in force.
    fn is_due(&self) -> bool {
        !self.batches.is_empty() && self.complete.len() == Kind::ALL.len()
    }

    /// Whether the start of a pod waits for one of the changes.
    fn is_waited_for(&self) -> bool {
        self.batches.iter().any(|batch| batch.ticket > 0)
    }

    fn changes(&self) -> usize {
        self.batches.iter().map(|batch| batch.changes.len()).sum()
    }
}

/// Why a sync came to an end that it should not.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The system has no means of waiting.
    #[error("cannot wait for changes: {0}")]
    Waiting(#[from] io::Error),
    /// Writing the rules to disk panicked.
    #[error("writing the rules to disk came to a sudden end: {0}")]
    Panicked(#[from] JoinError),
}

/// Puts what `queue` brings in force until `stop` ends or nobody sends any more, and looks after the table whenever
/// `alarm` rings. It keeps the calling thread as long. The rules stay when it ends.
///
/// # Errors
/// When it cannot wait for anything.
///
/// # Panics
/// When a part of it does: nobody knows its state then, and the process should start anew.
pub fn run<K: Kernel, N: Notices>(
    enforcer: Enforcer<K, N>,
    queue: Receiver<Batch>,
    alarm: Alarm,
    timing: Timing,
    shared: Shared,
    stop: impl Future<Output = ()>,
) -> Result<(), SyncError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let alarm = alarm.listen()?;
        Ok(follow(enforcer, queue, alarm, timing, shared, stop).await?)
    })
}

async fn follow<K: Kernel, N: Notices>(
    mut enforcer: Enforcer<K, N>,
    mut queue: Receiver<Batch>,
    alarm: Listening,
    timing: Timing,
    shared: Shared,
    stop: impl Future<Output = ()>,
) -> Result<(), JoinError> {
    let mut stop = pin!(stop);
    let mut schedule = Schedule::new(timing);
    let mut backlog = Backlog::default();
    let mut saver = Saver::default();
    loop {
        let next = schedule.next();
        tokio::select! {
            biased;
            () = &mut stop => break,
            batch = queue.recv() => {
                let Some(batch) = batch else { break };
                backlog.add(batch);
                while let Ok(batch) = queue.try_recv() {
                    backlog.add(batch);
                }
                shared.metrics().queue.set(gauge(backlog.changes()));
                if backlog.is_due() && backlog.is_waited_for() {
                    schedule.waited_for(now());
                } else if backlog.is_due() {
                    schedule.change(now());
                }
            }
            () = until(next) => {
                let Some((_, task)) = next else { continue };
                if task == Task::Save && saver.is_busy() {
                    // The disk is slow: what is on its way comes first.
                    schedule.save_failed(now());
                    continue;
                }
                let succeeded = match task {
                    Task::Sync => {
                        schedule.begin(now());
                        enforcer.sync(std::mem::take(&mut backlog.batches)).is_ok()
                    }
                    Task::Look => enforcer.look().is_ok(),
                    Task::Verify => enforcer.verify().is_ok(),
                    Task::Save => {
                        saver.write(enforcer.unsaved());
                        true
                    }
                };
                shared.metrics().queue.set(gauge(backlog.changes()));
                schedule.done(task, now());
                if !succeeded {
                    // The next sync tries again what a look could not repair.
                    schedule.failed(now(), jitter::share());
                    continue;
                }
                if task == Task::Sync {
                    schedule.succeeded(now());
                }
                if let Some(due) = enforcer.due() {
                    schedule.look(due);
                }
            }
            written = saver.ends() => match written? {
                Some(digest) => enforcer.note_saved(digest),
                None => schedule.save_failed(now()),
            },
            // What was in force before the first sync is not looked after.
            () = alarm.rings(), if shared.is_ready() => schedule.look(now()),
        }
    }
    saver.drain().await?;
    saver.write(enforcer.unsaved());
    saver.drain().await
}

/// tokio's clock, which tests can hold.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

async fn until(next: Option<(std::time::Instant, Task)>) {
    match next {
        Some((at, _)) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
