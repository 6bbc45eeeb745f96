//! Every case folder, read by the command: `lint` prints `findings.txt`, and every row of `flows.txt` is explained as
//! written. `UPDATE=1` writes `findings.txt`.

use std::path::Path;
use std::process::Command;

use nopal::explain::{explain, explain_by};
use nopal::inventory::{Family, Inventory, MadeUp};
use nopal::{manifest, port};
use policy_core::RuleGraph;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn flows_are_explained_as_written(flows: &Path) -> TestResult {
    let cluster = flows.with_file_name("cluster.yaml");
    let manifests = manifest::read(&[cluster], "default");
    let inventory = Inventory::new(&manifests, MadeUp::Addresses);
    let whole = RuleGraph::compile(&inventory.cluster);
    for graph in [None, Some(&whole), Some(&whole.minimize())] {
        for row in std::fs::read_to_string(flows)?.lines() {
            let row = row.trim();
            if !row.is_empty() && !row.starts_with('#') {
                check(&inventory, graph, row)?;
            }
        }
    }
    Ok(())
}

/// Whether a row holds, by a graph or by what the ends need of one.
fn check(inventory: &Inventory<'_>, graph: Option<&RuleGraph>, row: &str) -> TestResult {
    let mut rest = row;
    let mut column = || {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        rest = after.trim_start();
        word
    };
    let (from, to, asked, verdict) = (column(), column(), column(), column());
    let sentences: Vec<&str> = rest
        .split("; ")
        .map(str::trim)
        .filter(|sentence| !sentence.is_empty())
        .collect();
    let (asked, family) = match asked.split_once('@') {
        Some((asked, "v4")) => (asked, Some(Family::V4)),
        Some((asked, _)) => (asked, Some(Family::V6)),
        None => (asked, None),
    };
    let (ends, port) = ((from, to), port::parse(asked)?);
    let explanation = match graph {
        None => explain(inventory, ends, port, family),
        Some(graph) => explain_by(inventory, graph, ends, port, family),
    }
    .map_err(|error| format!("{row}: {error}"))?;
    for answer in &explanation.answers {
        let because = nopal::report::explanation::sentences(answer);
        let decided = answer.decision.verdict.to_string();
        if decided != verdict || !sentences.iter().all(|s| because.iter().any(|b| b == s)) {
            let family = answer.family;
            return Err(format!("{row}\n  {family}: {decided} because {because:?}").into());
        }
    }
    Ok(())
}

fn lint_finds_what_is_written(cluster: &Path) -> TestResult {
    let output = Command::new(env!("CARGO_BIN_EXE_nopal"))
        .args(["lint", "--format", "concise", "cluster.yaml"])
        .current_dir(cluster.parent().ok_or("a case is a folder")?)
        .output()?;
    let found = String::from_utf8(output.stdout)?;
    let golden = cluster.with_file_name("findings.txt");
    if std::env::var_os("UPDATE").is_some() {
        if found.is_empty() {
            let _ = std::fs::remove_file(&golden);
        } else {
            std::fs::write(&golden, &found)?;
        }
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    if found != expected {
        return Err(format!("expected:\n{expected}\nfound:\n{found}").into());
    }
    let errors = String::from_utf8(output.stderr)?;
    let code = match (errors.is_empty(), found.is_empty()) {
        (false, _) => 2,
        (true, false) => 1,
        (true, true) => 0,
    };
    if output.status.code() != Some(code) {
        return Err(format!("exit code {:?} instead of {code}: {errors}", output.status).into());
    }
    Ok(())
}

datatest_stable::harness! {
    { test = flows_are_explained_as_written, root = "../testdata/cases", pattern = r"flows\.txt$" },
    { test = lint_finds_what_is_written, root = "../testdata/cases", pattern = r"cluster\.yaml$" },
    { test = lint_finds_what_is_written, root = "../testdata/charts", pattern = r"cluster\.yaml$" },
}
