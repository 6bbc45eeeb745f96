//! What changed between pods and addresses that are no pod's.

use policy_core::{Direction, IpSet, PortSet};

use crate::kinds::{Compared, Kinds};
use crate::matrix::families;

/// For a kind and a direction, the addresses where the same ports changed.
pub(super) type OutsideCell = (usize, Direction, IpSet, PortSet);

/// What is gained and what is lost.
pub(super) fn changed(
    sides: [Compared<'_>; 2],
    kinds: &Kinds<'_>,
) -> (Vec<OutsideCell>, Vec<OutsideCell>) {
    let own: IpSet = sides
        .into_iter()
        .flat_map(|(_, pods)| pods)
        .flat_map(|pod| &pod.addresses)
        .copied()
        .collect();
    let (mut gained, mut lost) = (Vec::new(), Vec::new());
    for kind in (0..kinds.members.len()).filter(|&kind| kinds.is_subject(kind)) {
        for direction in Direction::ALL {
            let [before, after] = sides.map(|(graph, pods)| {
                let pod = pods[kinds.first(kind)];
                whole(&graph.outside(pod, direction), &families(graph, pod))
            });
            if before == after {
                continue;
            }
            let cell = |(addresses, ports)| (kind, direction, addresses, ports);
            gained.extend(excess(&after, &before, &own).into_iter().map(cell));
            if !kinds.has_appeared(kind) {
                lost.extend(excess(&before, &after, &own).into_iter().map(cell));
            }
        }
    }
    (gained, lost)
}

type Pieces = Vec<(IpSet, PortSet)>;

/// The pieces within these families, and the rest, where nothing passes.
fn whole(pieces: &[(IpSet, PortSet)], families: &IpSet) -> Pieces {
    let mut rest = families.clone();
    let mut all = Pieces::new();
    for (addresses, ports) in pieces {
        rest = rest.difference(addresses);
        all.push((addresses.intersection(families), ports.clone()));
    }
    all.push((rest, PortSet::empty()));
    all.retain(|(addresses, _)| !addresses.is_empty());
    all.sort_unstable();
    all
}

/// What `one` admits and `other` does not, by the ports. What is about addresses of pods alone is told of these pods.
fn excess(one: &Pieces, other: &Pieces, own: &IpSet) -> Pieces {
    let mut found: Pieces = Vec::new();
    for (addresses, ports) in one {
        for (others, less) in other {
            let more = ports.difference(less);
            let both = addresses.intersection(others);
            if more.is_empty() || both.difference(own).is_empty() {
                continue;
            }
            match found.iter_mut().find(|(_, known)| *known == more) {
                Some((known, _)) => *known = known.union(&both),
                None => found.push((both, more)),
            }
        }
    }
    found
}
