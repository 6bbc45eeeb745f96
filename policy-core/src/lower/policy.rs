//! Lowers a NetworkPolicy, with the API server's defaulting and validation.

use super::mode::mode;
use super::path::Path;
use super::rule::rule;
use super::selector::{Understood, selector};
use super::{Problems, Unread};
use crate::labels::{is_dns_label, is_dns_subdomain};
use crate::policy::{Policy, PolicyId, Rule};
use crate::problem::{FieldPath, Problem, ProblemKind, Segment};
use crate::selector::Selector;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};

/// Lowers a NetworkPolicy. `unread` are the fields that its reader could not take into the typed object.
///
/// What is not understood fails closed:
/// - anything inside a rule makes that rule match nothing;
/// - anything in `spec.podSelector` makes the policy isolate every pod that the understood requirements select (no
///   fewer than were meant) and allow nothing;
/// - an unknown policy type makes it isolate both directions, with rules only where the type is understood;
/// - any other field of the object or its `spec` makes it isolate both directions and allow nothing;
/// - a `nopal.dev/mode` other than `audit` leaves the policy enforced, whatever its namespace says.
pub fn policy(object: &NetworkPolicy, unread: &[Unread]) -> (Policy, Vec<Problem>) {
    let metadata = &object.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or("default");
    let name = metadata.name.as_deref().unwrap_or_default();
    let mut problems = Problems::of("NetworkPolicy", Some(namespace), name);
    check_names(
        namespace,
        name,
        metadata.generate_name.is_some(),
        &mut problems,
    );
    for field in unread {
        problems.add(&Path::Written(&field.path), field.kind.clone());
    }
    let stated_mode = mode(metadata, "the policy is enforced", &mut problems);

    let default_spec = NetworkPolicySpec::default();
    let spec = object.spec.as_ref().unwrap_or(&default_spec);
    let path = Path::Object.field("spec");
    let subjects = match &spec.pod_selector {
        Some(object) => selector(object, &path.field("podSelector"), &mut problems),
        None => Understood {
            selector: Selector::everything(),
            wholly: true,
        },
    };
    let types = policy_types(spec, unread, &path, &mut problems);
    let mut ingress = ingress_rules(spec, &path, &mut problems);
    let mut egress = egress_rules(spec, &path, &mut problems);

    let mut closed = Closed {
        rules: !subjects.wholly,
        isolation: false,
    };
    for field in unread {
        closed.close(&field.path, &mut ingress, &mut egress);
    }
    if closed.rules {
        ingress.fill(Rule::NotUnderstood);
        egress.fill(Rule::NotUnderstood);
    }
    let lowered = Policy {
        id: PolicyId {
            namespace: namespace.into(),
            name: name.into(),
        },
        subjects: subjects.selector,
        stated_mode,
        mode: stated_mode.unwrap_or_default(),
        isolates_ingress: types.ingress || types.unknown || closed.isolation,
        isolates_egress: types.egress || types.unknown || closed.isolation,
        ingress: if types.ingress { ingress } else { Vec::new() },
        egress: if types.egress { egress } else { Vec::new() },
    };
    (lowered, problems.found)
}

fn check_names(namespace: &str, name: &str, generated: bool, problems: &mut Problems<'_>) {
    let path = Path::Object.field("metadata");
    let will_be_generated = name.is_empty() && generated;
    if !will_be_generated && !is_dns_subdomain(name) {
        problems.add(
            &path.field("name"),
            ProblemKind::InvalidName {
                name: name.to_owned(),
            },
        );
    }
    if !is_dns_label(namespace) {
        let kind = ProblemKind::InvalidName {
            name: namespace.to_owned(),
        };
        problems.add(&path.field("namespace"), kind);
    }
}

/// The directions that a policy speaks of.
struct Types {
    ingress: bool,
    egress: bool,
    /// Whether an entry was not understood.
    unknown: bool,
}

fn policy_types(
    spec: &NetworkPolicySpec,
    unread: &[Unread],
    path: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Types {
    let written = spec.policy_types.as_deref().unwrap_or_default();
    if written.is_empty() {
        // SetDefaults_NetworkPolicy: Ingress always, Egress only when there is an egress rule. One that could not be
        // read, and that the reader may have left out of the list, counts as one.
        let egress = path.field("egress").written();
        let has_egress_rule = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty())
            || unread.iter().any(|field| field.path.starts_with(&egress));
        return Types {
            ingress: true,
            egress: has_egress_rule,
            unknown: false,
        };
    }
    let path = path.field("policyTypes");
    let mut types = Types {
        ingress: false,
        egress: false,
        unknown: false,
    };
    for (index, entry) in written.iter().enumerate() {
        let seen = match entry.as_str() {
            "Ingress" => &mut types.ingress,
            "Egress" => &mut types.egress,
            _ => {
                types.unknown = true;
                let kind = ProblemKind::UnknownPolicyType {
                    written: entry.clone(),
                };
                problems.add(&path.index(index), kind);
                continue;
            }
        };
        if *seen {
            let kind = ProblemKind::RepeatedPolicyType {
                written: entry.clone(),
            };
            problems.add(&path.index(index), kind);
        }
        *seen = true;
    }
    if written.len() > 2 {
        problems.add(&path, ProblemKind::TooManyPolicyTypes);
    }
    types
}

fn ingress_rules(
    spec: &NetworkPolicySpec,
    path: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Vec<Rule> {
    let path = path.field("ingress");
    let rules = spec.ingress.iter().flatten().enumerate();
    rules
        .map(|(index, object)| {
            let (peers, ports) = (object.from.as_deref(), object.ports.as_deref());
            rule(peers, "from", ports, &path.index(index), problems)
        })
        .collect()
}

fn egress_rules(
    spec: &NetworkPolicySpec,
    path: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Vec<Rule> {
    let path = path.field("egress");
    let rules = spec.egress.iter().flatten().enumerate();
    rules
        .map(|(index, object)| {
            let (peers, ports) = (object.to.as_deref(), object.ports.as_deref());
            rule(peers, "to", ports, &path.index(index), problems)
        })
        .collect()
}

/// How far unread fields close a policy.
struct Closed {
    /// No rule matches anything.
    rules: bool,
    /// Both directions are isolated.
    isolation: bool,
}

impl Closed {
    fn close(&mut self, unread: &FieldPath, ingress: &mut [Rule], egress: &mut [Rule]) {
        let names: Vec<Option<&str>> = unread.segments().iter().take(2).map(field_name).collect();
        match (names.as_slice(), unread.segments().get(2)) {
            ([Some("metadata" | "status" | "apiVersion" | "kind"), ..], _) => {}
            ([Some("spec"), Some("podSelector")], _) => self.rules = true,
            ([Some("spec"), Some("ingress")], Some(Segment::Index(index))) => {
                self.close_rule(ingress, *index);
            }
            ([Some("spec"), Some("egress")], Some(Segment::Index(index))) => {
                self.close_rule(egress, *index);
            }
            _ => {
                self.rules = true;
                self.isolation = true;
            }
        }
    }

    /// Closes one rule; where the reader left out list entries, so that positions no longer tell, all of them.
    fn close_rule(&mut self, rules: &mut [Rule], index: usize) {
        match rules.get_mut(index) {
            Some(rule) => *rule = Rule::NotUnderstood,
            None => self.rules = true,
        }
    }
}

fn field_name(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Field(name) => Some(name),
        Segment::Index(_) => None,
    }
}
