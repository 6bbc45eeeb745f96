//! Whether two inputs mean the same: for the pods that they hold, and for any pods and namespaces that could be.
//!
//! The second is decided by the algebra of selectors. What a policy makes of a pod depends on which selectors match the
//! pod alone, so pods are cut into cells, one for each combination that labels can bring about, and likewise peers. Each
//! direction of a pod counts by itself: what the other end's policies deny today may be allowed by them tomorrow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy_core::policy::Policy;
use policy_core::{Direction, Labels, Mode, PodId, PortSet, Selector};

use super::cells::{self, Grants, Point};
use crate::inventory::witness;

/// What two inputs mean differently.
#[derive(Debug, Default)]
pub struct Unlike {
    /// For each namespace and direction where they differ, the simplest example.
    pub witnesses: Vec<Witness>,
    /// Namespaces and directions with more combinations of labels than are tried, so that nobody knows.
    pub undecided: Vec<(Arc<str>, Direction)>,
}

impl Unlike {
    /// Whether both mean the same for whatever pods there are.
    pub fn is_empty(&self) -> bool {
        self.witnesses.is_empty() && self.undecided.is_empty()
    }
}

/// A flow that one input admits at a pod and the other does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The pod's namespace.
    pub namespace: Arc<str>,
    /// The pod's labels.
    pub pod: Labels,
    /// Whether it receives or opens.
    pub direction: Direction,
    /// The other end, and what passes.
    pub point: Point,
    /// Whether the second input admits it, and not the first.
    pub is_gained: bool,
}

type Policies = BTreeMap<policy_core::PolicyId, Arc<Policy>>;

/// Compares what policies say of any pods. Names of policies do not count.
#[must_use]
pub fn unlike(one: &Policies, other: &Policies) -> Unlike {
    let (one, other) = (by_namespace(one), by_namespace(other));
    let names: BTreeSet<&Arc<str>> = one.keys().chain(other.keys()).copied().collect();
    let mut found = Unlike::default();
    for namespace in names {
        let of = |side: &BTreeMap<&Arc<str>, BTreeSet<Meant>>| {
            side.get(namespace).cloned().unwrap_or_default()
        };
        let sides = [of(&one), of(&other)];
        if sides[0] == sides[1] {
            continue;
        }
        for direction in Direction::ALL {
            compare(namespace, direction, &sides, &mut found);
        }
    }
    found
}

/// A policy without its name, wherever it stands.
type Meant = (Selector, Mode, Arc<Policy>);

fn by_namespace(policies: &Policies) -> BTreeMap<&Arc<str>, BTreeSet<Meant>> {
    let mut found: BTreeMap<&Arc<str>, BTreeSet<Meant>> = BTreeMap::new();
    for (id, policy) in policies {
        let mut nameless = policy.as_ref().clone();
        nameless.id.name = "".into();
        let meant = (policy.subjects.clone(), policy.mode, Arc::new(nameless));
        found.entry(&id.namespace).or_default().insert(meant);
    }
    found
}

/// Looks for the simplest pod of a namespace that the two sides treat differently.
fn compare(
    namespace: &Arc<str>,
    direction: Direction,
    sides: &[BTreeSet<Meant>; 2],
    found: &mut Unlike,
) {
    let isolating = |side: usize| {
        let policies = sides[side].iter().map(|(_, _, policy)| policy.as_ref());
        policies.filter(move |policy| policy.isolates(direction))
    };
    let all: Vec<(usize, &Policy)> = (0..2)
        .flat_map(|side| isolating(side).map(move |policy| (side, policy)))
        .collect();
    let has = |side: usize, policy: &Policy| isolating(side).any(|known| known == policy);
    // What both sides have means the same for pods that no other policy selects.
    let changed = all.iter().filter(|(side, policy)| !has(1 - side, policy));
    let changed: Vec<Selector> = changed.map(|(_, policy)| policy.subjects.clone()).collect();
    let selectors: Vec<&Selector> = all.iter().map(|(_, policy)| &policy.subjects).collect();
    let Some(pods) = cells::pods(&changed, &selectors) else {
        found.undecided.push((namespace.clone(), direction));
        return;
    };
    let mut best: Option<Witness> = None;
    for (matching, pod) in pods {
        let of = |side: usize| {
            let policies = matching.iter().map(|&index| all[index]);
            let policies = policies.filter(|(of, _)| *of == side);
            Grants::new(namespace, direction, policies.map(|(_, policy)| policy))
        };
        let Some(labels) = witness(&pod) else {
            continue;
        };
        match cells::difference(&of(0), &of(1)) {
            Ok(None) => {}
            Ok(Some((point, is_gained))) => {
                let witness = Witness {
                    namespace: namespace.clone(),
                    pod: labels,
                    direction,
                    point,
                    is_gained,
                };
                if best
                    .as_ref()
                    .is_none_or(|best| witness.weight() < best.weight())
                {
                    best = Some(witness);
                }
            }
            Err(cells::TooMany) => {
                found.undecided.push((namespace.clone(), direction));
                return;
            }
        }
    }
    found.witnesses.extend(best);
}

impl Witness {
    /// How much there is to read.
    fn weight(&self) -> usize {
        self.pod.iter().count() + self.point.weight()
    }

    /// The pod as an end: `shop/[app=web]`.
    #[must_use]
    pub fn subject(&self) -> PodId {
        cells::shown(&self.namespace, &self.pod)
    }

    /// What passes on one side alone.
    pub fn ports(&self) -> &PortSet {
        &self.point.ports
    }
}
