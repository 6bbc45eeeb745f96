//! The matrix of a demonstration: rows open connections, columns receive them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use policy_core::Verdict;

use crate::demo::{Cast, Outcome, Plan};

/// A matrix that would be wider is cut into several, one below the other.
const WIDTH: usize = 80;

/// The width of a column.
const CELL: usize = 3;

/// Longer names are cut in the middle.
const LONGEST_NAME: usize = 32;

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    is_colored: bool,
}

impl Style {
    pub(super) fn new(is_colored: bool) -> Self {
        Self { is_colored }
    }

    /// Green.
    pub(super) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Yellow.
    fn middling(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Bold red.
    pub(super) fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Grey.
    fn quiet(self, text: &str) -> String {
        self.paint("90", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.is_colored {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// What was seen between two endpoints.
#[derive(Default)]
struct Cell {
    tried: usize,
    passed: usize,
    wrong: usize,
}

impl Cell {
    fn sign(&self, style: Style) -> String {
        match self {
            Self { wrong: 1.., .. } => style.bad("!"),
            Self { tried: 0, .. } => " ".to_owned(),
            Self { passed: 0, .. } => style.quiet("."),
            Self { tried, passed, .. } if tried == passed => style.good("#"),
            _ => style.middling("+"),
        }
    }
}

/// The matrix with its legend.
pub(super) fn matrix(cast: &Cast, plan: &Plan, outcome: &Outcome, style: Style) -> String {
    let mut cells: BTreeMap<(usize, usize), Cell> = BTreeMap::new();
    for (trial, seen) in plan.trials.iter().zip(&outcome.seen) {
        let cell = cells.entry((trial.from, trial.to)).or_default();
        cell.tried += 1;
        cell.passed += usize::from(*seen == Verdict::Allow);
        cell.wrong += usize::from(*seen != trial.expect);
    }
    let heads: Vec<String> = cast
        .endpoints
        .iter()
        .enumerate()
        .map(|(at, endpoint)| format!("{:>CELL$} {}", at + 1, cut(&endpoint.name)))
        .collect();
    let left = heads
        .iter()
        .map(|head| head.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for part in parts(cast, left) {
        let _ = write!(text, "{:left$}", "from \\ to");
        for to in part.clone() {
            let _ = write!(text, "{:>CELL$}", to + 1);
        }
        text.push('\n');
        for (from, head) in heads.iter().enumerate() {
            if !part.clone().any(|to| cells.contains_key(&(from, to))) {
                continue;
            }
            let mut row = format!("{head:left$}");
            for to in part.clone() {
                let sign = match cells.get(&(from, to)) {
                    _ if from == to => style.quiet("="),
                    Some(cell) => cell.sign(style),
                    None => " ".to_owned(),
                };
                let _ = write!(row, "{:width$}{sign}", "", width = CELL - 1);
            }
            let _ = writeln!(text, "{}", row.trim_end());
        }
        text.push('\n');
    }
    text + &legend(style)
}

/// The columns of each part: those of the cluster's own first, as many as have room beside `left` characters.
fn parts(cast: &Cast, left: usize) -> Vec<Range<usize>> {
    let room = (WIDTH.saturating_sub(left) / CELL).max(1);
    let all = cast.endpoints.len();
    let own = all - cast.topology.externals.len();
    let cut = |columns: Range<usize>| {
        let end = columns.end;
        columns
            .step_by(room)
            .map(move |start| start..(start + room).min(end))
    };
    cut(0..own).chain(cut(own..all)).collect()
}

fn legend(style: Style) -> String {
    let sign = |passed, wrong| {
        Cell {
            tried: 2,
            passed,
            wrong,
        }
        .sign(style)
    };
    format!(
        "{} all gets through   {} some   {} nothing   {} not as meant   blank: not tried\n",
        sign(2, 0),
        sign(1, 0),
        sign(0, 0),
        sign(0, 1),
    )
}

fn cut(name: &str) -> String {
    let length = name.chars().count();
    if length <= LONGEST_NAME {
        return name.to_owned();
    }
    let half = (LONGEST_NAME - 2) / 2;
    let start: String = name.chars().take(half).collect();
    let end: String = name.chars().skip(length - half).collect();
    format!("{start}..{end}")
}
