//! The first reader of the flow tables: the naive evaluator, the rule graph and the minimized rule graph agree with
//! every row.

#![allow(
    clippy::disallowed_methods,
    reason = "the tables are files; the core itself reads none"
)]

use datatest_stable::{Result, harness};
use policy_core::testing::Objects;
use policy_core::testing::flow_table::{self, Row};
use policy_core::{Flow, RuleGraph, Verdict};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn every_row_holds(table: &Path) -> Result<()> {
    let objects = Objects::from_yaml(&fs::read_to_string(table.with_file_name("cluster.yaml"))?)?;
    let cluster = objects.cluster();
    let reference = objects.reference();
    let graph = RuleGraph::compile(&cluster);
    let minimized = graph.minimize();
    let mut wrong = Vec::new();
    for row in flow_table::parse(&fs::read_to_string(table)?)? {
        for flow in row.flows(&cluster)? {
            let judgements = [
                (
                    "reference",
                    (reference.evaluate(&flow), reference.because(&flow)),
                ),
                ("graph", of_graph(&graph, &flow)),
                ("minimized graph", of_graph(&minimized, &flow)),
            ];
            for (judge, judgement) in judgements {
                if !agrees(&row, &judgement) {
                    let (verdict, because) = judgement;
                    let line = row.line;
                    wrong.push(format!(
                        "line {line}: {flow}: {judge}: {verdict} because {because:?}"
                    ));
                }
            }
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n").into())
    }
}

type Judgement = (Verdict, BTreeSet<String>);

fn of_graph(graph: &RuleGraph, flow: &Flow) -> Judgement {
    let decision = graph.evaluate(flow);
    let because = decision.because.iter().map(ToString::to_string);
    (decision.verdict, because.collect())
}

fn agrees(row: &Row, (verdict, because): &Judgement) -> bool {
    *verdict == row.verdict
        && row
            .because
            .iter()
            .all(|sentence| because.contains(sentence))
}

harness! {
    { test = every_row_holds, root = "../testdata/cases", pattern = r"/flows\.txt$" },
}
