//! Exact questions about what selectors, peers and ports mean: is one contained in the other.

use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::{Namespaces, Peer, Peers, PortSpec, Ports};
use policy_core::selector::{Constraint, Values};
use policy_core::{IpSet, PortSet, Protocol, Selector};

/// Whether everything that `inner` matches is matched by `outer` too.
pub(super) fn selector_covers(outer: &Selector, inner: &Selector) -> bool {
    if !inner.is_satisfiable() {
        return true;
    }
    let mut rest = inner.constraints().peekable();
    // Both are sorted by key, so one pass over both suffices.
    outer.constraints().all(|(key, demanded)| {
        while rest.next_if(|(other, _)| *other < key).is_some() {}
        rest.next_if(|(other, _)| *other == key)
            .is_some_and(|(_, given)| constraint_covers(demanded, given))
    })
}

fn constraint_covers(outer: &Constraint, inner: &Constraint) -> bool {
    let values = match (&outer.values, &inner.values) {
        (Values::Only(outer), Values::Only(inner)) => inner.is_subset(outer),
        (Values::Except(outer), Values::Only(inner)) => inner.is_disjoint(outer),
        (Values::Except(outer), Values::Except(inner)) => outer.is_subset(inner),
        (Values::Only(_), Values::Except(_)) => false,
    };
    values && (outer.may_lack || !inner.may_lack)
}

/// Whether no labels match both selectors.
pub(super) fn are_disjoint(one: &Selector, other: &Selector) -> bool {
    let mut rest = other.constraints().peekable();
    // Both are sorted by key, so one pass over both suffices.
    one.constraints().any(|(key, demanded)| {
        while rest.next_if(|(held, _)| *held < key).is_some() {}
        rest.next_if(|(held, _)| *held == key)
            .is_some_and(|(_, given)| are_opposed(demanded, given))
    }) || !one.is_satisfiable()
        || !other.is_satisfiable()
}

fn are_opposed(one: &Constraint, other: &Constraint) -> bool {
    if one.may_lack && other.may_lack {
        return false;
    }
    match (&one.values, &other.values) {
        (Values::Only(one), Values::Only(other)) => one.is_disjoint(other),
        (Values::Only(only), Values::Except(except))
        | (Values::Except(except), Values::Only(only)) => only.is_subset(except),
        (Values::Except(_), Values::Except(_)) => false,
    }
}

/// The selectors of `union` that together match all that `inner` matches; `None` where something remains.
pub(super) fn selector_in_union(inner: &Selector, union: &[&Selector]) -> Option<Vec<usize>> {
    const MOST_PIECES: usize = 64;
    let mut rest = vec![inner.clone()];
    let mut used = Vec::new();
    for (position, outer) in union.iter().enumerate() {
        if rest.iter().all(|piece| are_disjoint(piece, outer)) {
            continue;
        }
        rest = rest
            .iter()
            .flat_map(|piece| piece.difference(outer))
            .collect();
        used.push(position);
        if rest.is_empty() {
            return Some(used);
        }
        if rest.len() > MOST_PIECES {
            return None;
        }
    }
    None
}

/// Whether a selector matches every namespace: it demands nothing, or the label that each has.
pub(super) fn is_every_namespace(selector: &Selector) -> bool {
    selector.constraints().all(|(key, constraint)| {
        key == NAMESPACE_NAME_LABEL
            && matches!(&constraint.values, Values::Except(values) if values.is_empty())
    })
}

/// The addresses of the blocks among the peers.
pub(super) fn block_addresses(peers: &Peers) -> IpSet {
    let Peers::Listed(peers) = peers else {
        return IpSet::empty();
    };
    let blocks = peers.iter().filter_map(|peer| match peer {
        Peer::Block(block) => Some(block.addresses()),
        Peer::Pods { .. } => None,
    });
    joined(blocks.collect::<Vec<_>>().iter())
}

/// The union of many sets, in one pass.
pub(super) fn joined<'s>(sets: impl Iterator<Item = &'s IpSet> + Clone) -> IpSet {
    let v4 = sets.clone().flat_map(|set| set.v4.ranges()).copied();
    let v6 = sets.flat_map(|set| set.v6.ranges()).copied();
    IpSet {
        v4: v4.collect(),
        v6: v6.collect(),
    }
}

