//! Stands between the watches and the sync, and lays over what the API shows what the runtime says.
//!
//! Whatever changes goes to the sync as a batch, in the order in which it was learnt: one lock is held until it is in
//! the queue.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use nopal_cni::protocol::{Attachment, Order, Reply, Sandbox};
use policy_core::{Event, PodId};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::leases::Leases;
use super::overlay::{Attached, Overlay, pod_id};
use crate::causes::causes;
use crate::kind::Kind;
use crate::spoofing::Spoofing;
use crate::status::Shared;
use crate::watch::{Batch, Change, Identity, Trouble, fetch};

/// How often it is looked whether the network namespaces of attachments are still there. DEL tells it as a rule.
const SWEEP: Duration = Duration::from_secs(60);

/// What plugin and watches have said, and the way to the sync. Clones share it.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    queue: Sender<Batch>,
    leases: Leases,
    client: Option<Client>,
    shared: Shared,
    spoofing: Option<Spoofing>,
}

#[derive(Debug)]
struct State {
    overlay: Overlay,
    ticket: u64,
}

impl Desk {
    /// For the pods of `node`, with the attachments that an earlier process wrote to `leases`. What changes goes to
    /// `queue`; pods that no watch has shown are asked for with `client`.
    pub fn new(
        node: &str,
        leases: Leases,
        queue: Sender<Batch>,
        client: Option<Client>,
        shared: Shared,
    ) -> Self {
        Self::guarding(node, leases, queue, client, shared, None)
    }

    /// The same, with what keeps pods from forging addresses: a pod starts once that is in force, too.
    pub fn guarding(
        node: &str,
        leases: Leases,
        queue: Sender<Batch>,
        client: Option<Client>,
        shared: Shared,
        spoofing: Option<Spoofing>,
    ) -> Self {
        let mut attachments = leases.read().unwrap_or_else(|error| {
            tracing::warn!(%error, "addresses that the runtime told are lost; the API shows them");
            Vec::new()
        });
        attachments.retain(is_there);
        if let Some(spoofing) = &spoofing {
            spoofing.attached(&attachments);
        }
        let overlay = Overlay::new(node, attachments);
        Self(Arc::new(Inner {
            state: Mutex::new(State { overlay, ticket: 0 }),
            queue,
            leases,
            client,
            shared,
            spoofing,
        }))
    }

    /// Hands on what the watches say until they end, with the addresses that the runtime told.
    pub async fn relay(self, mut batches: Receiver<Batch>) {
        while let Some(mut batch) = batches.recv().await {
            let mut state = self.0.state.lock().await;
            if batch.kind == Kind::Pods {
                let mut others = Vec::new();
                for change in &mut batch.changes {
                    others.extend(state.overlay.take(change));
                }
                batch.changes.extend(others.into_iter().map(told));
            }
            if self.0.queue.send(batch).await.is_err() {
                return;
            }
        }
    }

    /// Forgets attachments whose network namespace has gone, again and again: nobody told a DEL while the agent was
    /// away.
    pub async fn sweep(self) {
        loop {
            sleep(SWEEP).await;
            let state = self.0.state.lock().await;
            if !state.overlay.attachments().iter().all(is_there) {
                self.keep(state, is_there).await;
            }
        }
    }

    /// Does what the plugin asks for. It waits for the kernel as long as it takes; whoever asks decides how long.
    pub async fn serve(&self, order: Order) -> Reply {
        match order {
            Order::Attach(attachment) => self.attach(attachment).await,
            Order::Check(attachment) => self.check(&attachment).await,
            Order::Detach(sandbox) => {
                self.forget(|other| other != &sandbox).await;
                Reply::Done
            }
            Order::Collect(valid) => {
                self.forget(|other| valid.contains(other)).await;
                Reply::Done
            }
            Order::Status if self.0.shared.is_ready() => Reply::Done,
            Order::Status => Reply::TryAgain(
                "the agent has not got a complete view of the cluster in force yet".to_owned(),
            ),
        }
    }

