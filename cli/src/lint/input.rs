//! What rules look at: the objects, and each policy with what it means and what lowering said about it.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use policy_core::policy::{Peer, Peers};
use policy_core::problem::{Problem, ProblemKind, Segment};
use policy_core::{Direction, FieldPath, Policy, Selector, lower};
use rayon::prelude::*;

use super::Selection;
use super::closed::{self, PeerRun};
use super::profile::Profile;
use super::reach::Reach;
use super::redundancy::{Neighbours, Redundant, neighbours};
use super::services::Services;
use super::world::World;
use super::written::WrittenRule;
use crate::manifest::{
    BoundAccount, ConfigMap, Content, ForeignPolicy, Manifests, Object, Part, Place, PolicyObject,
};

/// The input of a lint run.
pub struct Input<'a> {
    /// All objects, in the input's order.
    pub objects: &'a [Object],
    /// The policies among them, in the same order.
    pub policies: Vec<LintPolicy<'a>>,
    /// Policies of other kinds, which are not read.
    pub foreign: &'a [ForeignPolicy],
    /// What `ConfigMaps` say about whom to call.
    pub config_maps: &'a [ConfigMap],
    /// The service accounts that have a role.
    pub bound_accounts: &'a [BoundAccount],
    /// The pods and namespaces that they make up.
    pub world: &'a World,
    /// Who may reach whom by the policies.
    pub reach: Reach<'a>,
    /// The Services.
    pub services: Services<'a>,
    /// The policies of each namespace, and what of them is redundant.
    pub(super) neighbours: Vec<(Neighbours, Redundant)>,
    /// The network plugin.
    pub profile: Option<Profile>,
    /// Whether they are only a part of the cluster.
    pub is_open_world: bool,
}

/// A policy under lint.
pub struct LintPolicy<'a> {
    /// The object around it.
    pub object: &'a Object,
    /// The policy with the places of its fields.
    pub policy: &'a PolicyObject,
    /// What it means.
    pub meaning: Policy,
    /// What lowering said about it.
    pub problems: Vec<Problem>,
    /// The peers that were understood of the rules that were not.
    pub(super) closed: Vec<PeerRun>,
}

impl<'a> Input<'a> {
    /// Lowers the policies among the objects. `world` is that of the same manifests.
    #[must_use]
    pub fn new(manifests: &'a Manifests, world: &'a World, selection: &Selection) -> Self {
        Self::of_policies(manifests, policies(manifests), world, selection)
    }

    /// The same with policies that are lowered already.
    pub(super) fn of_policies(
        manifests: &'a Manifests,
        mut policies: Vec<LintPolicy<'a>>,
        world: &'a World,
        selection: &Selection,
    ) -> Self {
        for policy in &mut policies {
            let meaning = &mut policy.meaning;
            let namespace = world.mode_of(&meaning.id.namespace);
            meaning.mode = meaning.stated_mode.unwrap_or(namespace);
        }
        let (reach, neighbours) = rayon::join(
            || Reach::new(world, &policies),
            || {
                let neighbours = neighbours(&policies).into_par_iter();
                let judged = neighbours.map(|neighbours| {
                    let redundant = neighbours.redundant(&policies);
                    (neighbours, redundant)
                });
                judged.collect()
            },
        );
        Self {
            objects: &manifests.objects,
            foreign: &manifests.foreign,
            config_maps: &manifests.config_maps,
            bound_accounts: &manifests.bound_accounts,
            services: Services::new(&manifests.objects, &reach),
            policies,
            world,
            reach,
            neighbours,
            profile: selection.profile,
            is_open_world: selection.is_open_world,
        }
    }

    /// All problems with their policies.
    pub fn problems(&self) -> impl Iterator<Item = (&LintPolicy<'a>, &Problem)> {
        self.policies
            .iter()
            .flat_map(|policy| policy.problems.iter().map(move |problem| (policy, problem)))
    }

    /// All rules that are in force and understood, with their policies.
    pub fn rules(&self) -> impl Iterator<Item = (&LintPolicy<'a>, WrittenRule<'_>)> {
        self.policies
            .iter()
            .flat_map(|policy| policy.rules().map(move |rule| (policy, rule)))
    }

    /// All peers of rules that are in force and understood: their rule and their position in it.
    pub fn peers(&self) -> impl Iterator<Item = (&LintPolicy<'a>, WrittenRule<'_>, usize, &Peer)> {
        self.rules().flat_map(|(policy, rule)| {
            rule.numbered_peers()
                .map(move |(i, p)| (policy, rule, i, p))
        })
    }

