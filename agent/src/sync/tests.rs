//! The sync with a fake kernel.

use super::*;
use crate::dataplane::Dataplane;
use crate::held::Held;
use crate::state::Store;
use crate::watch::{Change, Identity, Trouble};
use nft_backend::config::Config;
use nft_backend::kernel::ApplyError;
use policy_core::{Event, PodId, lower};
use serde_json::json;
use std::time::Duration;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

struct Running {
    kernel: Held,
    shared: Shared,
    queue: Sender<Batch>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), JoinError>>,
}

fn start() -> Running {
    start_by(Timing::default(), |enforcer| enforcer)
}

fn start_by(
    timing: Timing,
    prepared: impl FnOnce(Enforcer<Held, Held>) -> Enforcer<Held, Held>,
) -> Running {
    let kernel = Held::default();
    let shared = Shared::new("node-a");
    let told = kernel.clone();
    let dataplane = Dataplane::new("node-a", Config::default(), kernel.clone(), told);
    let enforcer = prepared(Enforcer::new("node-a", dataplane.unwrap(), shared.clone()));
    let (queue, receiver) = channel(1_000);
    let (stop, stopped) = oneshot::channel();
    let stopped = async { stopped.await.unwrap_or_default() };
    let task = follow(
        enforcer,
        receiver,
        Alarm::silent().listen().unwrap(),
        timing,
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
    complete(start()).await
}

async fn complete(running: Running) -> Running {
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
    let loaded = transactions(&running);
    running
        .queue
        .send(batch(Kind::Pods, Some(pod(1)), false))
        .await
        .unwrap();
    settle(|| pods(&running) == 1).await;
    let (before, applied) = (syncs(&running), transactions(&running));
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
    let of_one_pod = applied - loaded;
    assert_eq!(transactions(&running), applied + of_one_pod);
}

/// With time as it is, by which a sync takes some, so that the window after it is the longest.
#[tokio::test]
async fn what_the_start_of_a_pod_waits_for_takes_along_what_was_gathered() {
    let hour = Duration::from_secs(3_600);
    let timing = Timing {
        window: hour,
        share: u32::MAX,
        ..Timing::default()
    };
    let running = complete(start_by(timing, |enforcer| enforcer)).await;
    let change = |number| batch(Kind::Pods, Some(pod(number)), false);
    running.queue.send(change(1)).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(pods(&running), 0);
    let waited_for = Batch {
        ticket: 1,
        ..change(2)
    };
    running.queue.send(waited_for).await.unwrap();
    settle(|| pods(&running) == 2).await;
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

/// With time as it is: held time does not go on while a thread waits for a disk.
#[tokio::test]
async fn a_disk_that_hangs_keeps_no_change_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    // Whoever opens it to write waits until somebody reads.
    let hanging = directory.path().join("rules.new");
    nix::unistd::mkfifo(&hanging, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let timing = Timing {
        save: Duration::ZERO,
        save_apart: Duration::ZERO,
        ..Timing::default()
    };
    let running = start_by(timing, |enforcer| enforcer.saving_to(store.clone()));
    let running = complete(running).await;
    sleep(Duration::from_millis(100)).await;
    for number in 1..=3 {
        let event = Some(pod(number));
        running
            .queue
            .send(batch(Kind::Pods, event, false))
            .await
            .unwrap();
        settle(|| pods(&running) == u64::from(number)).await;
    }
    assert_eq!(store.read().unwrap(), None);
    let opened = hanging.clone();
    let read = spawn_blocking(move || std::fs::read(opened)).await.unwrap();
    assert!(!read.unwrap().is_empty(), "it was on its way to the disk");
    std::fs::remove_file(&hanging).unwrap();
    running.stop.send(()).unwrap();
    running.task.await.unwrap().unwrap();
    let saved = store.read().unwrap().unwrap();
    assert!(saved.create.contains("10.0.0.3"), "{}", saved.create);
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
