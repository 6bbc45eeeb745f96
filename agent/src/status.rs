//! What the agent knows about itself, shared between its parts and shown by `GET /v1/status`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use policy_core::RuleId;
use policy_core::incremental::Footprint;
use serde::Serialize;
use tokio::sync::watch;

use crate::args::Mode;
use crate::dataplane::Size;
use crate::kind::Kind;
use crate::ledger::Ledger;
use crate::metrics::{Metrics, gauge};
use crate::topology::Unenforceable;

/// The agent's knowledge about itself. Clones share it.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: String,
    mode: Mode,
    metrics: Metrics,
    state: Mutex<State>,
    /// The highest ticket of the batches that are in force.
    ticket: watch::Sender<u64>,
}

/// What changes.
#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    footprint: Footprint,
    size: Size,
    last_sync: Option<Instant>,
    error: Option<String>,
    watches: BTreeMap<Kind, Watch>,
    unenforceable: BTreeSet<Unenforceable>,
    counted_rules: BTreeSet<RuleId>,
    unguarded: Option<BTreeSet<Unenforceable>>,
    quarantined: BTreeSet<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Watch {
    healthy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The document under `/v1/status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    node: &'a str,
    version: &'static str,
    mode: &'static str,
    ready: bool,
    in_force: &'a Ledger,
    counts: Counts,
    watches: &'a BTreeMap<Kind, Watch>,
    unenforceable: &'a BTreeSet<Unenforceable>,
    /// The addresses whose interfaces are not known, with anti-spoofing.
    #[serde(skip_serializing_if = "Option::is_none")]
    unguarded: &'a Option<BTreeSet<Unenforceable>>,
    quarantined: &'a BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sync_seconds_ago: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: &'a Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    namespaces: usize,
    nodes: usize,
    pods: usize,
    policies: usize,
    subjects: usize,
    chains: usize,
    sets: usize,
    elements: usize,
}

impl Shared {
    /// Nothing is known yet of an agent that enforces.
    pub fn new(node: &str) -> Self {
        Self::in_mode(node, Mode::Enforce)
    }

    /// Nothing is known yet of an agent in this mode.
    pub fn in_mode(node: &str, mode: Mode) -> Self {
        let metrics = Metrics::default();
        metrics.set_mode(mode);
        Self(Arc::new(Inner {
            node: node.to_owned(),
            mode,
            metrics,
            state: Mutex::default(),
            ticket: watch::Sender::new(0),
        }))
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// A watch delivers.
    pub fn watch_works(&self, kind: Kind) {
        let mut state = self.state();
        let watch = state.watches.entry(kind).or_default();
        if !watch.healthy {
            *watch = Watch {
                healthy: true,
                error: None,
            };
            self.metrics().set_watch(kind, true);
        }
    }

    /// A watch was interrupted.
    pub fn watch_failed(&self, kind: Kind, error: &str) {
        let watch = Watch {
            healthy: false,
            error: Some(error.to_owned()),
        };
        self.state().watches.insert(kind, watch);
        self.metrics().set_watch(kind, false);
    }

    /// Everything that was known is in force now.
    pub fn synced(&self, footprint: Footprint, size: Size, update: impl FnOnce(&mut Ledger)) {
        let mut state = self.state();
        update(&mut state.ledger);
        state.footprint = footprint;
        state.size = size;
        state.last_sync = Some(Instant::now());
        state.error = None;
        drop(state);
        let metrics = self.metrics();
        metrics.set_size(size);
        metrics.set_objects(Kind::Namespaces, footprint.namespaces);
        metrics.set_objects(Kind::Nodes, footprint.nodes);
        metrics.set_objects(Kind::Pods, footprint.pods);
        metrics.set_objects(Kind::Policies, footprint.policies);
    }

    /// Packets are counted for these rules now.
    pub fn counts(&self, rules: BTreeSet<RuleId>) {
        self.state().counted_rules = rules;
    }

    /// The rules that packets are counted for; none where rules are not counted.
    pub fn counted_rules(&self) -> BTreeSet<RuleId> {
        self.state().counted_rules.clone()
    }

    /// What was known is not in force.
    pub fn sync_failed(&self, error: &str) {
        self.state().error = Some(error.to_owned());
        self.metrics().sync_failures.inc();
    }

    /// The batches up to this ticket are in force: they come in order.
    pub fn ticket_in_force(&self, ticket: u64) {
        self.0.ticket.send_if_modified(|highest| {
            let is_news = ticket > *highest;
            *highest = ticket.max(*highest);
            is_news
        });
    }

    /// Waits until the batch with this ticket is in force.
    pub async fn in_force(&self, ticket: u64) {
        let mut highest = self.0.ticket.subscribe();
        // The sender lives as long as `self`.
        let _ = highest.wait_for(|highest| *highest >= ticket).await;
    }

    /// Rules cannot hold for these addresses, and can for all others.
    pub fn surveyed(&self, unenforceable: &BTreeSet<Unenforceable>) {
        self.state().unenforceable.clone_from(unenforceable);
        self.metrics().unenforceable.set(gauge(unenforceable.len()));
    }

    /// Anybody may forge these addresses from their interfaces, and no others of this node's pods.
    pub fn unguarded(&self, unguarded: &BTreeSet<Unenforceable>) {
        self.state().unguarded = Some(unguarded.clone());
    }

    /// These pods are in quarantine.
    pub fn quarantined(&self, pods: BTreeSet<String>) {
        self.state().quarantined = pods;
    }

    /// Whether a first complete view is in force.
    pub fn is_ready(&self) -> bool {
        self.state().last_sync.is_some()
    }

    /// How long ago the last sync succeeded.
    pub fn sync_age(&self) -> Option<Duration> {
        self.state().last_sync.map(|at| at.elapsed())
    }

    /// The document under `/v1/status`.
    pub fn document(&self) -> serde_json::Value {
        let state = self.state();
        let footprint = &state.footprint;
        let document = Document {
            node: &self.0.node,
            version: env!("CARGO_PKG_VERSION"),
            mode: self.0.mode.word(),
            ready: state.last_sync.is_some(),
            in_force: &state.ledger,
            counts: Counts {
                namespaces: footprint.namespaces,
                nodes: footprint.nodes,
                pods: footprint.pods,
                policies: footprint.policies,
                subjects: footprint.subjects,
                chains: state.size.chains,
                sets: state.size.sets,
                elements: state.size.elements,
            },
            watches: &state.watches,
            unenforceable: &state.unenforceable,
            unguarded: &state.unguarded,
            quarantined: &state.quarantined,
            last_sync_seconds_ago: state.last_sync.map(|at| at.elapsed().as_secs_f64()),
            error: &state.error,
        };
        // Names and numbers always become JSON.
        serde_json::to_value(document).unwrap_or_default()
    }

    /// A panic elsewhere leaves plain values behind, which are still right.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
