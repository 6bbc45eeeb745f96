//! Findings: what rules report.

use policy_core::problem::{FieldPath, ObjectRef, Problem, ProblemKind};

use super::{LintPolicy, Repair, Rule};
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
    /// It is true of the network plugin that `--profile` names.
    Profile,
    /// It is a guess at what was meant.
    Heuristic,
}

impl Certainty {
    /// The word for it in every output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::ClosedWorld => "closed-world",
            Self::Profile => "profile",
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
    /// The changes of the text that make it so, where nopal can make them.
    pub repair: Option<Repair>,
    /// Where it is.
    pub place: Place,
    /// The other places that cause it, and what stands there.
    pub related: Vec<(Place, String)>,
}

impl Finding {
    /// What `rule` says about a field of a policy, at that field's value.
    #[must_use]
    pub fn new(rule: &Rule, policy: &LintPolicy<'_>, path: FieldPath, message: String) -> Self {
        Self {
            code: rule.code,
            name: rule.name,
            severity: rule.severity,
            certainty: rule.certainty,
            object: policy.object.reference.clone(),
            place: policy.policy.fields.place(&path, Part::Value),
            path,
            message,
            fix: None,
            repair: None,
            related: Vec::new(),
        }
    }

    /// What `rule` says about an object as a whole.
    #[must_use]
    pub fn of_object(rule: &Rule, object: &ObjectRef, place: &Place, message: String) -> Self {
        Self {
            code: rule.code,
            name: rule.name,
            severity: rule.severity,
            certainty: rule.certainty,
            object: object.clone(),
            path: FieldPath::root(),
            place: place.clone(),
            message,
            fix: None,
            repair: None,
            related: Vec::new(),
        }
    }

    /// With the smallest change that mends it.
    #[must_use]
    pub fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// With the changes of the text that mend it.
    #[must_use]
    pub fn with_repair(mut self, repair: Option<Repair>) -> Self {
        self.repair = repair;
        self
    }

    /// With another place that causes it, and what stands there.
    #[must_use]
    pub fn with_related(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related.push((place, label.into()));
        self
    }

    /// At the key of its field in place of the field's value.
    #[must_use]
    pub fn at_key(mut self, policy: &LintPolicy<'_>) -> Self {
        self.place = policy.policy.fields.place(&self.path, Part::Key);
        self
    }

    /// With another severity than its rule's.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// With another certainty than its rule's.
    #[must_use]
    pub fn with_certainty(mut self, certainty: Certainty) -> Self {
        self.certainty = certainty;
        self
    }
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

    /// Adds several.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.list.extend(findings);
    }

    /// Adds what lowering said about a policy, at the field that it named; gives the finding.
    pub fn add_problem(
        &mut self,
        rule: &Rule,
        policy: &LintPolicy<'_>,
        problem: &Problem,
        fix: Option<String>,
    ) -> &mut Finding {
        let part = match problem.kind {
            ProblemKind::UnknownField { .. } | ProblemKind::InvalidLabelKey { .. } => Part::Key,
            _ => Part::Value,
        };
        let message = problem.kind.to_string();
        let mut finding = Finding::new(rule, policy, problem.path.clone(), message);
        finding.place = policy.policy.fields.place(&problem.path, part);
        finding.fix = fix;
        let added = self.list.len();
        self.list.push(finding);
        &mut self.list[added]
    }

    /// These findings and then the others.
    pub(super) fn joined(mut self, mut others: Self) -> Self {
        self.list.append(&mut others.list);
        self
    }

    /// All findings, in the order in which they were added.
    pub(super) fn into_list(self) -> Vec<Finding> {
        self.list
    }

    /// All findings, by file, place and code.
    pub(super) fn sorted(mut self) -> Vec<Finding> {
        self.list.sort_by(|a, b| {
            let files = a.place.source.name().cmp(b.place.source.name());
            files
                .then_with(|| (a.place.span, a.code, &a.path).cmp(&(b.place.span, b.code, &b.path)))
        });
        self.list
    }
}
