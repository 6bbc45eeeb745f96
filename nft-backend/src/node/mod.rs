//! The table of one node, kept by what events change: [`Node::take`] gives what changes of the ruleset, at a cost that
//! follows the change.
//!
//! It keeps what [`render`](mod@crate::render) makes of a graph, but for the comments that list pods: labels follow from
//! policies alone, so no class changes for another one's sake. A class is looked at in one of two ways. Where just
//! addresses of pods came or went in its permissions, only the elements of these addresses are made, before and after.
//! Where anything else changed, all its elements are, by the code that makes whole rulesets. The elements themselves are
//! not kept here but by whoever holds the table, [`Live`](crate::live::Live).

mod addresses;
mod batch;
mod classes;
mod counting;
mod dispatch;
mod moves;
mod peers;
mod tally;

use std::collections::BTreeSet;

use policy_core::RuleId;
use policy_core::incremental::{Changes, NodeState, SubjectState};

use crate::class::{Classes, Dispatch};
use crate::class_chain::Direction;
use crate::class_counters::ClassPolicies;
use crate::config::Config;
use crate::delta::Delta;
use crate::digest::Digest;
use crate::drafts::Drafts;
use crate::identity::Identity;
use crate::layout::{LayoutError, lay_out};
use crate::render::add_contested;
use crate::ruleset::Ruleset;
use classes::{ClassTable, permissions};
use counting::{Users, counted};
use peers::PeerSets;

/// What one node enforces, as the changes since the first make it up.
#[derive(Debug)]
pub struct Node {
    config: Config,
    state: NodeState,
    classes: ClassTable,
    peer_sets: PeerSets,
    rule_users: Users,
    digest: Digest,
}

/// How much a [`Node`] holds: everything is zero when every object is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Subject classes of the engine.
    pub subjects: usize,
    /// Addresses of local pods.
    pub pods: usize,
    /// Addresses of peers, over all permissions of all subjects.
    pub peers: usize,
    /// Classes of both directions.
    pub classes: usize,
    /// Permissions that are split into a peer set and a port set.
    pub splits: usize,
}

impl Node {
    /// A node without isolated pods. Where the configuration asks for the counters of rules, changes have to be those of an
    /// engine that tells rules.
    ///
    /// # Errors
    /// When the table cannot be laid out.
    pub fn new(config: Config) -> Result<Self, LayoutError> {
        let digest = lay_out(&config, &Classes::default())?.digest();
        Ok(Self {
            config,
            state: NodeState::default(),
            classes: ClassTable::default(),
            peer_sets: PeerSets::default(),
            rule_users: Users::default(),
            digest,
        })
    }

    /// Takes changes over, in the order in which the engine gave them, and gives what they change of the ruleset.
    pub fn take(&mut self, changes: &Changes) -> Delta {
        let delta = batch::take(self, changes).of(self.digest);
        self.digest = delta.to;
        delta
    }

    /// The whole ruleset, for a load or when it is not known what is in force. Its comments list no pods. It costs what
    /// the node's elements do.
    ///
    /// # Errors
    /// When the classes cannot be laid out.
    pub fn ruleset(&self) -> Result<Ruleset, LayoutError> {
        let mut drafts = Drafts::default();
        for subject in self.state.subjects.values() {
            for direction in Direction::ALL {
                if let Some(identity) = identity(subject, direction) {
                    let permissions = || permissions(subject, direction);
                    let counted = || counted(&self.config, subject, direction);
                    drafts.file(direction, &identity, permissions, counted, []);
                }
            }
        }
        let mut classes = drafts.classes();
        for subject in self.state.subjects.values() {
            let label = |direction| drafts.label(direction, &identity(subject, direction)?);
            let dispatch = Dispatch {
                ingress: label(Direction::Ingress),
                egress: label(Direction::Egress),
            };
            let addresses = subject.addresses.iter();
            let pods = addresses.map(|address| (*address, dispatch.clone()));
            classes.pods.extend(pods);
        }
        for (address, claimants) in &self.state.contested {
            let claimants: Vec<_> = claimants.iter().collect();
            add_contested(&mut classes, *address, &claimants);
        }
        lay_out(&self.config, &classes)
    }

    /// The policies behind each class, to tell what its counters say about them.
    pub fn class_policies(&self) -> ClassPolicies {
        self.classes.policies()
    }

    /// The rules that packets are counted for; none where rules are not counted.
    pub fn counted_rules(&self) -> BTreeSet<RuleId> {
        let subjects = self.state.subjects.values();
        let isolated = subjects.flat_map(|subject| {
            let rules = subject.rules.keys();
            rules.filter(|_| self.config.rule_counters && !subject.addresses.is_empty())
        });
        isolated.cloned().collect()
    }

    /// The digest of the whole ruleset.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether any address is dispatched to a class.
    fn isolates(&self) -> bool {
        let mut subjects = self.state.subjects.values();
        !self.state.contested.is_empty() || subjects.any(|subject| !subject.addresses.is_empty())
    }

    /// How much the node holds.
    pub fn footprint(&self) -> Footprint {
        let subjects = self.state.subjects.values();
        let permissions = subjects
            .clone()
            .flat_map(|subject| subject.permissions.values());
        Footprint {
            subjects: self.state.subjects.len(),
            pods: subjects.map(|subject| subject.addresses.len()).sum(),
            peers: permissions.map(|peers| peers.addresses.len()).sum(),
            classes: self.classes.count(),
            splits: self.peer_sets.count(),
        }
    }
}

/// The identity of a subject's class; `None` where the subject is not isolated, or nobody is in it whose address is
/// known.
fn identity(subject: &SubjectState, direction: Direction) -> Option<Identity> {
    let policies = subject.isolated_by.get(&direction.into())?;
    (!subject.addresses.is_empty()).then(|| Identity {
        is_audited: subject.audited.contains(&direction.into()),
        policies: policies.clone(),
        named_ports: match direction {
            Direction::Ingress => subject.named_ports.clone(),
            Direction::Egress => Vec::new(),
        },
    })
}
