//! What two inputs mean differently: the connections that are gained and lost, in the fewest words.
//!
//! The answer comes from the algebra on both rule graphs: pods that neither graph can tell apart are of one kind, and
//! every two kinds are compared, on every port at once.

mod cause;
pub(crate) mod group;
mod outside;
mod pairs;

use policy_core::reach::PortTable;
use policy_core::{IpSet, Isolation, PodId, PolicyId, PortSet, RuleGraph};

use crate::inventory::{Pair, Standing};
use crate::kinds::Kinds;
use crate::manifest::Place;

/// What changed.
#[derive(Debug)]
pub struct Difference {
    /// Connections that pass now and did not.
    pub gained: Vec<Change>,
    /// Connections that passed and do not now.
    pub lost: Vec<Change>,
    /// The pods that only the new input has, and what policies make of them.
    pub appeared: Vec<Appeared>,
    /// The pods that only the old input has.
    pub vanished: Vec<PodId>,
    /// The pods that were compared, sorted; what a [`Side`] counts.
    pub pods: Vec<(PodId, Standing)>,
}

/// Connections that changed alike.
#[derive(Debug, Clone)]
pub struct Change {
    /// Who opens them.
    pub from: Side,
    /// Whom to.
    pub to: Side,
    /// On what.
    pub ports: PortSet,
    /// The policies that differ between the inputs and decide these connections.
    pub causes: Vec<Cause>,
}

/// One side of a [`Change`]: pods, addresses that are no pod's, or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Side {
    /// Positions in [`Difference::pods`], sorted.
    pub pods: Vec<usize>,
    /// Addresses.
    pub addresses: IpSet,
}

/// Why a connection changed.
#[derive(Debug, Clone)]
pub enum Cause {
    /// A policy differs.
    Policy {
        /// Which.
        policy: PolicyId,
        /// How.
        edit: Edit,
        /// Where the policy, or the rule that decides, is written: in the new input, or in the old one when it is
        /// removed.
        place: Option<Place>,
    },
    /// No policy that decides these connections differs, so labels, ports, addresses or nodes do.
    Objects,
}

/// How a policy differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edit {
    /// Only the new input has it.
    Added,
    /// Only the old input has it.
    Removed,
    /// Both have it, and it says something else.
    Changed,
}

/// A pod that only the new input has.
#[derive(Debug)]
pub struct Appeared {
    /// Its name.
    pub id: PodId,
    /// What policies make of what it receives.
    pub ingress: Isolation,
    /// What policies make of what it opens.
    pub egress: Isolation,
}

impl Difference {
    /// Whether policies allow the same.
    pub fn is_empty(&self) -> bool {
        self.gained.is_empty() && self.lost.is_empty()
    }
}

/// Compares the two clusters.
#[must_use]
pub fn difference(pair: &Pair<'_>) -> Difference {
    let (old, new) = rayon::join(
        || RuleGraph::compile(&pair.old.cluster),
        || RuleGraph::compile(&pair.new.cluster),
    );
    let (old_pods, new_pods) = (pair.old_pods(), pair.new_pods());
    let mut table = PortTable::new();
    let sides = [(&old, &old_pods[..]), (&new, &new_pods[..])];
    let kinds = Kinds::new(sides.to_vec(), &pair.pods, &mut table);
    let (more_pairs, fewer_pairs) = pairs::changed(&kinds, &mut table);
    let (more_outside, fewer_outside) = outside::changed(sides, &kinds);
    let told = |pairs, outside| {
        let changes = group::changes(pairs, outside, &kinds, &table);
        cause::explained(changes, pair, sides)
    };
    let gained = told(more_pairs, more_outside);
    let lost = told(fewer_pairs, fewer_outside);
    let appeared = pair.pods.iter().zip(&new_pods);
    let appeared = appeared.filter(|((_, standing), _)| *standing == Standing::Appeared);
    let appeared = appeared.map(|((id, _), pod)| Appeared {
        id: id.clone(),
        ingress: new.isolation(pod, policy_core::Direction::Ingress),
        egress: new.isolation(pod, policy_core::Direction::Egress),
    });
    Difference {
        gained,
        lost,
        appeared: appeared.collect(),
        vanished: pair.vanished.clone(),
        pods: pair.pods.clone(),
    }
}
