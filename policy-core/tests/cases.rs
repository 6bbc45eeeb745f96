//! The first reader of the flow tables: the naive evaluator, the rule graph and the minimized rule graph agree with
//! every row.

use datatest_stable::{Result, harness};
use policy_core::testing::{Objects, flow_table};
use policy_core::{RuleGraph, Verdict};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn every_row_holds(table: &Path) -> Result<()> {
    let objects = read(&table.with_file_name("cluster.yaml"))?;
    let reference = objects.reference();
    let cluster = objects.cluster();
    let graph = RuleGraph::compile(&cluster);
    let minimized = graph.minimize();
    let mut wrong = String::new();
    for row in flow_table::parse(&fs::read_to_string(table)?)? {
        for flow in row.flows(&cluster)? {
            let of_graph = |graph: &RuleGraph| -> (Verdict, BTreeSet<String>) {
                let decision = graph.evaluate(&flow);
                let because = decision.because.iter().map(ToString::to_string);
                (decision.verdict, because.collect())
            };
            for (judge, (verdict, because)) in [
                (
                    "reference",
                    (reference.evaluate(&flow), reference.because(&flow)),
                ),
                ("graph", of_graph(&graph)),
                ("minimized graph", of_graph(&minimized)),
            ] {
                if verdict != row.verdict
                    || !row
                        .because
                        .iter()
                        .all(|sentence| because.contains(sentence))
                {
                    let line = row.line;
                    wrong += &format!(
                        "line {line}: {flow}: the {judge} says {verdict} because {because:?}\n"
                    );
                }
            }
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.into())
    }
}

fn read(cluster: &Path) -> Result<Objects> {
    let documents = serde_saphyr::from_multiple(&fs::read_to_string(cluster)?)?;
    Ok(Objects::read(documents)?)
}

harness! {
    { test = every_row_holds, root = "../testdata/cases", pattern = r"/flows\.txt$" },
}