/// The numbered ports.
pub(super) fn numbered(ports: &Ports) -> PortSet {
    match ports {
        Ports::All => PortSet::all(),
        Ports::Listed(specs) => specs
            .iter()
            .filter_map(|spec| match spec {
                PortSpec::Range(protocol, first, last) => Some((*protocol, *first, *last)),
                PortSpec::Named(..) => None,
            })
            .collect(),
    }
}

/// The named ports.
pub(super) fn named(ports: &Ports) -> impl Iterator<Item = (Protocol, &str)> {
    let specs = match ports {
        Ports::All => &[],
        Ports::Listed(specs) => specs.as_slice(),
    };
    specs.iter().filter_map(|spec| match spec {
        PortSpec::Named(protocol, name) => Some((*protocol, name.as_ref())),
        PortSpec::Range(..) => None,
    })
}

/// Whether every flow that `inner` admits is admitted by `outer`, whatever numbers pods give to names.
pub(super) fn ports_cover(outer: &Ports, inner: &Ports) -> bool {
    let numbers = numbered(outer);
    numbers.contains_all(&numbered(inner))
        && named(inner).all(|(protocol, name)| {
            numbers.ports(protocol).is_full() || named(outer).any(|known| known == (protocol, name))
        })
}

/// Whether everyone whom `inner` lists is among `outer`, whatever pods and namespaces there are. Both are of one
/// policy.
pub(super) fn peers_cover(outer: &Peers, inner: &Peers) -> bool {
    let (outer_list, inner_list) = match (outer, inner) {
        (Peers::Everyone, _) => return true,
        (Peers::Listed(_), Peers::Everyone) => return false,
        (Peers::Listed(outer), Peers::Listed(inner)) => (outer, inner),
    };
    let addresses = block_addresses(outer);
    inner_list.iter().all(|peer| match peer {
        Peer::Block(block) => addresses.contains_all(&block.addresses()),
        Peer::Pods { .. } => outer_list.iter().any(|other| peer_covers(other, peer)),
    })
}

/// Whether one peer holds the other. A block never holds pods for good, since pods come and go.
pub(super) fn peer_covers(outer: &Peer, inner: &Peer) -> bool {
    match (outer, inner) {
        (Peer::Block(outer), Peer::Block(inner)) => {
            outer.addresses().contains_all(&inner.addresses())
        }
        (
            Peer::Pods { namespaces, pods },
            Peer::Pods {
                namespaces: inner_namespaces,
                pods: inner_pods,
            },
        ) => namespaces_cover(namespaces, inner_namespaces) && selector_covers(pods, inner_pods),
        _ => false,
    }
}

fn namespaces_cover(outer: &Namespaces, inner: &Namespaces) -> bool {
    match (outer, inner) {
        (Namespaces::Own, Namespaces::Own) => true,
        (Namespaces::Matching(outer), Namespaces::Own) => outer.is_everything(),
        (Namespaces::Own, Namespaces::Matching(inner)) => !inner.is_satisfiable(),
        (Namespaces::Matching(outer), Namespaces::Matching(inner)) => selector_covers(outer, inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_covers_what_demands_more_and_nothing_else() {
        let select = |list: &[(&str, Constraint)]| -> Selector { list.iter().cloned().collect() };
        let app = |value: &str| ("app", Constraint::one_of([value]));
        let web = select(&[app("web")]);
        let narrow = select(&[app("web"), ("tier", Constraint::exists())]);
        let negative = select(&[("app", Constraint::none_of(["db"]))]);
        assert!(selector_covers(&Selector::everything(), &web));
        assert!(!selector_covers(&web, &Selector::everything()));
        assert!(selector_covers(&web, &narrow));
        assert!(!selector_covers(&narrow, &web));
        assert!(selector_covers(&negative, &web));
        assert!(!selector_covers(&web, &negative));
        assert!(selector_covers(
            &select(&[("app", Constraint::exists())]),
            &web
        ));
        assert!(!selector_covers(
            &select(&[("app", Constraint::exists())]),
            &negative
        ));
        assert!(selector_covers(&web, &select(&[app("a"), app("b")])));
    }
}
