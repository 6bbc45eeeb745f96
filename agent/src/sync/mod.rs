//! The one task that puts changes in force.
//!
//! Nothing is applied before a complete view of all four kinds is there. After that a change goes out at once when it
//! is quiet; under load, all that came within a window goes out together; it is the longer the more a sync costs. After a failure what was in force stays,
//! and the next attempt comes after a growing pause. What others do to the table is undone as soon as the kernel tells.

mod alarm;
mod schedule;

pub use alarm::Alarm;
pub use schedule::{Schedule, Task, Timing};

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;

use nft_backend::kernel::Kernel;
use nft_backend::notifications::Notices;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use crate::enforcer::Enforcer;
use crate::jitter;
use crate::kind::Kind;
use crate::metrics::gauge;
use crate::status::Shared;
use crate::watch::Batch;

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

    fn changes(&self) -> usize {
        self.batches.iter().map(|batch| batch.changes.len()).sum()
    }
}

/// Puts what `queue` brings in force until `stop` ends or nobody sends any more, and looks after the table whenever
/// `alarm` rings. The rules stay when it ends.
///
/// # Errors
/// When the enforcing thread panicked: nobody knows its state then, and the process should start anew.
pub async fn run<K, N>(
    mut enforcer: Enforcer<K, N>,
    mut queue: Receiver<Batch>,
    alarm: Alarm,
    timing: Timing,
    shared: Shared,
    stop: impl Future<Output = ()>,
) -> Result<(), JoinError>
where
    K: Kernel + Send + 'static,
    N: Notices + Send + 'static,
{
    let mut stop = pin!(stop);
    let mut schedule = Schedule::new(timing);
    let mut backlog = Backlog::default();
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
                if backlog.is_due() {
                    schedule.change(now());
                }
            }
            () = until(next) => {
                let Some((_, task)) = next else { continue };
                let batches = match task {
                    Task::Sync => {
                        schedule.begin(now());
                        std::mem::take(&mut backlog.batches)
                    }
                    _ => Vec::new(),
                };
                let (back, succeeded) = spawn_blocking(move || work(enforcer, task, batches)).await?;
                enforcer = back;
                shared.metrics().queue.set(gauge(backlog.changes()));
                schedule.done(task, now());
                if task == Task::Save && !succeeded {
                    schedule.save_failed(now());
                } else if !succeeded {
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
            // What was in force before the first sync is not looked after.
            () = alarm.rings(), if shared.is_ready() => schedule.look(now()),
        }
    }
    spawn_blocking(move || enforcer.save()).await?;
    Ok(())
}