    async fn attach(&self, attachment: Attachment) -> Reply {
        if let Err(reason) = acceptable(&attachment) {
            return Reply::Refused(reason);
        }
        let mut state = self.0.state.lock().await;
        let attached = state.overlay.attach(attachment.clone());
        self.save(&state);
        let ticket = match attached {
            Attached::Known(events) => {
                let ticket = self.send(&mut state, events).await;
                drop(state);
                ticket
            }
            Attached::Unknown => {
                drop(state);
                match self.ask(&attachment).await {
                    Ok(ticket) => Some(ticket),
                    Err(reason) => return Reply::TryAgain(reason),
                }
            }
        };
        if let Err(reason) = self.guard().await {
            return Reply::TryAgain(reason);
        }
        self.await_ticket(ticket).await
    }

    /// Puts in force that attached interfaces send with their own addresses alone.
    async fn guard(&self) -> Result<(), String> {
        let Some(spoofing) = self.0.spoofing.clone() else {
            return Ok(());
        };
        let failed =
            |error: String| format!("the sources of its packets cannot be checked: {error}");
        let done = spawn_blocking(move || spoofing.enforce()).await;
        let done = done.map_err(|error| failed(error.to_string()))?;
        done.map(|_| ()).map_err(|error| failed(error.to_string()))
    }

    /// Asks the API server for the attachment's pod, and sends it to the sync.
    async fn ask(&self, attachment: &Attachment) -> Result<u64, String> {
        let id = pod_id(attachment);
        let Some(client) = &self.0.client else {
            return Err(format!("the API has not shown pod {id} yet"));
        };
        let answer = fetch(client, &id).await;
        let answer = answer.map_err(|error| {
            let error = causes(&error);
            format!("pod {id} is not known yet, and a GET for it failed: {error}")
        })?;
        let mut change = answer.ok_or_else(|| format!("the API server knows no pod {id}"))?;
        if let Trouble::Unreadable(reason) = &change.trouble {
            return Err(format!("pod {id} cannot be read: {reason}"));
        }
        let mut state = self.0.state.lock().await;
        let others = state.overlay.take_fetched(&mut change);
        if !state.overlay.is_known(attachment) {
            return Err(format!(
                "the API server's pod {id} is another one (uid {}) or not of this node: is the agent's --node right?",
                change.identity.uid
            ));
        }
        let events: Vec<Event> = change.event.into_iter().chain(others).collect();
        let ticket = self.send(&mut state, events).await;
        ticket.ok_or_else(|| "the agent is ending".to_owned())
    }

    async fn check(&self, attachment: &Attachment) -> Reply {
        let mut state = self.0.state.lock().await;
        if let Err(difference) = state.overlay.check(attachment) {
            return Reply::Unknown(difference);
        }
        if !state.overlay.is_known(attachment) {
            let id = pod_id(attachment);
            return Reply::Unknown(format!("the API shows no pod {id} of this uid"));
        }
        // An update without changes: when it is in force, so is everything before it.
        let ticket = self.send(&mut state, Vec::new()).await;
        drop(state);
        self.await_ticket(ticket).await
    }

    async fn forget(&self, is_kept: impl Fn(&Sandbox) -> bool) {
        let state = self.0.state.lock().await;
        self.keep(state, |attachment| is_kept(&attachment.sandbox))
            .await;
    }

    async fn keep(&self, mut state: MutexGuard<'_, State>, is_kept: impl Fn(&Attachment) -> bool) {
        let events = state.overlay.retain(is_kept);
        self.save(&state);
        if !events.is_empty() {
            self.send(&mut state, events).await;
        }
        drop(state);
        if let Err(error) = self.guard().await {
            tracing::warn!(error, "interfaces that have gone are still guarded");
        }
    }

