//! `nopal status`: what is in force, and how it differs from what policies mean.

use std::collections::BTreeSet;

use nft_backend::class_counters::{ClassCounts, ClassPolicies};
use nft_backend::config::Config;
use nft_backend::drift::drift;
use nft_backend::features::Features;
use nft_backend::in_force::InForce;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::nft::Nft;
use nft_backend::render::{class_policies, counted_rules};
use nft_backend::rule_counters::RuleCounts;
use nft_backend::ruleset::Ruleset;
use nft_backend::topology::{LocalPod, NodeNetwork, Report};
use policy_core::RuleId;

use super::{Outcome, kernel, load, node};
use crate::args::{Arguments, ClusterArguments, Format, InputArguments, Status};
use crate::report;
use crate::report::status::State;

pub(super) fn run(arguments: &Arguments, options: &Status) -> Outcome {
    let kernel = options.place.kernel();
    let features = match Features::probe(&kernel) {
        Ok(features) => features,
        Err(error) => {
            report::print_error(&format!("error: {}", kernel::explain(&error)));
            return Outcome::Unreadable;
        }
    };
    // As `apply` puts it in force.
    let (config, _) = features.adapt(Config::default());
    let counts = match kernel.counts(&config.table) {
        Ok(counts) => counts.unwrap_or_default(),
        Err(error) => {
            report::print_error(&format!("error: {}", kernel::explain(&error)));
            return Outcome::Unreadable;
        }
    };
    // A table that counts for rules was wanted so.
    let config = Config {
        rule_counters: !counts.1.is_empty(),
        ..config
    };
    let desired = match desired(arguments, options, &config) {
        Ok(desired) => desired,
        Err(outcome) => return outcome,
    };
    let (desired, outcome) = desired.unzip();
    let topology = desired
        .as_ref()
        .map(|desired| NodeNetwork::of(&kernel).detect(&desired.pods));
    let state = match look(&kernel, features, &config, counts, desired) {
        Ok(state) => State { topology, ..state },
        Err(error) => {
            report::print_error(&format!("error: {}", kernel::explain(&error)));
            return Outcome::Unreadable;
        }
    };
    report::print(&match options.format {
        Format::Text => report::status::text(&state),
        Format::Json => report::json(&report::status::json(&state)),
    });
    let differs = state.drift.is_some_and(|drift| !drift.is_empty());
    let is_enforced = |found: &Result<Report, _>| found.as_ref().is_ok_and(Report::is_enforced);
    let is_open = state.topology.is_some_and(|found| !is_enforced(&found));
    outcome.unwrap_or(Outcome::Fine).max(if differs || is_open {
        Outcome::Found
    } else {
        Outcome::Fine
    })
}

/// What should be in force.
struct Desired {
    ruleset: Ruleset,
    policies: ClassPolicies,
    rules: BTreeSet<RuleId>,
    pods: Vec<LocalPod>,
}

/// What should be in force, when PATHS say so.
fn desired(
    arguments: &Arguments,
    options: &Status,
    config: &Config,
) -> Result<Option<(Desired, Outcome)>, Outcome> {
    let Some(node) = &options.node else {
        return Ok(None);
    };
    let input = InputArguments {
        paths: options.paths.clone(),
        cluster: ClusterArguments::default(),
        namespace: options.namespace.clone(),
    };
    let manifests = load::some(arguments, &input).ok_or(Outcome::Unreadable)?;
    let local = node::local(&manifests, node)?;
    let desired = Desired {
        ruleset: node::rendered(&local.graph, node, config)?,
        policies: class_policies(&local.graph, node),
        rules: counted_rules(&local.graph, node),
        pods: local.pods,
    };
    Ok(Some((desired, local.outcome)))
}

fn look(
    kernel: &Nft,
    features: Features,
    config: &Config,
    (class_counts, rule_counts): (ClassCounts, RuleCounts),
    desired: Option<Desired>,
) -> Result<State, ApplyError> {
    let (desired, known) = desired
        .map(|desired| (desired.ruleset, (desired.policies, desired.rules)))
        .unzip();
    let (policies, rules) = known.unzip();
    let desired = desired.as_ref();
    let mut in_force = kernel.list(&config.table)?;
    let mut drift = desired.map(|desired| differences(desired, in_force.as_ref()));
    if drift.as_ref().is_some_and(|drift| !drift.is_empty()) {
        // Just after a large load the kernel can leave elements out of a list.
        in_force = kernel.list(&config.table)?;
        drift = desired.map(|desired| differences(desired, in_force.as_ref()));
    }
    Ok(State {
        features,
        config: config.clone(),
        table: config.table.clone(),
        counted: kernel.counted(&config.table)?,
        class_counts,
        rule_counts,
        policies,
        rules,
        in_force,
        topology: None,
        drift,
    })
}

/// Rules are only counted when they are compared, so the digest that the load left has to be the desired one as well.
fn differences(desired: &Ruleset, in_force: Option<&InForce>) -> Vec<String> {
    let nothing = InForce::default();
    let in_force = in_force.unwrap_or(&nothing);
    let mut differences: Vec<String> = drift(desired, in_force)
        .iter()
        .map(ToString::to_string)
        .collect();
    let digest = in_force.digest();
    if differences.is_empty() && digest != Some(desired.digest()) {
        differences.push(format!(
            "table {} was loaded from other policies",
            desired.table
        ));
    }
    differences
}
