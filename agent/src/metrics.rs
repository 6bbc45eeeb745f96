//! The numbers that the agent shows under `/metrics`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use nft_backend::in_force::{Counted, Traffic};
use nft_backend::live::Update;
use policy_core::RuleId;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::args::Mode;
use crate::dataplane::Size;
use crate::kind::Kind;

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// From the event's arrival to the rules in the kernel.
    pub programming_latency: Histogram,
    /// How long a sync takes.
    pub sync_duration: Histogram,
    /// Syncs that failed.
    pub sync_failures: Counter,
    drift_repairs: Counter,
    /// Changes that wait for the next sync.
    pub queue: Gauge,
    /// Addresses of pods that rules cannot hold for.
    pub unenforceable: Gauge,
    mode: Family<ByMode, Gauge>,
    transactions: Family<ByUpdate, Counter>,
    watch_restarts: Family<ByKind, Counter>,
    watch_healthy: Family<ByKind, Gauge>,
    objects: Family<ByKind, Gauge>,
    chains: Gauge,
    sets: Gauge,
    elements: Gauge,
    denied_packets: Counter,
    denied_bytes: Counter,
    audited_packets: Counter,
    audited_bytes: Counter,
    rule_packets: Family<ByRule, Counter>,
    sync_age: Gauge<f64, AtomicU64>,
    memory: Gauge<i64, AtomicI64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMode {
    mode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByUpdate {
    kind: UpdateKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRule {
    namespace: String,
    policy: String,
    direction: String,
    rule: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelValue)]
enum UpdateKind {
    Load,
    Switch,
    Increment,
    Nothing,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("nopal"),
            // From half a millisecond to 16 s.
            programming_latency: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            sync_duration: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            sync_failures: Counter::default(),
            drift_repairs: Counter::default(),
            queue: Gauge::default(),
            unenforceable: Gauge::default(),
            mode: Family::default(),
            transactions: Family::default(),
            watch_restarts: Family::default(),
            watch_healthy: Family::default(),
            objects: Family::default(),
            chains: Gauge::default(),
            sets: Gauge::default(),
            elements: Gauge::default(),
            denied_packets: Counter::default(),
            denied_bytes: Counter::default(),
            audited_packets: Counter::default(),
            audited_bytes: Counter::default(),
            rule_packets: Family::default(),
            sync_age: Gauge::default(),
            memory: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register_with_unit(
            "programming_latency",
            "From an event's arrival to the rules in the kernel",
            Unit::Seconds,
            self.programming_latency.clone(),
        );
        registry.register_with_unit(
            "sync_duration",
            "How long a sync takes",
            Unit::Seconds,
            self.sync_duration.clone(),
        );
        registry.register("sync_failures", "Failed syncs", self.sync_failures.clone());
        registry.register(
            "drift_repairs",
            "Times that the kernel was found changed by somebody else and repaired",
            self.drift_repairs.clone(),
        );
        registry.register(
            "queue_length",
            "Changes that wait for the next sync",
            self.queue.clone(),
        );
        registry.register(
            "unenforceable_addresses",
            "Addresses of the node's pods that rules cannot hold for",
            self.unenforceable.clone(),
        );
        registry.register(
            "mode",
            "Whether what policies deny is denied (enforce) or only told (audit)",
            self.mode.clone(),
        );
        registry.register(
            "updates",
            "Updates of the table, by how they were made",
            self.transactions.clone(),
        );
        registry.register(
            "watch_restarts",
            "Interruptions of a watch",
            self.watch_restarts.clone(),
        );
        registry.register(
            "watch_healthy",
            "Whether a watch is up",
            self.watch_healthy.clone(),
        );
        registry.register("objects", "Known objects", self.objects.clone());
        registry.register("chains", "Chains in force", self.chains.clone());
        registry.register("sets", "Sets and maps in force", self.sets.clone());
        registry.register("elements", "Their elements", self.elements.clone());
        registry.register(
            "denied_packets",
            "Packets that our rules denied since the table was made",
            self.denied_packets.clone(),
        );
        registry.register("denied_bytes", "Their bytes", self.denied_bytes.clone());
        registry.register(
            "audited_packets",
            "Packets that policies in audit mode would have denied since the table was made",
            self.audited_packets.clone(),
        );
        registry.register("audited_bytes", "Their bytes", self.audited_bytes.clone());
        registry.register(
            "rule_allowed_packets",
            "First packets of flows, also after a change of rules, that a rule admits at a pod of the node",
            self.rule_packets.clone(),
        );
        registry.register_with_unit(
            "last_sync_age",
            "Time since the last sync that succeeded",
            Unit::Seconds,
            self.sync_age.clone(),
        );
        registry.register_with_unit(
            "resident_memory",
            "Resident memory of the agent",
            Unit::Bytes,
            self.memory.clone(),
        );
    }

    /// Counts an update of the table.
    pub fn count_update(&self, update: Update) {
        let kind = match update {
            Update::Load => UpdateKind::Load,
            Update::Switch => UpdateKind::Switch,
            Update::Increment => UpdateKind::Increment,
            Update::Nothing => UpdateKind::Nothing,
        };
        self.transactions.get_or_create(&ByUpdate { kind }).inc();
    }

    /// Notes what becomes of what policies deny.
    pub fn set_mode(&self, mode: Mode) {
        let mode = mode.word();
        self.mode.get_or_create(&ByMode { mode }).set(1);
    }

    /// Notes how often the table was repaired since the start.
    pub fn set_repairs(&self, repairs: u64) {
        self.drift_repairs.inner().store(repairs, Ordering::Relaxed);
    }

    /// Notes how large the table is.
    pub fn set_size(&self, size: Size) {
        self.chains.set(gauge(size.chains));
        self.sets.set(gauge(size.sets));
        self.elements.set(gauge(size.elements));
    }

    /// Notes how many objects of a kind are known.
    pub fn set_objects(&self, kind: Kind, count: usize) {
        self.objects
            .get_or_create(&ByKind { kind })
            .set(gauge(count));
    }

    /// Notes whether a watch is up.
    pub fn set_watch(&self, kind: Kind, is_healthy: bool) {
        let healthy = self.watch_healthy.get_or_create(&ByKind { kind });
        healthy.set(i64::from(is_healthy));
        if !is_healthy {
            self.watch_restarts.get_or_create(&ByKind { kind }).inc();
        }
    }

    /// Notes what rules have admitted; those that are not there any more are told no more.
    pub fn set_rules(&self, admitted: &BTreeMap<RuleId, Traffic>) {
        self.rule_packets.clear();
        for (rule, traffic) in admitted {
            let labels = ByRule {
                namespace: rule.policy.namespace.to_string(),
                policy: rule.policy.name.to_string(),
                direction: rule.direction.to_string(),
                rule: rule.rule,
            };
            let counter = self.rule_packets.get_or_create(&labels);
            counter.inner().store(traffic.packets, Ordering::Relaxed);
        }
    }

    /// Notes what is looked at when somebody asks.
    pub fn set_now(&self, counted: Option<Counted>, sync_age: Option<Duration>) {
        if let Some(Counted { denied, audited }) = counted {
            store(&self.denied_packets, &self.denied_bytes, denied);
            store(&self.audited_packets, &self.audited_bytes, audited);
        }
        if let Some(age) = sync_age {
            self.sync_age.set(age.as_secs_f64());
        }
        if let Some(memory) = resident_memory() {
            self.memory.set(memory);
        }
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn store(packets: &Counter, bytes: &Counter, traffic: Traffic) {
    packets.inner().store(traffic.packets, Ordering::Relaxed);
    bytes.inner().store(traffic.bytes, Ordering::Relaxed);
}

/// A count as gauges have it.
pub fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Resident memory in bytes, from `VmRSS` of `/proc/self/status`.
fn resident_memory() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_each_metric_once_it_has_a_value() {
        let metrics = Metrics::default();
        metrics.set_mode(Mode::Audit);
        metrics.count_update(Update::Increment);
        metrics.set_watch(Kind::Pods, true);
        metrics.set_watch(Kind::Pods, false);
        metrics.programming_latency.observe(0.003);
        let counted = Counted {
            denied: Traffic {
                packets: 5,
                bytes: 300,
            },
            audited: Traffic::default(),
        };
        metrics.set_now(Some(counted), Some(Duration::from_secs(2)));
        let text = metrics.text();
        for line in [
            "nopal_mode{mode=\"audit\"} 1",
            "nopal_updates_total{kind=\"Increment\"} 1",
            "nopal_watch_healthy{kind=\"Pods\"} 0",
            "nopal_watch_restarts_total{kind=\"Pods\"} 1",
            "nopal_programming_latency_seconds_count 1",
            "nopal_denied_packets_total 5",
            "nopal_last_sync_age_seconds 2.0",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(resident_memory().unwrap() > 100_000);
    }

    #[test]
    fn a_rule_is_told_with_its_place_until_it_is_gone() {
        let metrics = Metrics::default();
        let rule = |number| RuleId {
            policy: policy_core::PolicyId {
                namespace: "shop".into(),
                name: "web".into(),
            },
            direction: policy_core::Direction::Ingress,
            rule: number,
        };
        let traffic = Traffic {
            packets: 7,
            bytes: 420,
        };
        let line = |rule: u32| {
            format!(
                "nopal_rule_allowed_packets_total{{namespace=\"shop\",policy=\"web\",\
                 direction=\"ingress\",rule=\"{rule}\"}} 7\n"
            )
        };
        metrics.set_rules(&BTreeMap::from([(rule(0), traffic), (rule(1), traffic)]));
        let text = metrics.text();
        assert!(text.contains(&line(0)) && text.contains(&line(1)), "{text}");
        metrics.set_rules(&BTreeMap::from([(rule(1), traffic)]));
        let text = metrics.text();
        assert!(
            !text.contains(&line(0)) && text.contains(&line(1)),
            "{text}"
        );
    }
}
