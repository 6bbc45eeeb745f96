//! Finds pod sets that need no permission of their own, because wider ones hold them.

use crate::graph::World;
use crate::inventory::ClassId;
use crate::minimize::{Admitted, MinimalEdge};
use crate::resolve::PodSetId;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Drops every pod set that lies in another one which admits at least the same; that one gets its grants.
pub(crate) fn without_covered(
    mut pods: BTreeMap<PodSetId, Admitted>,
    world: &World,
) -> BTreeMap<PodSetId, Admitted> {
    let candidates = Containers::new(pods.keys().copied(), world);
    let sets: Vec<PodSetId> = pods.keys().copied().collect();
    for set in sets {
        let admitted = &pods[&set];
        let cover = candidates.of(set, world).find(|container| {
            pods.get(container)
                .is_some_and(|wider| wider.ports.contains_all(&admitted.ports))
        });
        if let Some(cover) = cover
            && let Some(covered) = pods.remove(&set)
        {
            pods.entry(cover).or_default().grants.extend(covered.grants);
        }
    }
    pods
}

/// Finds the sets that contain a given one without trying every pair: a container holds the set's first class, and
/// small containers are filed under each of their classes.
struct Containers {
    small: FxHashMap<ClassId, Vec<PodSetId>>,
    large: Vec<PodSetId>,
}

/// A set of more classes than this is tried against every other one instead of being filed.
const SMALL: usize = 64;

impl Containers {
    fn new(sets: impl Iterator<Item = PodSetId>, world: &World) -> Self {
        let mut small: FxHashMap<ClassId, Vec<PodSetId>> = FxHashMap::default();
        let mut large = Vec::new();
        for set in sets {
            let classes = world.pod_sets.value(set);
            if classes.len() > SMALL {
                large.push(set);
            } else {
                for &class in classes {
                    small.entry(class).or_default().push(set);
                }
            }
        }
        Self { small, large }
    }

    /// The other sets that hold every class of `set`. Distinct numbers are distinct sets, so they hold more.
    fn of<'s>(&'s self, set: PodSetId, world: &'s World) -> impl Iterator<Item = PodSetId> + 's {
        let classes = world.pod_sets.value(set);
        let filed = classes.first().and_then(|first| self.small.get(first));
        filed
            .into_iter()
            .flatten()
            .chain(&self.large)
            .copied()
            .filter(move |&other| other != set && is_subset(classes, world.pod_sets.value(other)))
    }
}

fn is_subset(inner: &[ClassId], outer: &[ClassId]) -> bool {
    inner.len() <= outer.len() && inner.iter().all(|class| outer.binary_search(class).is_ok())
}

/// Takes out of each edge the pod sets that lie in the peers of another edge which admits more: there, several sets
/// together can hold what no single one does. That edge gets the grants. Blocks of different edges are disjoint.
pub(crate) fn drop_covered(edges: &mut [MinimalEdge], world: &World) {
    for wider in 0..edges.len() {
        let sets = edges[wider].peers.pods.iter();
        let mut held: Vec<ClassId> = sets
            .flat_map(|&set| world.pod_sets.value(set))
            .copied()
            .collect();
        held.sort_unstable();
        let is_held = |set: PodSetId| is_subset(world.pod_sets.value(set), &held);
        for narrower in 0..edges.len() {
            if narrower == wider || !edges[wider].ports.contains_all(&edges[narrower].ports) {
                continue;
            }
            let before = edges[narrower].peers.pods.len();
            edges[narrower].peers.pods.retain(|&set| !is_held(set));
            if edges[narrower].peers.pods.len() < before {
                let grants = edges[narrower].grants.clone();
                edges[wider].grants.extend(grants);
            }
        }
    }
}
