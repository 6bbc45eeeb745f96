//! What policies have let through and denied, for people and for programs.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt::Write;

use nft_backend::class_counters::{ClassCounts, ClassPolicies, Counts, by_policy};
use nft_backend::rule_counters::{RuleCounts, by_rule};
use policy_core::RuleId;
use serde_json::{Value, json};

use super::status::traffic;

/// How many classes, or counters of rules, are listed when their policies are not known.
const LISTED: usize = 10;

/// A line for each policy and direction; where the policies are not known, for the classes that refused most.
pub(super) fn text(counts: &ClassCounts, policies: Option<&ClassPolicies>) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let mut text =
        "counted at isolated pods (first packets of flows, also after a change of rules):\n"
            .to_owned();
    if let Some(policies) = policies {
        for ((policy, direction), counts) in by_policy(counts, policies) {
            let _ = writeln!(text, "  {policy} {direction}: {}", line(&counts));
        }
        return text;
    }
    let mut classes: Vec<_> = counts.iter().collect();
    classes.sort_by_key(|(_, counts)| Reverse(counts.denied.packets + counts.audited.packets));
    for ((direction, class), counts) in classes.iter().take(LISTED) {
        let _ = writeln!(text, "  class {class} {direction}: {}", line(counts));
    }
    let more = classes.len().saturating_sub(LISTED);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more, which refused no more packets");
    }
    text + "  which policies these are: nopal status --node NODE PATHS\n"
}

fn line(counts: &Counts) -> String {
    let (allowed, denied) = (counts.allowed_packets(), counts.denied.packets);
    let mut line = format!("{allowed} allowed, {denied} denied");
    if counts.audited.packets > 0 {
        let _ = write!(line, ", {} only audited", counts.audited.packets);
    }
    line
}

/// A line for each rule; where the rules are not known, for the counters that counted most. Nothing where rules are not
/// counted.
pub(super) fn rules_text(counts: &RuleCounts, rules: Option<&BTreeSet<RuleId>>) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let mut text =
        "of it admitted by each rule (a packet counts for every rule that admits it):\n".to_owned();
    if let Some(rules) = rules {
        for (rule, traffic) in by_rule(counts, rules.iter().cloned()) {
            let _ = writeln!(text, "  {rule}: {} allowed", traffic.packets);
        }
        return text;
    }
    let mut counters: Vec<_> = counts.iter().collect();
    counters.sort_by_key(|(_, traffic)| Reverse(traffic.packets));
    for (counter, traffic) in counters.iter().take(LISTED) {
        let _ = writeln!(text, "  {counter}: {} allowed", traffic.packets);
    }
    let more = counters.len().saturating_sub(LISTED);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more, which allowed no more packets");
    }
    text
}

/// Every counter of a rule.
pub(super) fn rule_counters_json(counts: &RuleCounts) -> Value {
    let counters = counts.iter().map(|(counter, counted)| {
        let mut object = traffic(*counted);
        object["counter"] = json!(counter.as_str());
        object
    });
    counters.collect()
}

/// Every rule that is counted and that the policies of the node have.
pub(super) fn rules_json(counts: &RuleCounts, rules: &BTreeSet<RuleId>) -> Value {
    let rules = by_rule(counts, rules.iter().cloned()).into_iter();
    let rules = rules.map(|(rule, counted)| {
        json!({
            "namespace": &*rule.policy.namespace,
            "name": &*rule.policy.name,
            "direction": rule.direction.to_string(),
            "rule": rule.rule,
            "allowed": traffic(counted),
        })
    });
    rules.collect()
}

/// Every class.
pub(super) fn classes_json(counts: &ClassCounts) -> Value {
    let classes = counts.iter().map(|((direction, class), counts)| {
        let mut object = counts_json(counts);
        object["class"] = json!(class.as_str());
        object["direction"] = json!(direction.to_string());
        object
    });
    classes.collect()
}

/// Every policy that isolates a pod of the node.
pub(super) fn policies_json(counts: &ClassCounts, policies: &ClassPolicies) -> Value {
    let policies = by_policy(counts, policies).into_iter();
    let policies = policies.map(|((policy, direction), counts)| {
        let mut object = counts_json(&counts);
        object["namespace"] = json!(&*policy.namespace);
        object["name"] = json!(&*policy.name);
        object["direction"] = json!(direction.to_string());
        object
    });
    policies.collect()
}

fn counts_json(counts: &Counts) -> Value {
    json!({
        "evaluated": traffic(counts.evaluated),
        "denied": traffic(counts.denied),
        "audited": traffic(counts.audited),
    })
}
