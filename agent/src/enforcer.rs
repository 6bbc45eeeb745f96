//! The owner of the engine and the data plane: takes batches in, and puts what they change in force.
//!
//! It is plain and blocking; the sync decides when it works, and on which thread.

use std::time::Instant;

use nft_backend::kernel::Kernel;
use nft_backend::live::Update;
use nft_backend::notifications::Notices;
use policy_core::{Changes, Engine, Event};
use tokio::sync::watch;

use crate::dataplane::{Dataplane, DataplaneError, Handled};
use crate::kind::Kind;
use crate::ledger::Entries;
use crate::report::Reporter;
use crate::state::{StateError, Store};
use crate::status::Shared;
use crate::topology::{self, Addresses};
use crate::watch::Batch;

/// The engine, the data plane, and what is known but not in force yet.
#[derive(Debug)]
pub struct Enforcer<K, N> {
    node: String,
    /// Whether the cluster has a node of this name, once that was told.
    node_is_known: Option<bool>,
    engine: Engine,
    dataplane: Dataplane<K, N>,
    store: Option<Store>,
    reporter: Option<Reporter>,
    /// Who looks how pods are wired.
    wiring: Option<watch::Sender<Addresses>>,
    shared: Shared,
    /// What the engine took over and the kernel has not.
    pending: Vec<Pending>,
    /// Not everything that is known is in force.
    is_behind: bool,
}

#[derive(Debug)]
struct Pending {
    entries: Entries,
    received: Instant,
    ticket: u64,
}

impl<K: Kernel, N: Notices> Enforcer<K, N> {
    /// Nothing is known, and nothing is touched before the first [`sync`](Self::sync).
    pub fn new(node: &str, dataplane: Dataplane<K, N>, shared: Shared) -> Self {
        Self {
            node: node.to_owned(),
            node_is_known: None,
            engine: Engine::new(node),
            dataplane,
            store: None,
            reporter: None,
            wiring: None,
            shared,
            pending: Vec::new(),
            is_behind: true,
        }
    }

    /// Keeps the last good rules there.
    #[must_use]
    pub fn saving_to(self, store: Store) -> Self {
        let store = Some(store);
        Self { store, ..self }
    }

    /// Reports what is wrong with policies there.
    #[must_use]
    pub fn reporting_to(self, reporter: Reporter) -> Self {
        let reporter = Some(reporter);
        Self { reporter, ..self }
    }

    /// Tells the addresses of the node's pods there, after rules are in force for them.
    #[must_use]
    pub fn telling_addresses_to(self, wiring: watch::Sender<Addresses>) -> Self {
        let wiring = Some(wiring);
        Self { wiring, ..self }
    }

    /// Takes batches in as one change and puts it in force.
    ///
    /// # Errors
    /// When it is not in force. Nothing is lost: the next sync, also one without batches, tries again.
    pub fn sync(&mut self, batches: Vec<Batch>) -> Result<Update, DataplaneError> {
        let begun = Instant::now();
        let events: usize = batches.iter().map(|batch| batch.changes.len()).sum();
        let span = tracing::info_span!("sync", events, update = tracing::field::Empty);
        let _inside = span.enter();
        let changes = self.take(batches);
        let subjects = changes.subjects.len() + changes.vanished.len();
        let done = self.dataplane.enforce(&changes);
        self.count_repairs();
        match done {
            Ok(update) => {
                span.record("update", tracing::field::debug(update));
                let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                tracing::debug!(subjects, micros, "in force");
                self.note(begun, update);
                Ok(update)
            }
            Err(error) => {
                self.is_behind = true;
                self.shared.sync_failed(&error.to_string());
                tracing::error!(%error, "not in force; what was stays");
                Err(error)
            }
        }
    }

    /// Undoes what others are told to have done to our table.
    ///
    /// # Errors
    /// When it cannot be told whether our rules are in force, or they cannot be put back.
    pub fn look(&mut self) -> Result<Handled, DataplaneError> {
        let begun = Instant::now();
        let handled = self.dataplane.look();
        self.settle(begun, handled)
    }

