//! What rules look at: the objects, and each policy with what lowering said about it.

use policy_core::lower;
use policy_core::problem::{Problem, ProblemKind};

use crate::manifest::{Content, Manifests, Object, PolicyObject};

/// The input of a lint run.
pub struct Input<'a> {
    /// All objects, in the input's order.
    pub objects: &'a [Object],
    /// The policies among them, in the same order.
    pub policies: Vec<LintPolicy<'a>>,
}

/// A policy under lint.
pub struct LintPolicy<'a> {
    /// The object around it.
    pub object: &'a Object,
    /// The policy with the places of its fields.
    pub policy: &'a PolicyObject,
    /// What lowering said about it.
    pub problems: Vec<Problem>,
}

impl<'a> Input<'a> {
    /// Lowers the policies among the objects.
    #[must_use]
    pub fn new(manifests: &'a Manifests) -> Self {
        let policies = manifests
            .objects
            .iter()
            .filter_map(|object| match &object.content {
                Content::Policy(policy) => {
                    let (_, problems) = lower::policy(&policy.object, &policy.unread);
                    Some(LintPolicy {
                        object,
                        policy,
                        problems: told_once(problems),
                    })
                }
                _ => None,
            });
        Self {
            objects: &manifests.objects,
            policies: policies.collect(),
        }
    }

    /// All problems with their policies.
    pub fn problems(&self) -> impl Iterator<Item = (&LintPolicy<'a>, &Problem)> {
        self.policies
            .iter()
            .flat_map(|policy| policy.problems.iter().map(move |problem| (policy, problem)))
    }
}

/// Leaves out what only follows from another problem: where a value could not be read, lowering sees an empty one in
/// its place, and a peer whose only field is unknown looks empty.
fn told_once(problems: Vec<Problem>) -> Vec<Problem> {
    let (causes, others): (Vec<Problem>, Vec<Problem>) =
        problems.into_iter().partition(|problem| {
            matches!(
                problem.kind,
                ProblemKind::Mistyped { .. } | ProblemKind::UnknownField { .. }
            )
        });
    let follows = |problem: &Problem| {
        causes
            .iter()
            .any(|cause| match (&cause.kind, &problem.kind) {
                (ProblemKind::UnknownField { .. }, ProblemKind::EmptyPeer) => {
                    cause.path.starts_with(&problem.path)
                }
                (ProblemKind::UnknownField { .. }, _) => false,
                _ => problem.path.starts_with(&cause.path) || parent_is(cause, problem),
            })
    };
    let others: Vec<Problem> = others
        .into_iter()
        .filter(|problem| !follows(problem))
        .collect();
    causes.into_iter().chain(others).collect()
}

/// Whether `cause` is a field of the value that `problem` finds empty.
fn parent_is(cause: &Problem, problem: &Problem) -> bool {
    matches!(
        problem.kind,
        ProblemKind::EmptyPeer | ProblemKind::EndPortWithoutPort
    ) && cause.path.segments().len() > 1
        && problem
            .path
            .segments()
            .starts_with(&cause.path.segments()[..cause.path.segments().len() - 1])
}