    /// These, and those of rules that allow nothing because something else in them was not understood: what a peer
    /// selects stands on its own text.
    pub fn understood_peers(
        &self,
    ) -> impl Iterator<Item = (&LintPolicy<'a>, WrittenRule<'_>, usize, &Peer)> {
        let closed = self.policies.iter().flat_map(|policy| {
            let runs = policy.closed.iter().map(PeerRun::written);
            runs.flat_map(move |rule| {
                rule.numbered_peers()
                    .map(move |(i, p)| (policy, rule, i, p))
            })
        });
        self.peers().chain(closed)
    }
}

/// The policies among the objects, lowered.
pub(super) fn policies(manifests: &Manifests) -> Vec<LintPolicy<'_>> {
    let objects = manifests.objects.par_iter();
    objects.filter_map(LintPolicy::new).collect()
}

impl<'a> LintPolicy<'a> {
    /// Lowers an object, if it is a policy.
    fn new(object: &'a Object) -> Option<Self> {
        let Content::Policy(policy) = &object.content else {
            return None;
        };
        let (meaning, problems) = lower::policy(&policy.object, &policy.unread);
        Some(Self {
            object,
            policy,
            closed: closed::peers(&policy.object, &meaning, &problems),
            meaning,
            problems: told_once(problems),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.meaning.id.name
    }

    /// Where its name stands.
    pub fn name_place(&self) -> Place {
        self.place(&FieldPath::root().field("metadata").field("name"))
    }

    /// `spec`, if it is there.
    pub fn spec(&self) -> Option<&NetworkPolicySpec> {
        self.policy.object.spec.as_ref()
    }

    /// Whether `spec.policyTypes` is absent or empty, so that the types follow from the rules.
    pub fn has_default_types(&self) -> bool {
        let types = self.spec().and_then(|spec| spec.policy_types.as_ref());
        let is_absent = types.is_none_or(Vec::is_empty);
        let path = FieldPath::root().field("spec").field("policyTypes");
        is_absent && !self.problems.iter().any(|problem| problem.path == path)
    }

    /// Whether a field is written at all.
    pub fn is_written(&self, path: &FieldPath) -> bool {
        self.policy.fields.is_written(path)
    }

    /// Where a field's value stands.
    pub fn place(&self, path: &FieldPath) -> Place {
        self.policy.fields.place(path, Part::Value)
    }

    /// The rules that are in force and understood.
    pub fn rules(&self) -> impl Iterator<Item = WrittenRule<'_>> {
        Direction::ALL
            .into_iter()
            .flat_map(|direction| self.rules_of(direction))
    }

    /// The rules of one direction that are in force and understood.
    pub fn rules_of(&self, direction: Direction) -> Vec<WrittenRule<'_>> {
        let meanings = self.meaning.rules(direction);
        let Some(spec) = self.spec() else {
            return Vec::new();
        };
        let written: Vec<_> = match direction {
            Direction::Ingress => {
                let rules = spec.ingress.iter().flatten();
                rules
                    .map(|rule| (rule.from.as_ref(), rule.ports.as_ref()))
                    .collect()
            }
            Direction::Egress => {
                let rules = spec.egress.iter().flatten();
                rules
                    .map(|rule| (rule.to.as_ref(), rule.ports.as_ref()))
                    .collect()
            }
        };
        let numbered = written.into_iter().enumerate();
        numbered
            .filter_map(|(index, (peers, ports))| {
                WrittenRule::new(direction, index, peers, ports, meanings.get(index))
            })
            .collect()
    }

    /// A rule by its direction and its position in the list, if it was understood.
    pub fn rule(&self, direction: Direction, index: usize) -> Option<WrittenRule<'_>> {
        let mut rules = self.rules_of(direction).into_iter();
        rules.find(|rule| rule.index == index)
    }

    /// Every selector of the policy that was understood, with its place.
    pub fn selectors(&self) -> Vec<(FieldPath, Selector)> {
        let mut selectors = vec![(
            FieldPath::root().field("spec").field("podSelector"),
            self.meaning.subjects.clone(),
        )];
        for rule in self.rules() {
            let Peers::Listed(peers) = rule.peers else {
                continue;
            };
            for (index, peer) in peers.iter().enumerate() {
                if let Peer::Pods { namespaces, pods } = peer {
                    let path = rule.peer_path(index);
                    if let policy_core::policy::Namespaces::Matching(namespaces) = namespaces {
                        selectors.push((path.field("namespaceSelector"), namespaces.clone()));
                    }
                    selectors.push((path.field("podSelector"), pods.clone()));
                }
            }
        }
        selectors
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
