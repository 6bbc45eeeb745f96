//! The cases: files of steps, each with what is changed and the truth table that holds then.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::table::Table;

/// The files of cases.
const FILES: [&str; 7] = [
    include_str!("cases/isolation.yaml"),
    include_str!("cases/ingress.yaml"),
    include_str!("cases/ports.yaml"),
    include_str!("cases/egress.yaml"),
    include_str!("cases/updates.yaml"),
    include_str!("cases/protocols.yaml"),
    include_str!("cases/api.yaml"),
];

/// One case of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What it shows.
    #[serde(rename = "case")]
    pub(super) name: String,
    /// The title of Kubernetes' own test of the same, where it has one.
    upstream: Option<String>,
    /// What happens, in this order.
    pub(super) steps: Vec<Step>,
}

/// Changes, and what holds after them. Objects are called `namespace/name`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Step {
    /// Policies that are created or updated, with what they say.
    #[serde(default)]
    pub(super) policies: BTreeMap<String, Value>,
    /// Policies that the API server refuses.
    #[serde(default)]
    pub(super) refused: Vec<Refused>,
    /// Policies that are patched, with merge patches.
    #[serde(default)]
    pub(super) patch: BTreeMap<String, Value>,
    /// Labels that are added to `namespace/NAME` and `pod/NAMESPACE/NAME`.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, BTreeMap<String, String>>,
    /// Policies that are deleted.
    #[serde(default)]
    pub(super) delete: Vec<String>,
    /// A namespace whose policies are deleted as a collection.
    #[serde(default)]
    pub(super) delete_all: Option<String>,
    table: Vec<String>,
}

/// A policy that the API server refuses.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refused {
    /// What it says.
    pub(super) spec: Value,
    /// A part of what the API server says to that.
    pub(super) because: String,
}

impl Step {
    /// What passes then.
    pub(super) fn table(&self) -> Table {
        Table::parse(&self.table)
    }
}

/// The cases of the list.
pub(super) fn all() -> Vec<Case> {
    FILES.into_iter().flat_map(read).collect()
}

/// The cases for what is sent to Services.
pub(super) fn of_services() -> Vec<Case> {
    read(include_str!("cases/services.yaml"))
}

fn read(text: &str) -> Vec<Case> {
    let read = serde_saphyr::from_multiple(text);
    read.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_list_has_50_cases_that_differ_in_name_content_and_what_they_stand_for() {
    let cases = all();
    let names: BTreeSet<&String> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), 50);
    let titles: BTreeSet<&String> = cases.iter().flat_map(|case| &case.upstream).collect();
    assert_eq!(titles.len(), 50);
    let contents: BTreeSet<String> = cases
        .iter()
        .map(|case| format!("{:?}", case.steps))
        .collect();
    assert_eq!(contents.len(), 50);
    let others = of_services();
    for step in cases.iter().chain(&others).flat_map(|case| &case.steps) {
        step.table();
    }
}
