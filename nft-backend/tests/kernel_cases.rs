//! The third reader of the flow tables: real packets through the kernel agree with every row.
//!
//! Each case becomes a lab of network namespaces with the rules of every node in force, and every row is tried in each
//! family. Needs root, nft and ip, and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(
    clippy::print_stdout,
    reason = "how much was tried is part of the result"
)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use common::case::Case;
use common::wire::{build, probe, seen, topology};
use nopal_lab::{Probe, Seen, feasible};
use policy_core::{Flow, Verdict};

/// Labs that stand side by side. A blocked probe is waited for, and waiting costs nothing; but on a slow machine so many
/// copies of nft at once would each take longer than they may.
const LABS: u32 = 16;
const FEWEST_LABS: u32 = 2;

/// What was tried.
#[derive(Default)]
struct Tally {
    cases: usize,
    probes: usize,
    /// Probes with an end that several live pods claim; it is wired to the first of them.
    contested: usize,
    wrong: Vec<String>,
}

#[test]
fn every_row_holds_on_the_wire() {
    let waiting = Mutex::new(Case::tables());
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for _ in 0..feasible(LABS).max(FEWEST_LABS) {
            scope.spawn(|| {
                while let Some(table) = next(&waiting) {
                    let name = table.parent().unwrap().display().to_string();
                    let tried = catch_unwind(AssertUnwindSafe(|| try_case(&table)));
                    tally.lock().unwrap().add(&name, tried.ok());
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    println!(
        "{} cases, {} probes, {} of them with an address that is claimed twice",
        tally.cases, tally.probes, tally.contested
    );
    assert!(tally.wrong.is_empty(), "{}", tally.wrong.join("\n"));
}

fn next(waiting: &Mutex<Vec<PathBuf>>) -> Option<PathBuf> {
    waiting.lock().unwrap().pop()
}

impl Tally {
    fn add(&mut self, name: &str, tried: Option<Tally>) {
        self.cases += 1;
        let Some(tried) = tried else {
            self.wrong
                .push(format!("{name}: could not be tried, see above"));
            return;
        };
        self.probes += tried.probes;
        self.contested += tried.contested;
        self.wrong
            .extend(tried.wrong.iter().map(|wrong| format!("{name}: {wrong}")));
    }
}

fn try_case(table: &std::path::Path) -> Tally {
    let case = Case::read(table).unwrap();
    let rows: Vec<(usize, Flow, Verdict)> = case
        .rows
        .iter()
        .flat_map(|(row, flows)| flows.iter().map(|flow| (row.line, *flow, row.verdict)))
        .collect();
    let flows: Vec<Flow> = rows.iter().map(|(_, flow, _)| *flow).collect();
    let lab = build(
        &topology(&case.cluster, &case.graph, &flows),
        &case.graph,
        "nopal-case",
    );
    let probes: Vec<Probe> = flows.iter().map(probe).collect();
    let answers = seen(&lab, &probes);
    let is_contested = |flow: &&Flow| {
        let mut contested = case.graph.contested();
        contested.any(|(address, _)| address == flow.from || address == flow.to)
    };
    let mut tally = Tally {
        probes: probes.len(),
        contested: flows.iter().filter(is_contested).count(),
        ..Tally::default()
    };
    for ((line, flow, verdict), mut answer) in rows.into_iter().zip(answers) {
        let expected = match verdict {
            Verdict::Allow => Seen::Passed,
            Verdict::Deny => Seen::Blocked,
        };
        if answer == Seen::Blocked && expected == Seen::Passed {
            // On a busy machine an answer can come too late; one that a filter blocks never comes.
            answer = seen(&lab, &[probe(&flow)])[0];
        }
        if answer != expected {
            tally.wrong.push(format!(
                "line {line}: {flow}: {answer:?} in place of {expected:?}"
            ));
        }
    }
    tally
}
