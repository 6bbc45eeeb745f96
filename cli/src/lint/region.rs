//! What a rule gives as regions: pods that receive it, peers and ports. Regions can be taken from each other exactly, so
//! it can be asked whether other rules together give all of what one rule gives, whatever pods there are.

use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::{Namespaces, Peer, Peers};
use policy_core::selector::Constraint;
use policy_core::{IpSet, PortSet, Protocol, Selector};

use super::WrittenRule;
use super::meaning::{are_disjoint, block_addresses, named, numbered};

/// More pieces than this are not followed: the answer is then that something remains.
const MOST_PIECES: usize = 64;

/// Whom a region is about.
#[derive(Debug, Clone)]
enum Whom {
    Everyone,
    Pods {
        namespaces: Selector,
        pods: Selector,
    },
    Block(IpSet),
}

/// On what.
#[derive(Debug, Clone)]
enum What {
    Numbers(PortSet),
    Name(Protocol, Box<str>),
}

/// Something that a rule gives, undivided.
#[derive(Debug, Clone)]
pub(super) struct Region {
    subjects: Selector,
    whom: Whom,
    what: What,
}

/// One peer (or all blocks) of a rule, with all ports of the rule.
#[derive(Debug)]
pub(super) struct Giver {
    subjects: Selector,
    whom: Whom,
    numbers: PortSet,
    names: Vec<(Protocol, Box<str>)>,
}

impl Region {
    /// Everything, for the pods that `subjects` selects.
    pub(super) fn everything(subjects: &Selector) -> Self {
        Self {
            subjects: subjects.clone(),
            whom: Whom::Everyone,
            what: What::Numbers(PortSet::all()),
        }
    }
}

/// What a rule of a policy in `namespace` gives to `subjects`.
pub(super) fn givers(namespace: &str, subjects: &Selector, rule: &WrittenRule<'_>) -> Vec<Giver> {
    let giver = |whom| Giver {
        subjects: subjects.clone(),
        whom,
        numbers: numbered(rule.ports),
        names: named(rule.ports)
            .map(|(protocol, name)| (protocol, name.into()))
            .collect(),
    };
    whom(namespace, rule.peers).into_iter().map(giver).collect()
}

/// The regions of a giver.
pub(super) fn regions(giver: &Giver) -> Vec<Region> {
    let numbers = (!giver.numbers.is_empty()).then(|| What::Numbers(giver.numbers.clone()));
    let names = giver.names.iter();
    let names = names.map(|(protocol, name)| What::Name(*protocol, name.clone()));
    let region = |what| Region {
        subjects: giver.subjects.clone(),
        whom: giver.whom.clone(),
        what,
    };
    numbers.into_iter().chain(names).map(region).collect()
}

