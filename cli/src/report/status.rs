//! What is in force, for people and for programs.

use std::collections::BTreeSet;
use std::fmt::Write;

use nft_backend::class_counters::{ClassCounts, ClassPolicies};
use nft_backend::config::Config;
use nft_backend::features::Features;
use nft_backend::in_force::{Counted, InForce, Traffic};
use nft_backend::names::Name;
use nft_backend::rule_counters::RuleCounts;
use nft_backend::topology::{Report, TopologyError};
use policy_core::RuleId;
use serde_json::{Value, json};

use super::{counted, status_counts, topology};

/// What is in force.
#[derive(Debug)]
pub struct State {
    /// What the kernel and nft can do.
    pub features: Features,
    /// What of it is needed is told by the configuration.
    pub config: Config,
    /// The table that was looked for.
    pub table: Name,
    /// What is in it; `None` when there is no such table.
    pub in_force: Option<InForce>,
    /// What it has denied and audited.
    pub counted: Option<Counted>,
    /// What each class has counted.
    pub class_counts: ClassCounts,
    /// What the counters of rules have counted, where there are any.
    pub rule_counts: RuleCounts,
    /// The policies behind the classes, if there were any to compare with.
    pub policies: Option<ClassPolicies>,
    /// The rules that can have been counted, if there were any to compare with.
    pub rules: Option<BTreeSet<RuleId>>,
    /// How the node's pods are wired, if it was told which they are.
    pub topology: Option<Result<Report, TopologyError>>,
    /// How it differs from what policies mean, if there were any to compare with.
    pub drift: Option<Vec<String>>,
}

/// The state for people.
pub fn text(state: &State) -> String {
    let mut text = match &state.in_force {
        None => format!(
            "there is no table inet {}; no policy is in force\n",
            state.table
        ),
        Some(in_force) => in_force_text(state, in_force),
    };
    text += &features_text(state);
    text += &state
        .topology
        .as_ref()
        .map(topology::text)
        .unwrap_or_default();
    match &state.drift {
        None => {}
        Some(drift) if drift.is_empty() => text += "it is what the policies mean\n",
        Some(drift) => {
            let _ = writeln!(
                text,
                "{} from what the policies mean:",
                counted(drift.len(), "difference")
            );
            for difference in drift {
                let _ = writeln!(text, "  {difference}");
            }
        }
    }
    text
}

/// What is there, in one line, and a line for each feature that is missing.
fn features_text(state: &State) -> String {
    let Features { kernel, nft, found } = &state.features;
    let missing = found.iter().filter(|(_, refusal)| refusal.is_some());
    let missing: Vec<_> = missing.map(|(feature, _)| feature).collect();
    if missing.is_empty() {
        let features = counted(found.len(), "feature");
        return format!("kernel {kernel}, nft {nft}: has all {features} that were looked for\n");
    }
    let mut text = format!("kernel {kernel}, nft {nft} lack:\n");
    for feature in missing {
        let need = if feature.need.is_of(&state.config) {
            "needed"
        } else {
            "not needed"
        };
        let _ = writeln!(
            text,
            "  {}, for {} ({need}; in kernels since {} with CONFIG_{})",
            feature.name, feature.purpose, feature.kernel, feature.option
        );
    }
    text
}

fn in_force_text(state: &State, in_force: &InForce) -> String {
    let table = &state.table;
    let mut text = match in_force.epoch() {
        None => format!("table inet {table} is there, but no load of ours was switched to\n"),
        Some(epoch) => format!("table inet {table}: epoch {epoch}"),
    };
    if in_force.epoch().is_some() {
        if let Some((bits, generation)) = in_force.generation() {
            let _ = write!(text, ", generation {generation} in mark bits {bits}");
        }
        if let Some(digest) = in_force.digest() {
            let _ = write!(text, ", digest {digest}");
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "{}, {} and {} with {}",
        counted(in_force.chains.len(), "chain"),
        counted(in_force.sets.len(), "set"),
        counted(in_force.maps.len(), "map"),
        counted(elements(in_force), "element"),
    );
    if let Some(Counted { denied, audited }) = state.counted {
        for (what, Traffic { packets, bytes }) in [("denied", denied), ("audited", audited)] {
            let _ = writeln!(text, "{what} so far: {packets} packets, {bytes} bytes");
        }
    }
    text += &status_counts::text(&state.class_counts, state.policies.as_ref());
    text + &status_counts::rules_text(&state.rule_counts, state.rules.as_ref())
}

/// The state for programs.
pub fn json(state: &State) -> Value {
    let in_force = state.in_force.as_ref().map(|in_force| {
        let generation = in_force.generation();
        json!({
            "epoch": in_force.epoch().and_then(|epoch| number(&epoch)),
            "generation": generation.and_then(|(_, generation)| number(&generation)),
            "markBits": generation.map(|(bits, _)| bits.to_string()),
            "digest": in_force.digest().map(|digest| digest.to_string()),
            "chains": in_force.chains.len(),
            "sets": in_force.sets.len(),
            "maps": in_force.maps.len(),
            "elements": elements(in_force),
            "denied": state.counted.map(|counted| traffic(counted.denied)),
            "audited": state.counted.map(|counted| traffic(counted.audited)),
            "classes": status_counts::classes_json(&state.class_counts),
            "policies": state.policies.as_ref().map(|policies| {
                status_counts::policies_json(&state.class_counts, policies)
            }),
            "ruleCounters": status_counts::rule_counters_json(&state.rule_counts),
            "rules": state.rules.as_ref().map(|rules| {
                status_counts::rules_json(&state.rule_counts, rules)
            }),
        })
    });
    let features = state.features.found.iter().map(|(feature, refusal)| {
        json!({
            "name": feature.name,
            "available": refusal.is_none(),
            "needed": feature.need.is_of(&state.config),
            "sinceKernel": feature.kernel,
            "kernelOption": format!("CONFIG_{}", feature.option),
            "refusal": refusal,
        })
    });
    json!({
        "kernel": state.features.kernel,
        "nft": state.features.nft.to_string(),
        "features": features.collect::<Vec<_>>(),
        "table": state.table.as_str(),
        "inForce": in_force,
        "topology": state.topology.as_ref().map(topology::json),
        "drift": state.drift,
    })
}

pub(super) fn traffic(Traffic { packets, bytes }: Traffic) -> Value {
    json!({ "packets": packets, "bytes": bytes })
}

fn number(value: &impl ToString) -> Option<u64> {
    value.to_string().parse().ok()
}

fn elements(in_force: &InForce) -> usize {
    let sets = in_force
        .sets
        .values()
        .map(|set| set.elements.len() + set.unread.len());
    let maps = in_force
        .maps
        .values()
        .map(|map| map.entries.len() + map.unread.len());
    sets.chain(maps).sum()
}
