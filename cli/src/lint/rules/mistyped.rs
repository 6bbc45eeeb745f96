//! Values of a wrong type belong to the rule that speaks of their field.

use policy_core::problem::{FieldPath, Problem, ProblemKind, Segment};

/// What a field is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Name,
    PolicyType,
    Cidr,
    Port,
    EndPort,
    Protocol,
    Selector,
    LabelValue,
    /// An entry of `from` or `to` without anything behind its dash.
    EmptyPeer,
    /// Anything else: lists and mappings where the API has something else.
    Structure,
}

/// What a value of a wrong type is about; `None` for every other problem.
pub(super) fn topic(problem: &Problem) -> Option<Topic> {
    let ProblemKind::Mistyped { found, .. } = &problem.kind else {
        return None;
    };
    let topic = topic_of(&problem.path);
    Some(match topic {
        Topic::EmptyPeer if found != "nothing" => Topic::Structure,
        topic => topic,
    })
}

/// The text of a scalar of a wrong type, as it is written.
pub(super) fn scalar(problem: &Problem) -> Option<&str> {
    let ProblemKind::Mistyped { found, .. } = &problem.kind else {
        return None;
    };
    found
        .strip_prefix("the boolean ")
        .or_else(|| found.strip_prefix("the number "))
}

fn topic_of(path: &FieldPath) -> Topic {
    let fields: Vec<&str> = path
        .segments()
        .iter()
        .filter_map(|segment| match segment {
            Segment::Field(name) => Some(name.as_str()),
            Segment::Index(_) => None,
        })
        .collect();
    let is_entry = matches!(path.segments().last(), Some(Segment::Index(_)));
    match fields.as_slice() {
        ["metadata", "name" | "namespace"] => Topic::Name,
        ["metadata", "labels" | "annotations", _] | [.., "matchLabels", _] => Topic::LabelValue,
        [.., "values"] if is_entry => Topic::LabelValue,
        [
            ..,
            "podSelector" | "namespaceSelector" | "matchLabels" | "matchExpressions",
        ]
        | [.., "matchExpressions", _] => Topic::Selector,
        ["spec", "ingress", "from"] | ["spec", "egress", "to"] if is_entry => Topic::EmptyPeer,
        [.., "policyTypes"] => Topic::PolicyType,
        [.., "cidr" | "except"] => Topic::Cidr,
        [.., "port"] => Topic::Port,
        [.., "endPort"] => Topic::EndPort,
        [.., "protocol"] => Topic::Protocol,
        _ => Topic::Structure,
    }
}
