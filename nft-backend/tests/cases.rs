//! The second reader of the flow tables: the rules of every node, executed by the interpreter, agree with every row,
//! and those of `node-a` are the golden `rules.nft`. `UPDATE=1` writes that file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::fs;
use std::path::Path;

use common::case::Case;
use common::difference;
use common::judge::Judge;
use datatest_stable::{Result, harness};
use nft_backend::config::Config;
use nft_backend::render::render;

fn every_row_holds(table: &Path) -> Result<()> {
    let case = Case::read(table)?;
    let judge = Judge::new(&case.cluster, &case.graph)?;
    let mut wrong = Vec::new();
    for (row, flows) in &case.rows {
        let objections = flows
            .iter()
            .filter_map(|flow| judge.objection(flow, row.verdict));
        wrong.extend(objections.map(|objection| format!("line {}: {objection}", row.line)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn the_rules_are_the_golden_ones(table: &Path) -> Result<()> {
    let case = Case::read(table)?;
    let rendered = render(&case.graph, "node-a", &Config::default())?.to_string();
    let golden = table.with_file_name("rules.nft");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&golden, &rendered)?;
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    let difference = difference(&expected, &rendered);
    assert!(
        difference.is_empty(),
        "if the new rules are right, run with UPDATE=1\n{difference}"
    );
    Ok(())
}

harness! {
    { test = every_row_holds, root = "../testdata/cases", pattern = r"/flows\.txt$" },
    { test = the_rules_are_the_golden_ones, root = "../testdata/cases", pattern = r"/flows\.txt$" },
}
