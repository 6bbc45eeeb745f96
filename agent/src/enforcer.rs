//! The owner of the engine and the data plane: takes batches in, and puts what they change in force.
//!
//! It is plain and blocking; the sync decides when it works, and on which thread.

use std::time::Instant;

use nft_backend::digest::Digest;
use nft_backend::kernel::Kernel;
use nft_backend::live::Update;
use nft_backend::notifications::Notices;
use policy_core::{Changes, Engine, Event};
use tokio::sync::watch;

use crate::dataplane::{Dataplane, DataplaneError, Handled};
use crate::ledger::Entries;
use crate::report::Reporter;
use crate::state::Store;
use crate::status::Shared;
use crate::topology::Addresses;
use crate::watch::Batch;
use crate::wiring::Wiring;

pub use unsaved::Unsaved;

mod unsaved;

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
    wiring: Option<Wiring>,
    shared: Shared,
    /// Rules are in force that this process has not made.
    has_found_rules: bool,
    /// What the engine took over and the kernel has not.
    pending: Vec<Pending>,
    /// Not everything that is known is in force.
    is_behind: bool,
    /// What is on disk.
    saved: Option<Digest>,
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
            engine: if dataplane.counts_rules() {
                Engine::new(node).telling_rules()
            } else {
                Engine::new(node)
            },
            dataplane,
            store: None,
            reporter: None,
            wiring: None,
            shared,
            has_found_rules: false,
            pending: Vec::new(),
            is_behind: true,
            saved: None,
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
        let wiring = Some(Wiring::new(&self.node, wiring));
        Self { wiring, ..self }
    }

    /// Where rules were found in force, they stay until the cluster shows the node or a pod on it: by a name that is
    /// wrong no pod would be here, and everything open.
    #[must_use]
    pub fn in_place_of_found_rules(self, has_found_rules: bool) -> Self {
        Self {
            has_found_rules,
            ..self
        }
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
        // Without pods of the node the changes are of nobody, so none is lost.
        let done = self.admit().and_then(|()| self.dataplane.enforce(&changes));
        self.count_repairs();
        match done {
            Ok(update) if self.dataplane.is_fought() => {
                self.note_fought();
                Ok(update)
            }
            Ok(update) => {
                span.record("update", tracing::field::debug(update));
                let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                tracing::debug!(subjects, micros, "in force");
                self.note(begun, update);
                self.prepare();
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

    /// What is in force and not on disk yet, to be written beside the sync; `None` when there is nothing to write, or no
    /// place for it.
    pub fn unsaved(&self) -> Option<Unsaved> {
        let store = self.store.as_ref().filter(|_| !self.is_behind)?;
        if self.saved == Some(self.dataplane.digest()) {
            return None;
        }
        let rules = self.dataplane.copied()?;
        let store = store.clone();
        Some(Unsaved { store, rules })
    }

    /// What was [`unsaved`](Self::unsaved) is on disk now.
    pub fn note_saved(&mut self, digest: Digest) {
        self.saved = Some(digest);
    }

    /// Whoever waited for a change has been told, so this is the time for what the next one would have to do.
    fn prepare(&mut self) {
        if let Err(error) = self.dataplane.prepare() {
            tracing::debug!(%error, "standing flows could not be prepared; a change will");
        }
    }

    /// Whether what is known may replace what was found.
    fn admit(&mut self) -> Result<(), DataplaneError> {
        let is_known = self.node_is_known.unwrap_or_default();
        if self.has_found_rules && !is_known && self.engine.local_pods().next().is_none() {
            return Err(DataplaneError::UnknownNode(self.node.clone()));
        }
        self.has_found_rules = false;
        Ok(())
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
            if let Some(wiring) = &mut self.wiring {
                wiring.hear(&batch.changes);
            }
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
            Ok(Handled::Quiet) => return handled,
            Ok(Handled::Postponed { .. }) => {
                self.note_fought();
                return handled;
            }
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

    /// Others changed the table, and undoing it has to wait: until then nobody is told that anything is in force.
    fn note_fought(&mut self) {
        if !self.is_behind {
            self.shared.sync_failed(
                "somebody changes our table again and again; it is put back once a second",
            );
        }
        self.is_behind = true;
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
        if let Some(wiring) = &mut self.wiring {
            wiring.tell(|| self.engine.local_pods());
        }
        self.shared.counts(self.dataplane.counted_rules());
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
mod tests;
