//! Lowers label selectors.

use super::Problems;
use super::path::Path;
use crate::labels::{is_label_key, is_label_value};
use crate::problem::ProblemKind;
use crate::selector::{Constraint, Selector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// A selector as far as it was understood.
pub(super) struct Understood {
    /// The understood requirements: they select at least what the whole selector selects.
    pub(super) selector: Selector,
    /// Whether that is the whole selector.
    pub(super) wholly: bool,
}

/// Lowers a selector; what the API server would refuse in it is left out and reported.
pub(super) fn selector(
    object: &LabelSelector,
    path: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Understood {
    let before = problems.found.len();
    let labels_path = path.field("matchLabels");
    let labels = object
        .match_labels
        .iter()
        .flatten()
        .filter_map(|(key, value)| {
            let path = labels_path.field(key);
            let known = check_key(key, &path, problems) & check_value(value, &path, problems);
            known.then(|| (key.clone(), Constraint::one_of([value])))
        });
    let mut requirements: Vec<_> = labels.collect();
    let expressions_path = path.field("matchExpressions");
    for (index, expression) in object.match_expressions.iter().flatten().enumerate() {
        let constraint = requirement(expression, &expressions_path.index(index), problems);
        requirements.extend(constraint.map(|constraint| (expression.key.clone(), constraint)));
    }
    Understood {
        selector: requirements.into_iter().collect(),
        wholly: problems.found.len() == before,
    }
}

fn requirement(
    expression: &LabelSelectorRequirement,
    path: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Option<Constraint> {
    let key_is_known = check_key(&expression.key, &path.field("key"), problems);
    let values = expression.values.as_deref().unwrap_or_default();
    let values_path = path.field("values");
    let mut values_are_known = true;
    for (index, value) in values.iter().enumerate() {
        values_are_known &= check_value(value, &values_path.index(index), problems);
    }
    let operator = || expression.operator.clone();
    let constraint = match (expression.operator.as_str(), values.is_empty()) {
        ("In", false) => Constraint::one_of(values),
        ("NotIn", false) => Constraint::none_of(values),
        ("Exists", true) => Constraint::exists(),
        ("DoesNotExist", true) => Constraint::lacks(),
        ("In" | "NotIn", true) => {
            problems.add(
                &values_path,
                ProblemKind::MissingValues {
                    operator: operator(),
                },
            );
            return None;
        }
        ("Exists" | "DoesNotExist", false) => {
            problems.add(
                &values_path,
                ProblemKind::UnexpectedValues {
                    operator: operator(),
                },
            );
            return None;
        }
        _ => {
            let kind = ProblemKind::UnknownOperator {
                written: operator(),
            };
            problems.add(&path.field("operator"), kind);
            return None;
        }
    };
    (key_is_known && values_are_known).then_some(constraint)
}

fn check_key(key: &str, path: &Path<'_>, problems: &mut Problems<'_>) -> bool {
    let known = is_label_key(key);
    if !known {
        problems.add(
            path,
            ProblemKind::InvalidLabelKey {
                written: key.to_owned(),
            },
        );
    }
    known
}

fn check_value(value: &str, path: &Path<'_>, problems: &mut Problems<'_>) -> bool {
    let known = is_label_value(value);
    if !known {
        problems.add(
            path,
            ProblemKind::InvalidLabelValue {
                written: value.to_owned(),
            },
        );
    }
    known
}
