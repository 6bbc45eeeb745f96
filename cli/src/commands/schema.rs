//! `nopal schema`: JSON Schemas of what nopal prints and of the kind that is its own. They are the files of docs/schema.

use clap::ValueEnum;

use super::Outcome;
use crate::args::{Schema, Schemas};
use crate::report;

pub(super) fn run(options: &Schema) -> Outcome {
    match options.name {
        Some(name) => report::print(text(name)),
        None => report::print(&list()),
    }
    Outcome::Fine
}

fn list() -> String {
    let names = Schemas::value_variants().iter();
    let values = names.filter_map(ValueEnum::to_possible_value);
    let lines = values.map(|value| {
        let help = value.get_help().map(ToString::to_string);
        format!("{:18} {}\n", value.get_name(), help.unwrap_or_default())
    });
    lines.collect::<Vec<_>>().concat()
}

fn text(name: Schemas) -> &'static str {
    match name {
        Schemas::Lint => include_str!("../../../docs/schema/lint.json"),
        Schemas::Rule => include_str!("../../../docs/schema/rule.json"),
        Schemas::Rules => include_str!("../../../docs/schema/rules.json"),
        Schemas::Explain => include_str!("../../../docs/schema/explain.json"),
        Schemas::Matrix => include_str!("../../../docs/schema/matrix.json"),
        Schemas::MatrixGroups => include_str!("../../../docs/schema/matrix-groups.json"),
        Schemas::Diff => include_str!("../../../docs/schema/diff.json"),
        Schemas::Exposure => include_str!("../../../docs/schema/exposure.json"),
        Schemas::Query => include_str!("../../../docs/schema/query.json"),
        Schemas::Equiv => include_str!("../../../docs/schema/equiv.json"),
        Schemas::Coverage => include_str!("../../../docs/schema/coverage.json"),
        Schemas::Graph => include_str!("../../../docs/schema/graph.json"),
        Schemas::Suggest => include_str!("../../../docs/schema/suggest.json"),
        Schemas::Test => include_str!("../../../docs/schema/test.json"),
        Schemas::Demo => include_str!("../../../docs/schema/demo.json"),
        Schemas::Status => include_str!("../../../docs/schema/status.json"),
        Schemas::WatchDenied => include_str!("../../../docs/schema/watch-denied.json"),
        Schemas::Rollout => include_str!("../../../docs/schema/rollout.json"),
        Schemas::ConnectivityTest => include_str!("../../../docs/schema/connectivity-test.json"),
    }
}
