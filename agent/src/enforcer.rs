//! The owner of the engine and the data plane: takes batches in, and puts what they change in force.
//!
//! It is plain and blocking; the sync decides when it works, and on which thread.

use std::time::Instant;

use nft_backend::kernel::Kernel;
use nft_backend::live::Update;
use policy_core::{Changes, Engine, Event};

use crate::dataplane::{Dataplane, DataplaneError};
use crate::ledger::Entries;
use crate::report::Reporter;
use crate::state::{StateError, Store};
use crate::status::Shared;
use crate::watch::Batch;

/// The engine, the data plane, and what is known but not in force yet.
#[derive(Debug)]
pub struct Enforcer<K> {
    node: String,
    /// Whether the cluster has a node of this name, once that was told.
    node_is_known: Option<bool>,
    engine: Engine,
    dataplane: Dataplane<K>,
    store: Option<Store>,
    reporter: Option<Reporter>,
    shared: Shared,
    /// What the engine took over and the kernel has not.
    pending: Vec<Pending>,
    /// The last attempt failed, so that changes alone do not tell what is to be done.
    is_behind: bool,
}

#[derive(Debug)]
struct Pending {
    entries: Entries,
    received: Instant,
    ticket: u64,
}

/// What a look at the kernel found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is as it was left.
    Right,
    /// It was changed by somebody else, in these ways, and is right again.
    Repaired(Vec<String>),
}

impl<K: Kernel> Enforcer<K> {
    /// Nothing is known, and nothing is touched before the first [`sync`](Self::sync).
    pub fn new(node: &str, dataplane: Dataplane<K>, shared: Shared) -> Self {
        Self {
            node: node.to_owned(),
            node_is_known: None,
            engine: Engine::new(node),
            dataplane,
            store: None,
            reporter: None,
            shared,
            pending: Vec::new(),
            is_behind: false,
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
        let done = if self.is_behind {
            self.dataplane.resync(&self.engine)
        } else {
            self.dataplane.enforce(&self.engine, &changes)
        };
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

    /// Whether our table still leads packets to our chains; repairs it if not.
    pub fn look(&mut self) -> Result<Found, DataplaneError> {
        if self.dataplane.stands()? {
            return Ok(Found::Right);
        }
        self.repair(vec!["our table is not there, or leads nowhere".to_owned()])
    }

    /// Compares everything in force with what should be; repairs it where it differs.
    pub fn verify(&mut self) -> Result<Found, DataplaneError> {
        let differences = self.dataplane.verify()?;
        if differences.is_empty() {
            return Ok(Found::Right);
        }
        self.repair(differences)
    }

    /// Writes what is in force to disk, if there is a place for it.
    pub fn save(&mut self) {
        let Some(store) = &self.store else { return };
        let saved = match self.dataplane.saved() {
            Ok(Some(saved)) => saved,
            Ok(None) => return,
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

    fn repair(&mut self, differences: Vec<String>) -> Result<Found, DataplaneError> {
        for difference in differences.iter().take(10) {
            tracing::warn!(difference, "somebody changed our table; it is made anew");
        }
        self.dataplane.forget();
        self.is_behind = true;
        self.sync(Vec::new())?;
        self.shared.metrics().drift_repairs.inc();
        Ok(Found::Repaired(differences))
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
    use crate::kind::Kind;
    use crate::watch::{Change, Identity, Trouble};
    use nft_backend::config::Config;
    use nft_backend::fake::FakeKernel;
    use nft_backend::kernel::ApplyError;
    use policy_core::{Node, lower};
    use serde_json::{Value, json};

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

    fn enforcer() -> (Enforcer<FakeKernel>, Shared) {
        let dataplane = Dataplane::new("node-a", Config::default(), FakeKernel::new());
        let shared = Shared::new("node-a");
        (Enforcer::new("node-a", dataplane, shared.clone()), shared)
    }

    fn refused() -> ApplyError {
        ApplyError::Refused {
            stderr: "no".to_owned(),
        }
    }

    #[test]
    fn the_first_sync_loads_and_later_ones_change_what_differs() {
        let (mut enforcer, shared) = enforcer();
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
        let (mut enforcer, shared) = enforcer();
        enforcer
            .sync(vec![batch(Kind::Pods, vec![pod("web", "10.0.0.1")])])
            .unwrap();
        enforcer.dataplane.kernel_mut().fail(1, refused());
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
        let (mut enforcer, shared) = enforcer();
        let problem = || shared.document()["inForce"]["problems"]["Node node-a"].clone();
        let node = |name: &str| Node {
            name: name.into(),
            addresses: vec![],
        };
        let sync = |enforcer: &mut Enforcer<_>, event| {
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
    fn a_table_that_somebody_deleted_is_made_again() {
        let (mut enforcer, _) = enforcer();
        enforcer
            .sync(vec![batch(Kind::Pods, vec![pod("web", "10.0.0.1")])])
            .unwrap();
        assert_eq!(enforcer.look().unwrap(), Found::Right);
        assert_eq!(enforcer.verify().unwrap(), Found::Right);
        *enforcer.dataplane.kernel_mut() = FakeKernel::new();
        assert!(matches!(enforcer.look().unwrap(), Found::Repaired(_)));
        assert_eq!(enforcer.verify().unwrap(), Found::Right);
    }
}
