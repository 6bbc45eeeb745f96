//! Findings: what rules report.

use policy_core::problem::{FieldPath, ObjectRef, Problem, ProblemKind};

use super::{LintPolicy, Rule};
use crate::manifest::{Part, Place};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The object does not do what it says, or the API server refuses it.
    Error,
    /// Probably not what was meant.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// The word for it in every output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// It follows from the policy's text alone.
    Proven,
    /// It is true if the input is the whole cluster.
    ClosedWorld,
    /// It is a guess at what was meant.
    Heuristic,
}

impl Certainty {
    /// The word for it in every output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::ClosedWorld => "closed-world",
            Self::Heuristic => "heuristic",
        }
    }
}

/// One finding.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The rule's code.
    pub code: &'static str,
    /// The rule's name.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// How sure it is.
    pub certainty: Certainty,
    /// The object.
    pub object: ObjectRef,
    /// The field.
    pub path: FieldPath,
    /// What is wrong and what it means.
    pub message: String,
    /// The smallest change that mends it.
    pub fix: Option<String>,
    /// Where it is.
    pub place: Place,
    /// Another place that belongs to it, and what stands there.
    pub related: Option<(Place, String)>,
}

/// The findings of a run.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        self.list.push(finding);
    }

    /// Adds what lowering said about a policy, at the field that it named.
    pub fn add_problem(
        &mut self,
        rule: &Rule,
        policy: &LintPolicy<'_>,
        problem: &Problem,
        fix: Option<String>,
    ) {
        let part = match problem.kind {
            ProblemKind::UnknownField { .. } | ProblemKind::InvalidLabelKey { .. } => Part::Key,
            _ => Part::Value,
        };
        self.add(Finding {
            code: rule.code,
            name: rule.name,
            severity: rule.severity,
            certainty: rule.certainty,
            object: problem.object.clone(),
            path: problem.path.clone(),
            message: problem.kind.to_string(),
            fix,
            place: policy.policy.fields.place(&problem.path, part),
            related: None,
        });
    }

    /// All findings, by file, place and code.
    pub(super) fn sorted(mut self) -> Vec<Finding> {
        self.list.sort_by(|a, b| {
            let key = |finding: &Finding| {
                (
                    finding.place.source.name().to_owned(),
                    finding.place.span,
                    finding.code,
                )
            };
            key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
        });
        self.list
    }
}
