//! What one policy says of pods and directions, and which of its rules count.

use super::object::namespace_of;
use super::selector;
use crate::flow::Direction;
use crate::lower::Unread;
use crate::problem::Segment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// A policy, and the fields that its reader could not take into the object.
#[derive(Clone, Copy)]
pub(super) struct Policy<'a> {
    object: &'a NetworkPolicy,
    spec: &'a NetworkPolicySpec,
    unread: &'a [Unread],
}

/// `from` or `to`, and `ports`, of one rule.
pub(super) struct Rule<'a> {
    pub(super) peers: &'a [NetworkPolicyPeer],
    pub(super) ports: &'a [NetworkPolicyPort],
}

static EMPTY_SPEC: NetworkPolicySpec = NetworkPolicySpec {
    egress: None,
    ingress: None,
    pod_selector: None,
    policy_types: None,
};

impl<'a> Policy<'a> {
    pub(super) fn new(object: &'a NetworkPolicy, unread: &'a [Unread]) -> Self {
        let spec = object.spec.as_ref().unwrap_or(&EMPTY_SPEC);
        Self {
            object,
            spec,
            unread,
        }
    }

    pub(super) fn namespace(&self) -> String {
        namespace_of(&self.object.metadata)
    }

    /// `namespace/name`.
    pub(super) fn name(&self) -> String {
        let name = self.object.metadata.name.as_deref().unwrap_or_default();
        format!("{}/{name}", self.namespace())
    }

    /// Whether the policy's `podSelector` selects the pod. What is not understood of it selects as if it were not
    /// written: rather too many isolated pods than too few.
    pub(super) fn selects(&self, pod: &Pod) -> bool {
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let demands = self.spec.pod_selector.as_ref();
        self.namespace() == namespace_of(&pod.metadata)
            && demands.is_none_or(|selector| {
                let requirements = selector::requirements(selector, &labels);
                !requirements.contains(&Some(false)) // 4
            })
    }

    /// Whether the policy denies nothing by itself, but is only watched: as its annotation says, and where it has none, as
    /// its namespace's.
    pub(super) fn is_audited(&self, namespace: Option<&Namespace>) -> bool {
        let namespace = namespace.and_then(|namespace| mode(&namespace.metadata));
        mode(&self.object.metadata).or(namespace) == Some("audit")
    }

    pub(super) fn isolates(&self, direction: Direction) -> bool {
        let types = self.spec.policy_types.as_deref().unwrap_or_default();
        let unknown_type = types
            .iter()
            .any(|name| name != "Ingress" && name != "Egress");
        unknown_type || self.has_unread_outside_rules() || self.speaks_of(direction)
    }

    /// Whether the direction is among the policy types, as written or by default (3).
    fn speaks_of(&self, direction: Direction) -> bool {
        let types = self.spec.policy_types.as_deref().unwrap_or_default();
        let has_egress_rule = self.spec.egress.iter().flatten().next().is_some()
            || self
                .unread
                .iter()
                .any(|field| place(field) == Place::Rule(Direction::Egress));
        match direction {
            Direction::Ingress => types.is_empty() || types.iter().any(|name| name == "Ingress"),
            Direction::Egress if types.is_empty() => has_egress_rule,
            Direction::Egress => types.iter().any(|name| name == "Egress"),
        }
    }

    /// The rules of a direction that can match anything, with their positions: those of a direction that the policy speaks of, without
    /// those that hold something unread; none at all where something unread stands elsewhere.
    pub(super) fn rules_in_force(&self, direction: Direction) -> Vec<(usize, Rule<'a>)> {
        let understood_subjects = self.spec.pod_selector.as_ref().is_none_or(|selector| {
            !selector::requirements(selector, &BTreeMap::new()).contains(&None)
        });
        let readable = understood_subjects
            && !self.has_unread_outside_rules()
            && !self
                .unread
                .iter()
                .any(|field| place(field) == Place::Subjects)
            && !self
                .unread
                .iter()
                .any(|field| self.is_of_a_missing_rule(field));
        if !readable || !self.speaks_of(direction) {
            return Vec::new();
        }
        let is_read = |index: usize| {
            !self.unread.iter().any(|field| {
                place(field) == Place::Rule(direction) && rule_index(field) == Some(index)
            })
        };
        let rules = self.rules(direction).into_iter().enumerate();
        rules.filter(|(index, _)| is_read(*index)).collect()
    }

    fn rules(&self, direction: Direction) -> Vec<Rule<'a>> {
        let ingress = self.spec.ingress.iter().flatten().map(|rule| Rule {
            peers: rule.from.as_deref().unwrap_or_default(),
            ports: rule.ports.as_deref().unwrap_or_default(),
        });
        let egress = self.spec.egress.iter().flatten().map(|rule| Rule {
            peers: rule.to.as_deref().unwrap_or_default(),
            ports: rule.ports.as_deref().unwrap_or_default(),
        });
        match direction {
            Direction::Ingress => ingress.collect(),
            Direction::Egress => egress.collect(),
        }
    }

    fn has_unread_outside_rules(&self) -> bool {
        self.unread
            .iter()
            .any(|field| place(field) == Place::Elsewhere)
    }

    /// Whether the field stands in a rule that the reader left out of the list.
    fn is_of_a_missing_rule(&self, field: &Unread) -> bool {
        let Place::Rule(direction) = place(field) else {
            return false;
        };
        rule_index(field).is_none_or(|index| index >= self.rules(direction).len())
    }
}

/// The annotation that tells what is only watched.
fn mode(metadata: &ObjectMeta) -> Option<&str> {
    let annotations = metadata.annotations.as_ref()?;
    annotations.get("nopal.dev/mode").map(String::as_str)
}

/// The part of a policy that a field stands in.
#[derive(PartialEq)]
enum Place {
    /// Metadata or status, which say nothing about traffic.
    Harmless,
    /// `spec.podSelector`.
    Subjects,
    /// An entry of `spec.ingress` or `spec.egress`.
    Rule(Direction),
    /// Anywhere else.
    Elsewhere,
}

fn place(unread: &Unread) -> Place {
    let path = unread.path.to_string();
    let top = path.split(['.', '[']).next().unwrap_or_default();
    let is_or_below = |parent: &str| {
        path.strip_prefix(parent)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    if ["metadata", "status", "apiVersion", "kind"].contains(&top) {
        Place::Harmless
    } else if is_or_below("spec.podSelector") {
        Place::Subjects
    } else if path.starts_with("spec.ingress[") {
        Place::Rule(Direction::Ingress)
    } else if path.starts_with("spec.egress[") {
        Place::Rule(Direction::Egress)
    } else {
        Place::Elsewhere
    }
}

fn rule_index(unread: &Unread) -> Option<usize> {
    match unread.path.segments().get(2) {
        Some(Segment::Index(index)) => Some(*index),
        _ => None,
    }
}
