//! Every form that the API server refuses, where lowering finds it, and what the policy then isolates and allows.

mod object;
mod policy;
mod rule;

use policy_core::policy::{Peers, Policy, Rule};
use policy_core::testing::Objects;
use policy_core::{Problem, lower};
use serde_json::{Value, json};

/// A `spec` in YAML, its problems (path and message), and a summary of what it became: for each direction `-` where
/// it does not isolate, else one letter for each rule, `x` where that matches nothing, `e` for everyone, `p` for
/// listed peers.
pub(crate) type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

pub(crate) fn check(rows: &[Row]) {
    for (spec, expected, summary) in rows {
        let (policy, problems) = lower_spec(spec);
        let found: Vec<(String, String)> = problems
            .iter()
            .map(|problem| (problem.path.to_string(), problem.kind.to_string()))
            .collect();
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(path, message)| (path.as_str(), message.as_str()))
            .collect();
        assert_eq!(found, *expected, "{spec}");
        assert_eq!(summarize(&policy), *summary, "{spec}");
    }
}

pub(crate) fn lower_spec(spec: &str) -> (Policy, Vec<Problem>) {
    let spec: Value = serde_saphyr::from_str(spec).expect("a row holds YAML");
    lower_object(json!({
        "kind": "NetworkPolicy",
        "metadata": { "namespace": "shop", "name": "web" },
        "spec": spec,
    }))
}

pub(crate) fn lower_object(object: Value) -> (Policy, Vec<Problem>) {
    let objects = Objects::read(vec![object]).expect("a policy always can be read");
    let (object, unread) = &objects.policies()[0];
    lower::policy(object, unread)
}

pub(crate) fn summarize(policy: &Policy) -> String {
    let rules = |isolates: bool, rules: &[Rule]| -> String {
        let letters = rules.iter().map(|rule| match rule {
            Rule::NotUnderstood => 'x',
            Rule::Allow {
                peers: Peers::Everyone,
                ..
            } => 'e',
            Rule::Allow {
                peers: Peers::Listed(_),
                ..
            } => 'p',
        });
        let letters: String = letters.collect();
        if isolates {
            format!("[{letters}]")
        } else {
            format!("-{letters}")
        }
    };
    let ingress = rules(policy.isolates_ingress, &policy.ingress);
    let egress = rules(policy.isolates_egress, &policy.egress);
    format!("in {ingress} out {egress}")
}
