//! The first reader of the flow tables: the naive evaluator agrees with every row.

use datatest_stable::{Result, harness};
use policy_core::testing::{Objects, flow_table};
use std::fs;
use std::path::Path;

fn every_row_holds(table: &Path) -> Result<()> {
    let objects = read(&table.with_file_name("cluster.yaml"))?;
    let reference = objects.reference();
    let cluster = objects.cluster();
    let mut wrong = String::new();
    for row in flow_table::parse(&fs::read_to_string(table)?)? {
        for flow in row.flows(&cluster)? {
            let line = row.line;
            let verdict = reference.evaluate(&flow);
            if verdict != row.verdict {
                wrong += &format!("line {line}: {flow}: the reference says {verdict}\n");
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