    /// Sends events to the sync; gives the ticket by which their being in force is known, unless the agent is ending.
    async fn send(&self, state: &mut State, events: Vec<Event>) -> Option<u64> {
        state.ticket += 1;
        let ticket = state.ticket;
        let batch = Batch {
            kind: Kind::Pods,
            changes: events.into_iter().map(told).collect(),
            is_complete: false,
            received: Instant::now(),
            ticket,
        };
        let sent = self.0.queue.send(batch).await;
        sent.is_ok().then_some(ticket)
    }

    async fn await_ticket(&self, ticket: Option<u64>) -> Reply {
        let Some(ticket) = ticket else {
            return Reply::TryAgain("the agent is ending".to_owned());
        };
        self.0.shared.in_force(ticket).await;
        Reply::Done
    }

    /// Notes the attachments, on disk and for what is in force by them.
    fn save(&self, state: &State) {
        if let Some(spoofing) = &self.0.spoofing {
            spoofing.attached(state.overlay.attachments());
        }
        if let Err(error) = self.0.leases.write(state.overlay.attachments()) {
            tracing::warn!(%error, "an agent that starts anew will not know all addresses of pods");
        }
    }
}

/// An event that the API server has not told, as a change without a version of its own.
fn told(event: Event) -> Change {
    Change {
        event: Some(event),
        version: 0,
        identity: Identity::default(),
        trouble: Trouble::None,
    }
}

/// Whether the network namespace is still there, as far as that can be seen: where not even its directory is visible,
/// it counts as there.
fn is_there(attachment: &Attachment) -> bool {
    let netns = Path::new(&attachment.netns);
    let is_visible = netns.parent().is_some_and(Path::is_dir);
    !is_visible || netns.exists()
}