    /// Compares everything in force with what should be, and repairs what differs.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub fn verify(&mut self) -> Result<Handled, DataplaneError> {
        let begun = Instant::now();
        let handled = self.dataplane.verify();
        self.settle(begun, handled)
    }

    /// When to [`look`](Self::look) though nothing is told.
    pub fn due(&mut self) -> Option<Instant> {
        self.dataplane.due()
    }

    /// Writes what is in force to disk, if there is a place for it.
    pub fn save(&mut self) {
        let Some(store) = self.store.as_ref().filter(|_| !self.is_behind) else {
            return;
        };
        let saved = match self.dataplane.saved() {
            Ok(saved) => saved,
            Err(error) => {
                tracing::warn!(%error, "the rules cannot be saved for the next boot");
                return;
            }
        };
        let written: Result<(), StateError> = store.write(&saved);
        if let Err(error) = written {
            tracing::warn!(%error, "the rules are not saved for the next boot");
        }
    }

    fn take(&mut self, batches: Vec<Batch>) -> Changes {
        let mut events = Vec::new();
        for batch in batches {
            if let Some(reporter) = &self.reporter {
                reporter.report(&batch);
            }
            self.pending.push(Pending {
                entries: Entries::of(&batch),
                received: batch.received,
                ticket: batch.ticket,
            });
            let changes = batch.changes.into_iter();
            events.extend(changes.filter_map(|change| change.event));
        }
        self.note_node(&events);
        self.engine.apply(events)
    }

    /// With a wrong name no pod is local and nothing is enforced, so that must be told.
    fn note_node(&mut self, events: &[Event]) {
        let before = self.node_is_known;
        let mut is_known = before.unwrap_or_default();
        for event in events {
            match event {
                Event::Node(node) if *node.name == *self.node => is_known = true,
                Event::NodeGone(name) if **name == *self.node => is_known = false,
                _ => {}
            }
        }
        self.node_is_known = Some(is_known);
        if !is_known && before != Some(false) {
            tracing::warn!(
                node = self.node,
                "the cluster has no node of this name; is --node right?"
            );
        }
    }

    /// Notes what came of looking after the table.
    fn settle(
        &mut self,
        begun: Instant,
        handled: Result<Handled, DataplaneError>,
    ) -> Result<Handled, DataplaneError> {
        self.count_repairs();
        let update = match &handled {
            Ok(Handled::Updated(update)) => *update,
            Ok(Handled::Repaired(repair)) => repair.update,
            Ok(Handled::Intact) => Update::Nothing,
            Ok(Handled::Quiet | Handled::Postponed { .. }) => return handled,
            Err(error) => {
                self.is_behind = true;
                self.shared.sync_failed(&error.to_string());
                tracing::error!(%error, "cannot tell whether our rules are in force");
                return handled;
            }
        };
        // All that is known was put in force, also what a sync before could not.
        if self.is_behind || update != Update::Nothing {
            self.note(begun, update);
        }
        handled
    }

    /// Tells the node's addresses if they are others than before.
    fn tell_addresses(&self) {
        let Some(wiring) = &self.wiring else { return };
        let now = topology::addresses(self.engine.local_pods());
        wiring.send_if_modified(|told| {
            let is_news = *told != now;
            *told = now;
            is_news
        });
    }

    fn count_repairs(&self) {
        self.shared.metrics().set_repairs(self.dataplane.repairs());
    }

    /// Everything that was pending is in force.
    fn note(&mut self, begun: Instant, update: Update) {
        self.is_behind = false;
        let metrics = self.shared.metrics();
        metrics.count_update(update);
        metrics.sync_duration.observe(begun.elapsed().as_secs_f64());
        for pending in &self.pending {
            let latency = pending.received.elapsed().as_secs_f64();
            metrics.programming_latency.observe(latency);
        }
        let pending = std::mem::take(&mut self.pending);
        let ticket = pending.iter().map(|pending| pending.ticket).max();
        if pending
            .iter()
            .any(|pending| pending.entries.are_of(Kind::Pods))
        {
            self.tell_addresses();
        }
        let size = self.dataplane.size();
        let (node, node_is_known) = (&self.node, self.node_is_known.unwrap_or_default());
        self.shared.synced(self.engine.footprint(), size, |ledger| {
            for pending in pending {
                ledger.take(pending.entries);
            }
            ledger.note_own_node(node, node_is_known);
        });
        self.shared.ticket_in_force(ticket.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Change, Identity, Trouble};
    use nft_backend::config::Config;
    use nft_backend::fake::FakeKernel;
    use nft_backend::generation::MarkBits;
    use nft_backend::in_force::InForce;
    use nft_backend::kernel::ApplyError;
    use nft_backend::names::Name;
    use nft_backend::notifications::Notice;
    use nft_backend::transaction::Transaction;
    use policy_core::{Node, PodId, lower};
    use serde_json::{Value, json};
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    fn change(event: Event) -> Change {
        Change {
            event: Some(event),
            version: 1,
            identity: Identity::default(),
            trouble: Trouble::None,
        }
    }

    fn batch(kind: Kind, events: Vec<Event>) -> Batch {
        Batch {
            kind,
            changes: events.into_iter().map(change).collect(),
            is_complete: true,
            received: Instant::now(),
            ticket: 0,
        }
    }

    fn pod(name: &str, address: &str) -> Event {
        let object = json!({
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
            "spec": {"nodeName": "node-a", "containers": []},
            "status": {"podIPs": [{"ip": address}]},
        });
        Event::Pod(lower::pod(&serde_json::from_value(object).unwrap()).0)
    }

    fn policy(name: &str, spec: &Value) -> Event {
        let object = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
        Event::Policy(lower::policy(&serde_json::from_value(object).unwrap(), &[]).0)
    }

    /// A kernel that tells nobody what others do, and has not told that much.
    #[derive(Debug, Clone, Default)]
    struct Held(Arc<Mutex<(FakeKernel, Vec<Notice>)>>);

    impl Held {
        fn kernel<T>(&self, act: impl FnOnce(&mut FakeKernel) -> T) -> T {
            act(&mut self.0.lock().unwrap().0)
        }

        /// Somebody takes everything away; `is_told` whether the kernel says that something happened.
        fn lose_all(&self, is_told: bool) {
            let (kernel, notices) = &mut *self.0.lock().unwrap();
            *kernel = FakeKernel::new();
            notices.extend(is_told.then_some(Notice::Lost));
        }
    }

    impl Notices for Held {
        fn read(&mut self) -> io::Result<Vec<Notice>> {
            Ok(std::mem::take(&mut self.0.lock().unwrap().1))
        }

        fn wait(&self, _: Duration) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kernel for Held {
        fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
            self.kernel(|kernel| kernel.apply(transaction))
        }

        fn check(&self, transaction: &Transaction) -> Result<(), ApplyError> {
            self.kernel(|kernel| kernel.check(transaction))
        }

        fn list(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
            self.kernel(|kernel| kernel.list(table))
        }

        fn outline(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
            self.kernel(|kernel| kernel.outline(table))
        }

        fn clear_marks(&mut self, bits: MarkBits) -> Result<(), ApplyError> {
            self.kernel(|kernel| kernel.clear_marks(bits))
        }
    }

    fn enforcer() -> (Enforcer<Held, Held>, Shared, Held) {
        let held = Held::default();
        let (config, kernel, notices) = (Config::default(), held.clone(), held.clone());
        let dataplane = Dataplane::new("node-a", config, kernel, notices).unwrap();
        let shared = Shared::new("node-a");
        let enforcer = Enforcer::new("node-a", dataplane, shared.clone());
        (enforcer, shared, held)
    }

    fn refused() -> ApplyError {
        ApplyError::Refused {
            stderr: "no".to_owned(),
        }
    }

    #[test]
    fn the_first_sync_loads_and_later_ones_change_what_differs() {
        let (mut enforcer, shared, _) = enforcer();
        assert!(!shared.is_ready());
        let deny = policy("deny", &json!({"podSelector": {}}));
        let batches = vec![
            batch(Kind::Pods, vec![pod("web", "10.0.0.1")]),
            batch(Kind::Policies, vec![deny.clone()]),
        ];
        assert_eq!(enforcer.sync(batches).unwrap(), Update::Load);
        assert!(shared.is_ready());
        let same = vec![batch(Kind::Policies, vec![deny])];
        assert_eq!(enforcer.sync(same).unwrap(), Update::Nothing);
        let another = vec![batch(Kind::Pods, vec![pod("db", "10.0.0.2")])];
        assert_eq!(enforcer.sync(another).unwrap(), Update::Increment);
        assert_eq!(shared.document()["counts"]["pods"], 2);
    }

    #[test]
    fn what_failed_is_put_in_force_by_a_later_sync_without_events() {
        let (mut enforcer, shared, held) = enforcer();
        enforcer
            .sync(vec![batch(Kind::Pods, vec![pod("web", "10.0.0.1")])])
            .unwrap();
        held.kernel(|kernel| kernel.fail(1, refused()));
        let deny = policy("deny", &json!({"podSelector": {}}));
        let error = enforcer
            .sync(vec![batch(Kind::Policies, vec![deny])])
            .unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");
        assert_eq!(shared.document()["inForce"]["policies"], json!({}));
        assert!(shared.document()["error"].is_string());
        assert_ne!(enforcer.sync(Vec::new()).unwrap(), Update::Nothing);
        assert!(shared.document()["error"].is_null());
        assert_eq!(shared.document()["inForce"]["newest"]["policies"], 1);
    }

    #[test]
    fn a_node_that_the_cluster_does_not_have_is_told() {
        let (mut enforcer, shared, _) = enforcer();
        let problem = || shared.document()["inForce"]["problems"]["Node node-a"].clone();
        let node = |name: &str| Node {
            name: name.into(),
            addresses: vec![],
        };
        let sync = |enforcer: &mut Enforcer<_, _>, event| {
            enforcer
                .sync(vec![batch(Kind::Nodes, vec![event])])
                .unwrap();
        };
        sync(&mut enforcer, Event::Node(node("node-b")));
        assert!(problem()[0].as_str().unwrap().contains("--node"));
        sync(&mut enforcer, Event::Node(node("node-a")));
        assert!(problem().is_null());
        sync(&mut enforcer, Event::NodeGone("node-a".into()));
        assert!(problem().is_array());
    }

    #[test]
    fn what_failed_is_put_in_force_by_a_look_too() {
        let (mut enforcer, shared, held) = enforcer();
        enforcer
            .sync(vec![batch(Kind::Pods, vec![pod("web", "10.0.0.1")])])
            .unwrap();
        held.kernel(|kernel| kernel.fail(1, refused()));
        let deny = policy("deny", &json!({"podSelector": {}}));
        enforcer
            .sync(vec![batch(Kind::Policies, vec![deny])])
            .unwrap_err();
        assert!(enforcer.due().is_some());
        let handled = enforcer.look().unwrap();
        assert!(matches!(handled, Handled::Updated(_)), "{handled:?}");
        assert!(shared.document()["error"].is_null());
        assert_eq!(shared.document()["inForce"]["newest"]["policies"], 1);
        assert_eq!(enforcer.due(), None);
    }

    #[test]
    fn a_table_that_somebody_deleted_is_made_again() {
        let (mut enforcer, shared, held) = enforcer();
        enforcer
            .sync(vec![batch(Kind::Pods, vec![pod("web", "10.0.0.1")])])
            .unwrap();
        let in_force = || held.list(&Config::default().table).unwrap();
        let before = in_force();
        assert_eq!(enforcer.look().unwrap(), Handled::Quiet);
        assert_eq!(enforcer.verify().unwrap(), Handled::Intact);
        held.lose_all(true);
        assert!(matches!(enforcer.look().unwrap(), Handled::Repaired(_)));
        assert_eq!(in_force(), before);
        held.lose_all(false);
        assert_eq!(enforcer.look().unwrap(), Handled::Quiet);
        assert!(matches!(enforcer.verify().unwrap(), Handled::Repaired(_)));
        assert_eq!(in_force(), before);
        let text = shared.metrics().text();
        assert!(text.contains("nopal_drift_repairs_total 2"), "{text}");
    }

    #[test]
    fn addresses_of_the_nodes_pods_are_told_when_rules_are_in_force_for_them() {
        let (enforcer, _, held) = enforcer();
        let (sender, mut told) = watch::channel(Addresses::new());
        let mut enforcer = enforcer.telling_addresses_to(sender);
        let web = || vec![batch(Kind::Pods, vec![pod("web", "10.0.0.1")])];
        held.kernel(|kernel| kernel.fail(1, refused()));
        enforcer.sync(web()).unwrap_err();
        assert!(!told.has_changed().unwrap());
        enforcer.sync(Vec::new()).unwrap();
        let expected = Addresses::from([("10.0.0.1".parse().unwrap(), "shop/web".to_owned())]);
        assert_eq!(*told.borrow_and_update(), expected);
        enforcer.sync(web()).unwrap();
        assert!(!told.has_changed().unwrap(), "the same pods");
        let gone = Event::PodGone(PodId::new("shop", "web"));
        enforcer.sync(vec![batch(Kind::Pods, vec![gone])]).unwrap();
        assert!(told.borrow_and_update().is_empty());
    }

    #[test]
    fn what_is_not_in_force_is_not_saved() {
        let (enforcer, _, held) = enforcer();
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let mut enforcer = enforcer.saving_to(store.clone());
        enforcer.save();
        assert_eq!(store.read().unwrap(), None);
        let web = batch(Kind::Pods, vec![pod("web", "10.0.0.1")]);
        enforcer.sync(vec![web]).unwrap();
        enforcer.save();
        let saved = store.read().unwrap();
        assert!(saved.is_some());
        held.kernel(|kernel| kernel.fail(1, refused()));
        let deny = policy("deny", &json!({"podSelector": {}}));
        enforcer
            .sync(vec![batch(Kind::Policies, vec![deny])])
            .unwrap_err();
        enforcer.save();
        assert_eq!(store.read().unwrap(), saved);
        enforcer.sync(Vec::new()).unwrap();
        enforcer.save();
        assert_ne!(store.read().unwrap(), saved);
    }
}