/// Does one task; gives whether it succeeded.
fn work<K: Kernel, N: Notices>(
    mut enforcer: Enforcer<K, N>,
    task: Task,
    batches: Vec<Batch>,
) -> (Enforcer<K, N>, bool) {
    let succeeded = match task {
        Task::Sync => enforcer.sync(batches).is_ok(),
        Task::Save => enforcer.save(),
        Task::Look => enforcer.look().is_ok(),
        Task::Verify => enforcer.verify().is_ok(),
    };
    (enforcer, succeeded)
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
mod tests {
    use super::*;
    use crate::dataplane::Dataplane;
    use crate::held::Held;
    use crate::watch::{Change, Identity, Trouble};
    use nft_backend::config::Config;
    use nft_backend::kernel::ApplyError;
    use policy_core::{Event, PodId, lower};
    use serde_json::json;
    use std::time::Duration;
    use tokio::sync::mpsc::{Sender, channel};
    use tokio::sync::oneshot;
    use tokio::time::sleep;

    struct Running {
        kernel: Held,
        shared: Shared,
        queue: Sender<Batch>,
        stop: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<Result<(), JoinError>>,
    }

    fn start() -> Running {
        let kernel = Held::default();
        let shared = Shared::new("node-a");
        let told = kernel.clone();
        let dataplane = Dataplane::new("node-a", Config::default(), kernel.clone(), told);
        let enforcer = Enforcer::new("node-a", dataplane.unwrap(), shared.clone());
        let (queue, receiver) = channel(1_000);
        let (stop, stopped) = oneshot::channel();
        let stopped = async { stopped.await.unwrap_or_default() };
        let task = run(
            enforcer,
            receiver,
            Alarm::silent(),
            Timing::default(),
            shared.clone(),
            stopped,
        );
        Running {
            kernel,
            shared,
            queue,
            stop,
            task: tokio::spawn(task),
        }
    }

    fn batch(kind: Kind, event: Option<Event>, is_complete: bool) -> Batch {
        let change = |event| Change {
            event: Some(event),
            version: 1,
            identity: Identity::default(),
            trouble: Trouble::None,
        };
        Batch {
            kind,
            changes: event.into_iter().map(change).collect(),
            is_complete,
            received: std::time::Instant::now(),
            ticket: 0,
        }
    }

    fn pod(number: u8) -> Event {
        let object = json!({
            "metadata": {"name": format!("p{number}"), "namespace": "shop"},
            "spec": {"nodeName": "node-a", "containers": []},
            "status": {"podIPs": [{"ip": format!("10.0.0.{number}")}]},
        });
        Event::Pod(lower::pod(&serde_json::from_value(object).unwrap()).0)
    }

    fn deny() -> Event {
        let object = json!({
            "metadata": {"name": "deny", "namespace": "shop"},
            "spec": {"podSelector": {}},
        });
        Event::Policy(lower::policy(&serde_json::from_value(object).unwrap(), &[]).0)
    }

    /// Lets time pass until something holds. Held time goes on only while no thread works.
    async fn settle(until: impl Fn() -> bool) {
        for _ in 0..10_000 {
            if until() {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("what was waited for did not happen");
    }

    async fn start_complete() -> Running {
        let running = start();
        for kind in Kind::ALL {
            let event = (kind == Kind::Policies).then(deny);
            running.queue.send(batch(kind, event, true)).await.unwrap();
        }
        settle(|| running.shared.is_ready()).await;
        running
    }

    fn transactions(running: &Running) -> usize {
        running.kernel.kernel(|kernel| kernel.applied().len())
    }

    fn pods(running: &Running) -> serde_json::Value {
        running.shared.document()["counts"]["pods"].clone()
    }

    fn syncs(running: &Running) -> u64 {
        let text = running.shared.metrics().text();
        let name = "nopal_sync_duration_seconds_count ";
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_applied_before_all_kinds_were_seen_as_a_whole() {
        let running = start();
        for kind in [Kind::Pods, Kind::Nodes, Kind::Namespaces] {
            running.queue.send(batch(kind, None, true)).await.unwrap();
        }
        let partial = batch(Kind::Policies, Some(deny()), false);
        running.queue.send(partial).await.unwrap();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(transactions(&running), 0);
        assert!(!running.shared.is_ready());
        running
            .queue
            .send(batch(Kind::Policies, None, true))
            .await
            .unwrap();
        settle(|| running.shared.is_ready()).await;
        assert!(transactions(&running) > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn many_changes_under_load_are_one_update() {
        let running = start_complete().await;
        sleep(Duration::from_secs(1)).await;
        running
            .queue
            .send(batch(Kind::Pods, Some(pod(1)), false))
            .await
            .unwrap();
        settle(|| pods(&running) == 1).await;
        let before = syncs(&running);
        // All within the window after the first, which went out at once.
        for number in 2..=40 {
            running
                .queue
                .send(batch(Kind::Pods, Some(pod(number)), false))
                .await
                .unwrap();
        }
        settle(|| pods(&running) == 40).await;
        assert_eq!(syncs(&running), before + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_update_is_tried_again_by_itself() {
        let running = start_complete().await;
        sleep(Duration::from_secs(1)).await;
        let refused = ApplyError::Refused {
            stderr: "busy".to_owned(),
        };
        running.kernel.kernel(|kernel| kernel.fail(1, refused));
        running
            .queue
            .send(batch(Kind::Pods, Some(pod(1)), false))
            .await
            .unwrap();
        settle(|| running.shared.document()["error"].is_string()).await;
        assert_eq!(pods(&running), 0);
        settle(|| pods(&running) == 1).await;
        assert!(running.shared.document()["error"].is_null());
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_leaves_the_rules_in_force() {
        let running = start_complete().await;
        let gone = Event::PodGone(PodId::new("shop", "never"));
        running
            .queue
            .send(batch(Kind::Pods, Some(gone), false))
            .await
            .unwrap();
        running.stop.send(()).unwrap();
        running.task.await.unwrap().unwrap();
        let table = Config::default().table;
        assert!(running.kernel.outline(&table).unwrap().is_some());
    }
}