/// Whether the pod's names can be names, since they become part of a request's path.
fn acceptable(attachment: &Attachment) -> Result<(), String> {
    let is_name = |name: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let allowed = |byte: u8| is_allowed(byte) || byte == b'-' || byte == b'.';
        (1..=253).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
    };
    let pod = &attachment.pod;
    if !is_name(&pod.namespace) || !is_name(&pod.name) {
        let id = PodId::new(&pod.namespace, &pod.name);
        return Err(format!("{id:?} is no pod's name"));
    }
    if attachment.addresses.is_empty() {
        return Err("it has no address".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::overlay::tests::{attachment, shown};
    use tokio::sync::mpsc::channel;

    struct Running {
        desk: Desk,
        watches: Sender<Batch>,
        queue: Receiver<Batch>,
        shared: Shared,
        state: tempfile::TempDir,
    }

    fn start() -> Running {
        let state = tempfile::tempdir().unwrap();
        let (sender, queue) = channel(100);
        let (watches, batches) = channel(100);
        let shared = Shared::new("node-a");
        let leases = Leases::new(state.path());
        let desk = Desk::new("node-a", leases, sender, None, shared.clone());
        tokio::spawn(desk.clone().relay(batches));
        Running {
            desk,
            watches,
            queue,
            shared,
            state,
        }
    }

    fn pods(changes: Vec<Change>) -> Batch {
        Batch {
            kind: Kind::Pods,
            changes,
            is_complete: false,
            received: Instant::now(),
            ticket: 0,
        }
    }

    fn add() -> Attachment {
        attachment("web", "u", "c1", "10.0.0.1")
    }

    #[tokio::test]
    async fn an_add_is_answered_once_its_batch_is_in_force() {
        let mut running = start();
        let batch = pods(vec![shown("web", "u", 1, &[])]);
        running.watches.send(batch).await.unwrap();
        running.queue.recv().await.unwrap();
        let desk = running.desk.clone();
        let answer = tokio::spawn(async move { desk.serve(Order::Attach(add())).await });
        let batch = running.queue.recv().await.unwrap();
        let Some(Event::Pod(pod)) = &batch.changes[0].event else {
            panic!("{batch:?}");
        };
        assert_eq!(pod.addresses, add().addresses);
        assert!(batch.ticket > 0 && !answer.is_finished());
        running.shared.ticket_in_force(batch.ticket);
        assert_eq!(answer.await.unwrap(), Reply::Done);
        assert_eq!(Leases::new(running.state.path()).read().unwrap(), [add()]);
        running.desk.serve(Order::Detach(add().sandbox)).await;
        assert_eq!(Leases::new(running.state.path()).read().unwrap(), []);
    }

    #[tokio::test]
    async fn pods_that_start_together_wait_for_the_kernel_together() {
        let mut running = start();
        let names = ["web", "db"];
        let all = names.map(|name| shown(name, name, 1, &[]));
        running.watches.send(pods(all.into())).await.unwrap();
        running.queue.recv().await.unwrap();
        let answers = names.map(|name| {
            let desk = running.desk.clone();
            let order = Order::Attach(attachment(name, name, name, "10.0.0.1"));
            tokio::spawn(async move { desk.serve(order).await })
        });
        let first = running.queue.recv().await.unwrap();
        let second = running.queue.recv().await.unwrap();
        assert_eq!((first.ticket, second.ticket), (1, 2));
        // Nor does what the API shows wait for them.
        let batch = pods(vec![shown("other", "o", 2, &[])]);
        running.watches.send(batch).await.unwrap();
        running.queue.recv().await.unwrap();
        assert!(answers.iter().all(|answer| !answer.is_finished()));
        running.shared.ticket_in_force(second.ticket);
        for answer in answers {
            assert_eq!(answer.await.unwrap(), Reply::Done);
        }
    }

    #[tokio::test]
    async fn a_pod_that_nobody_knows_has_to_try_again_and_is_known_by_a_later_watch() {
        let mut running = start();
        let answer = running.desk.serve(Order::Attach(add())).await;
        assert!(matches!(answer, Reply::TryAgain(_)), "{answer:?}");
        let batch = pods(vec![shown("web", "u", 1, &[])]);
        running.watches.send(batch).await.unwrap();
        let batch = running.queue.recv().await.unwrap();
        let Some(Event::Pod(pod)) = &batch.changes[0].event else {
            panic!("{batch:?}");
        };
        assert_eq!(pod.addresses, add().addresses);
    }

    #[tokio::test]
    async fn a_name_that_no_pod_can_have_is_refused_and_an_agent_without_a_view_is_not_ready() {
        let running = start();
        for name in ["", "../secrets", "a/b", "A", &"a".repeat(254)] {
            let order = Order::Attach(attachment(name, "u", "c", "10.0.0.1"));
            let answer = running.desk.serve(order).await;
            assert!(matches!(answer, Reply::Refused(_)), "{name}: {answer:?}");
        }
        let answer = running.desk.serve(Order::Status).await;
        assert!(matches!(answer, Reply::TryAgain(_)), "{answer:?}");
    }

    #[tokio::test]
    async fn gc_forgets_what_is_not_named_and_a_restart_what_has_no_namespace() {
        let running = start();
        for container in ["c1", "c2"] {
            let attachment = attachment(container, "u", container, "10.0.0.1");
            running.desk.serve(Order::Attach(attachment)).await;
        }
        let valid = vec![attachment("c2", "u", "c2", "10.0.0.1").sandbox];
        assert_eq!(running.desk.serve(Order::Collect(valid)).await, Reply::Done);
        let leases = Leases::new(running.state.path());
        assert_eq!(leases.read().unwrap().len(), 1);
        let mut there = attachment("c3", "u", "c3", "10.0.0.3");
        there.netns = running.state.path().display().to_string();
        let mut unseen = attachment("c4", "u", "c4", "10.0.0.4");
        unseen.netns = "/nowhere/to/be/seen".to_owned();
        let mut gone = attachment("c5", "u", "c5", "10.0.0.5");
        gone.netns = running.state.path().join("gone").display().to_string();
        leases
            .write(&[there.clone(), unseen.clone(), gone])
            .unwrap();
        let (sender, _) = channel(1);
        let desk = Desk::new("node-a", leases, sender, None, running.shared.clone());
        let state = desk.0.state.lock().await;
        assert_eq!(state.overlay.attachments(), [there, unseen]);
    }
}
