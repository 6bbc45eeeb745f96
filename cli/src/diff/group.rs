//! Puts changes together that are alike, so that they take the fewest lines.

use std::collections::BTreeMap;

use policy_core::reach::{PortTable, PortsId};
use policy_core::{Direction, IpSet, PortSet};

use super::outside::OutsideCell;
use super::pairs::Cell;
use super::{Change, Side};
use crate::kinds::Kinds;

/// Kinds, sorted.
pub(crate) type KindSet = Vec<usize>;
pub(crate) type Relation = BTreeMap<usize, KindSet>;

/// The changes, sorted: those that touch addresses first.
pub(super) fn changes(
    cells: Vec<Cell>,
    outside: Vec<OutsideCell>,
    kinds: &Kinds<'_>,
    table: &PortTable,
) -> Vec<Change> {
    let mut by_ports: BTreeMap<PortsId, Relation> = BTreeMap::new();
    for (from, to, ports) in cells {
        let relation = by_ports.entry(ports).or_default();
        relation.entry(from).or_default().push(to);
    }
    let mut changes = Vec::new();
    for (ports, relation) in by_ports {
        let rectangles = rectangles(&relation, &kinds.has_inner);
        changes.extend(rectangles.into_iter().map(|(from, to)| Change {
            from: side(&from, kinds),
            to: side(&to, kinds),
            ports: table.ports(ports).clone(),
            causes: Vec::new(),
        }));
    }
    let mut by_place: BTreeMap<(Direction, IpSet, PortSet), KindSet> = BTreeMap::new();
    for (kind, direction, addresses, ports) in outside {
        let kinds = by_place.entry((direction, addresses, ports)).or_default();
        kinds.push(kind);
    }
    for ((direction, addresses, ports), members) in by_place {
        let (pods, outside) = (side(&members, kinds), addresses);
        let addresses = Side {
            pods: Vec::new(),
            addresses: outside,
        };
        let (from, to) = match direction {
            Direction::Ingress => (addresses, pods),
            Direction::Egress => (pods, addresses),
        };
        changes.push(Change {
            from,
            to,
            ports,
            causes: Vec::new(),
        });
    }
    let mut changes = joined(changes);
    changes.sort_by(|one, other| {
        let key = |change: &Change| {
            let inner = change.from.addresses.is_empty() && change.to.addresses.is_empty();
            (inner, change.to.clone(), change.from.clone())
        };
        (key(one), &one.ports).cmp(&(key(other), &other.ports))
    });
    changes
}

fn side(kinds: &KindSet, all: &Kinds<'_>) -> Side {
    let pods = kinds.iter().flat_map(|&kind| &all.members[kind]);
    let mut pods: Vec<usize> = pods.copied().collect();
    pods.sort_unstable();
    Side {
        pods,
        addresses: IpSet::empty(),
    }
}

/// Cuts a relation into products of sets. Whether a single pod is related to itself means nothing, so that place is
/// filled where this makes fewer products.
pub(crate) fn rectangles(relation: &Relation, has_inner: &[bool]) -> Vec<(KindSet, KindSet)> {
    let filled = |relation: &Relation| -> Relation {
        let mut filled = relation.clone();
        for (&from, to) in &mut filled {
            if let (false, Err(place)) = (has_inner[from], to.binary_search(&from)) {
                to.insert(place, from);
            }
        }
        filled
    };
    let turned = turn(relation);
    let by_source = [relation.clone(), filled(relation)].map(|relation| products(&relation));
    let by_target = [turned.clone(), filled(&turned)].map(|relation| {
        let products = products(&relation).into_iter();
        products.map(|(to, from)| (from, to)).collect::<Vec<_>>()
    });
    let all = by_source.into_iter().chain(by_target);
    let fewest = all.min_by_key(Vec::len).unwrap_or_default();
    fewest
        .into_iter()
        .map(|(from, to)| without_self(from, to, has_inner))
        .collect()
}

fn turn(relation: &Relation) -> Relation {
    let mut turned = Relation::new();
    for (&from, targets) in relation {
        for &to in targets {
            turned.entry(to).or_default().push(from);
        }
    }
    turned
}

/// The sources with the same targets together.
fn products(relation: &Relation) -> Vec<(KindSet, KindSet)> {
    let mut products: BTreeMap<&KindSet, KindSet> = BTreeMap::new();
    for (&from, to) in relation {
        products.entry(to).or_default().push(from);
    }
    let products = products.into_iter();
    products.map(|(to, from)| (from, to.clone())).collect()
}

/// A single pod on one side is not told to reach itself.
fn without_self(mut from: KindSet, mut to: KindSet, has_inner: &[bool]) -> (KindSet, KindSet) {
    if let (1, Some(&only)) = (from.len(), from.first())
        && !has_inner[only]
    {
        to.retain(|kind| *kind != only);
    }
    if let (1, Some(&only)) = (to.len(), to.first())
        && !has_inner[only]
    {
        from.retain(|kind| *kind != only);
    }
    (from, to)
}

/// Pods and addresses that changed alike towards the same side become one line.
fn joined(changes: Vec<Change>) -> Vec<Change> {
    let mut joined: Vec<Change> = Vec::new();
    // The changes between pods, by their ports and each of their sides.
    let mut inner: BTreeMap<(PortSet, Direction, Side), Vec<usize>> = BTreeMap::new();
    for change in changes {
        let (direction, pods) = if change.from.addresses.is_empty() {
            (Direction::Egress, &change.from)
        } else {
            (Direction::Ingress, &change.to)
        };
        let key = (change.ports.clone(), direction, pods.clone());
        if change.from.addresses.is_empty() && change.to.addresses.is_empty() {
            let other = (change.ports.clone(), Direction::Ingress, change.to.clone());
            for key in [key, other] {
                inner.entry(key).or_default().push(joined.len());
            }
            joined.push(change);
            continue;
        }
        // A line that has got addresses takes no more.
        let alike = inner.get(&key).into_iter().flatten().copied();
        let mut alike = alike.filter(|&known| {
            let Change { from, to, .. } = &joined[known];
            from.addresses.is_empty() && to.addresses.is_empty()
        });
        match (alike.next(), direction) {
            (Some(known), Direction::Egress) => joined[known].to.addresses = change.to.addresses,
            (Some(known), Direction::Ingress) => {
                joined[known].from.addresses = change.from.addresses;
            }
            (None, _) => joined.push(change),
        }
    }
    joined
}
