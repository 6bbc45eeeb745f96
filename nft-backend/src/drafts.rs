//! The classes of a node as they are found, before they have labels: the one place that makes classes of permissions.

use std::collections::{BTreeMap, BTreeSet};

use crate::class::{Class, Classes, CountedRule, Grant, SharedPeers};
use crate::class_chain::Direction;
use crate::class_counters::ClassPolicies;
use crate::grants::{Form, Permission, Use, grants, peers};
use crate::identity::{Identity, Labels};
use crate::names::Label;
use crate::value::AddressRange;

/// Classes of both directions.
#[derive(Default)]
pub(crate) struct Drafts<'p> {
    directions: BTreeMap<Direction, OfDirection<'p>>,
}

#[derive(Default)]
struct OfDirection<'p> {
    drafts: BTreeMap<Identity, Draft<'p>>,
    labels: Labels,
}

struct Draft<'p> {
    permissions: Vec<Permission<'p>>,
    counted: Vec<CountedRule>,
    pods: BTreeSet<String>,
}

impl<'p> Drafts<'p> {
    /// Files pods under the class with this identity; `permissions` tells what it may exchange, `counted` the rules whose
    /// packets are counted.
    pub(crate) fn file(
        &mut self,
        direction: Direction,
        identity: &Identity,
        permissions: impl FnOnce() -> Vec<Permission<'p>>,
        counted: impl FnOnce() -> Vec<CountedRule>,
        pods: impl IntoIterator<Item = String>,
    ) {
        let of_direction = self.directions.entry(direction).or_default();
        if !of_direction.drafts.contains_key(identity) {
            of_direction.labels.insert(identity);
            let draft = Draft {
                permissions: permissions(),
                counted: counted(),
                pods: BTreeSet::new(),
            };
            of_direction.drafts.insert(identity.clone(), draft);
        }
        if let Some(draft) = of_direction.drafts.get_mut(identity) {
            draft.pods.extend(pods);
        }
    }

    /// The label of a class that was filed.
    pub(crate) fn label(&self, direction: Direction, identity: &Identity) -> Option<Label> {
        let of_direction = self.directions.get(&direction)?;
        Some(of_direction.labels.of(identity))
    }

    /// The policies of each class.
    pub(crate) fn policies(&self) -> ClassPolicies {
        let of_direction = |(&direction, of): (&Direction, &OfDirection<'p>)| {
            let label = |identity: &Identity| (direction, of.labels.of(identity));
            let identities = of.drafts.keys();
            identities
                .map(|identity| (label(identity), identity.policies.clone()))
                .collect::<Vec<_>>()
        };
        self.directions.iter().flat_map(of_direction).collect()
    }

    /// The classes with their peer sets, and without pods.
    pub(crate) fn classes(&self) -> Classes {
        let mut classes = Classes::default();
        let mut peer_sets: BTreeMap<Label, BTreeSet<AddressRange>> = BTreeMap::new();
        for (&direction, of_direction) in &self.directions {
            let made = of_direction.drafts.iter().map(|(identity, draft)| {
                let label = of_direction.labels.of(identity);
                let form = Form::of_all(&draft.permissions);
                let peers_label = |number| peers_label(direction, number, &label);
                let with_use = draft.permissions.iter().zip(&form.uses);
                for (permission, part) in with_use.filter(|_| !form.is_open) {
                    if let Use::Split(number) = part {
                        peer_sets.insert(peers_label(*number), peers(permission));
                    }
                }
                let grants = grants(&draft.permissions, &form, peers_label);
                let comment = comment(identity, &draft.pods);
                let class = Class {
                    grants,
                    audited: identity.is_audited,
                    counted: draft.counted.clone(),
                    comment,
                };
                (label.clone(), class)
            });
            let made = made.collect();
            match direction {
                Direction::Ingress => classes.ingress = made,
                Direction::Egress => classes.egress = made,
            }
        }
        share_peers(&mut classes, peer_sets);
        classes
    }
}

/// The label of the peer set that the split with this number of a class would have for itself.
pub(crate) fn peers_label(direction: Direction, number: usize, class: &Label) -> Label {
    class.numbered(direction.letter(), number)
}

/// Of peer sets with the same addresses one stays, the one whose label is the first.
fn share_peers(classes: &mut Classes, peer_sets: BTreeMap<Label, BTreeSet<AddressRange>>) {
    let mut by_contents: BTreeMap<BTreeSet<AddressRange>, Label> = BTreeMap::new();
    let mut first: BTreeMap<Label, Label> = BTreeMap::new();
    for (label, addresses) in peer_sets {
        let kept = by_contents
            .entry(addresses)
            .or_insert_with(|| label.clone());
        first.insert(label, kept.clone());
    }
    let all = classes
        .ingress
        .values_mut()
        .chain(classes.egress.values_mut());
    for grant in all.flat_map(|class| &mut class.grants) {
        if let Grant::Shared { peers, .. } = grant
            && let Some(kept) = first.get(peers)
        {
            peers.clone_from(kept);
        }
    }
    let sets = by_contents.into_iter().map(|(addresses, label)| {
        let comment = Vec::new();
        (label, SharedPeers { addresses, comment })
    });
    classes.shared_peers = sets.collect();
}

/// How many names a comment lists before it only counts.
const LISTED: usize = 8;

fn comment(identity: &Identity, pods: &BTreeSet<String>) -> Vec<String> {
    let policies = identity.policies.iter().map(ToString::to_string).collect();
    let pods = (!pods.is_empty()).then(|| listed("pods", pods));
    let what = if identity.is_audited {
        "policies, all in audit mode"
    } else {
        "policies"
    };
    pods.into_iter().chain([listed(what, &policies)]).collect()
}

fn listed(what: &str, names: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
    let more = match names.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{what}: {}{more}", shown.join(", "))
}
