//! What rules look at: the objects, and each policy with what lowering said about it.

use std::collections::BTreeSet;

use policy_core::lower;
use policy_core::problem::{Problem, ProblemKind, Segment};

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
fn told_once(mut problems: Vec<Problem>) -> Vec<Problem> {
    let is_cause = |problem: &Problem| {
        matches!(
            problem.kind,
            ProblemKind::Mistyped { .. } | ProblemKind::UnknownField { .. }
        )
    };
    let causes = problems.iter().filter(|problem| is_cause(problem));
    let causes: BTreeSet<Vec<Segment>> =
        causes.map(|cause| cause.path.segments().to_vec()).collect();
    let parent = |path: &[Segment]| path[..path.len().saturating_sub(1)].to_vec();
    let parents: BTreeSet<Vec<Segment>> = causes.iter().map(|path| parent(path)).collect();
    let follows = |problem: &Problem| {
        let path = problem.path.segments();
        let lacks_what_could_not_be_read = match problem.kind {
            ProblemKind::EmptyPeer => parents.contains(path),
            ProblemKind::EndPortWithoutPort | ProblemKind::MissingValues { .. } => {
                parents.contains(&parent(path))
            }
            _ => false,
        };
        lacks_what_could_not_be_read
            || (0..=path.len()).any(|length| causes.contains(&path[..length]))
    };
    problems.retain(|problem| is_cause(problem) || !follows(problem));
    problems
}