/// The givers (by position) that together give the whole region; `None` where something of it remains.
pub(super) fn cover<'g>(
    region: &Region,
    givers: impl Iterator<Item = (usize, &'g Giver)>,
) -> Option<Vec<usize>> {
    let mut rest = vec![region.clone()];
    let mut used = Vec::new();
    for (position, giver) in givers {
        if !rest.iter().any(|piece| touches(giver, piece)) {
            continue;
        }
        rest = rest
            .iter()
            .flat_map(|piece| without(piece, giver))
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

/// Peers without pods and addresses give nothing and are left out. The own namespace is one by its name.
fn whom(own: &str, peers: &Peers) -> Vec<Whom> {
    let Peers::Listed(listed) = peers else {
        return vec![Whom::Everyone];
    };
    let blocks = block_addresses(peers);
    if blocks == IpSet::full() {
        return vec![Whom::Everyone];
    }
    let blocks = (!blocks.is_empty()).then_some(Whom::Block(blocks));
    let named = Selector::from_iter([(NAMESPACE_NAME_LABEL, Constraint::exists())]);
    let pods = listed.iter().filter_map(|peer| match peer {
        Peer::Block(_) => None,
        Peer::Pods { namespaces, pods } => {
            let namespaces = match namespaces {
                Namespaces::Own => Selector::label(NAMESPACE_NAME_LABEL, own),
                // Every namespace has a name, so none of them lacks the label.
                Namespaces::Matching(selector) => selector.and(&named),
            };
            let is_somebody = namespaces.is_satisfiable() && pods.is_satisfiable();
            is_somebody.then(|| Whom::Pods {
                namespaces,
                pods: pods.clone(),
            })
        }
    });
    pods.chain(blocks).collect()
}

fn touches(giver: &Giver, piece: &Region) -> bool {
    let shares_ports = match &piece.what {
        What::Numbers(numbers) => !giver.numbers.intersection(numbers).is_empty(),
        What::Name(protocol, name) => gives_name(giver, *protocol, name),
    };
    shares_ports
        && meet(&giver.whom, &piece.whom)
        && !are_disjoint(&giver.subjects, &piece.subjects)
}

fn gives_name(giver: &Giver, protocol: Protocol, name: &str) -> bool {
    let mut names = giver.names.iter();
    giver.numbers.ports(protocol).is_full()
        || names.any(|(of, known)| *of == protocol && **known == *name)
}

/// Whether the giver's peers hold some of the piece's. Parts of everyone are not told apart.
fn meet(giver: &Whom, piece: &Whom) -> bool {
    match (giver, piece) {
        (Whom::Everyone, _) => true,
        (
            Whom::Pods { namespaces, pods },
            Whom::Pods {
                namespaces: of_namespaces,
                pods: of_pods,
            },
        ) => !are_disjoint(namespaces, of_namespaces) && !are_disjoint(pods, of_pods),
        (Whom::Block(block), Whom::Block(of)) => !block.intersection(of).is_empty(),
        _ => false,
    }
}

/// What remains of a piece, in pieces that have nothing in common.
fn without(piece: &Region, giver: &Giver) -> Vec<Region> {
    if !touches(giver, piece) {
        return vec![piece.clone()];
    }
    let mut rest = Vec::new();
    for subjects in piece.subjects.difference(&giver.subjects) {
        rest.push(Region {
            subjects,
            ..piece.clone()
        });
    }
    let shared = Region {
        subjects: piece.subjects.and(&giver.subjects),
        ..piece.clone()
    };
    let (others, common) = split_whom(&shared.whom, &giver.whom);
    rest.extend(others.into_iter().map(|whom| Region {
        whom,
        ..shared.clone()
    }));
    if let What::Numbers(numbers) = &piece.what {
        let numbers = numbers.difference(&giver.numbers);
        if !numbers.is_empty() {
            rest.push(Region {
                whom: common,
                what: What::Numbers(numbers),
                ..shared
            });
        }
    }
    rest
}

/// The peers that `giver` lacks, and those that it has. They meet.
fn split_whom(piece: &Whom, giver: &Whom) -> (Vec<Whom>, Whom) {
    match (piece, giver) {
        (
            Whom::Pods { namespaces, pods },
            Whom::Pods {
                namespaces: of_namespaces,
                pods: of_pods,
            },
        ) => {
            let both = namespaces.and(of_namespaces);
            let elsewhere = namespaces.difference(of_namespaces).into_iter();
            let elsewhere = elsewhere.map(|namespaces| Whom::Pods {
                namespaces,
                pods: pods.clone(),
            });
            let others = pods.difference(of_pods).into_iter();
            let others = others.map(|pods| Whom::Pods {
                namespaces: both.clone(),
                pods,
            });
            let common = Whom::Pods {
                namespaces: both.clone(),
                pods: pods.and(of_pods),
            };
            (elsewhere.chain(others).collect(), common)
        }
        (Whom::Block(block), Whom::Block(of)) => {
            let lacking = block.difference(of);
            let lacking = (!lacking.is_empty()).then_some(Whom::Block(lacking));
            (
                lacking.into_iter().collect(),
                Whom::Block(block.intersection(of)),
            )
        }
        _ => (Vec::new(), piece.clone()),
    }
}
