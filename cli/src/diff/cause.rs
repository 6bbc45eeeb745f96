//! Which edits caused a change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_core::{
    Because, Decision, Direction, Flow, FlowPort, IpSet, Pod, PolicyId, PortSet, Protocol, Verdict,
};

use super::{Cause, Change, Edit, Side};
use crate::inventory::Pair;
use crate::kinds::Compared;
use crate::manifest::Place;

/// Each change is asked about so many of its connections. Those that changed alike mostly did so because of the same
/// edits.
const ASKED: usize = 256;

/// The changes with what caused them.
pub(super) fn explained(
    mut changes: Vec<Change>,
    pair: &Pair<'_>,
    sides: [Compared<'_>; 2],
) -> Vec<Change> {
    let own: IpSet = sides
        .into_iter()
        .flat_map(|(_, pods)| pods)
        .flat_map(|pod| &pod.addresses)
        .copied()
        .collect();
    for change in &mut changes {
        change.causes = causes(change, pair, sides, &own);
    }
    changes
}

fn causes(
    change: &Change,
    pair: &Pair<'_>,
    [(old, old_pods), (new, new_pods)]: [Compared<'_>; 2],
    own: &IpSet,
) -> Vec<Cause> {
    let ports = samples(&change.ports);
    let mut found: BTreeMap<PolicyId, (Edit, Option<Place>)> = BTreeMap::new();
    let pods = [old_pods, new_pods];
    let (from, to) = (Ends::new(&change.from, own), Ends::new(&change.to, own));
    let pairs = from.len() * to.len();
    let mut step = pairs.div_ceil(ASKED).max(1);
    if to.len() > 1 && step.is_multiple_of(to.len()) {
        // Or else all questions would be about one target.
        step += 1;
    }
    for pair_number in (0..pairs).step_by(step) {
        let from = from.addresses(pair_number / to.len(), pods);
        let to = to.addresses(pair_number % to.len(), pods);
        for &port in &ports {
            let flow = |side: usize| {
                from[side]
                    .iter()
                    .flat_map(|from| to[side].iter().map(move |to| (*from, *to)))
                    .filter(|(from, to)| from.is_ipv4() == to.is_ipv4() && from != to)
                    .map(|(from, to)| Flow { from, to, port })
                    .collect::<Vec<_>>()
            };
            for (before, after) in flow(0).iter().zip(&flow(1)) {
                let (before, after) = (old.evaluate(before), new.evaluate(after));
                if before.verdict != after.verdict {
                    Deciding::of(&before, &after).differing(pair, &mut found);
                }
            }
        }
    }
    if found.is_empty() {
        found = among_replicas(change, pair, pods);
    }
    if found.is_empty() {
        return vec![Cause::Objects];
    }
    let found = found.into_iter();
    found
        .map(|(policy, (edit, place))| Cause::Policy {
            policy,
            edit,
            place,
        })
        .collect()
}

/// The edited policies of workloads that changed towards themselves. There is one address for all replicas of a template,
/// and what flows from an address to itself is never denied, so that no flow can be asked about.
fn among_replicas(
    change: &Change,
    pair: &Pair<'_>,
    pods: [&[&Pod]; 2],
) -> BTreeMap<PolicyId, (Edit, Option<Place>)> {
    let mut found = BTreeMap::new();
    let own = change.from.pods.iter();
    for &pod in own.filter(|pod| change.to.pods.contains(pod)).take(ASKED) {
        for (inventory, pods) in [&pair.old, &pair.new].into_iter().zip(pods) {
            let policies = inventory.cluster.policies().values();
            let (namespace, labels) = (&pods[pod].id.namespace, &pods[pod].labels);
            let selecting = policies.filter(|policy| {
                policy.id.namespace == *namespace && policy.subjects.matches(labels)
            });
            for id in selecting.map(|policy| &policy.id) {
                if let Some(edit) = edit(pair, id) {
                    let place = || place(pair, id, edit, None);
                    found.entry(id.clone()).or_insert_with(|| (edit, place()));
                }
            }
        }
    }
    found
}

/// A port of each range, a few of them.
fn samples(ports: &PortSet) -> Vec<FlowPort> {
    let mut samples = Vec::new();
    for protocol in Protocol::ALL {
        let ranges = ports.ports(protocol).ranges().iter().take(8);
        samples.extend(ranges.map(|(first, _)| FlowPort::Port(protocol, (*first).max(1))));
    }
    if ports.allows_other() {
        samples.push(FlowPort::Other);
    }
    samples
}

/// The ends that one side of a change stands for: its pods, and an address of each family that is no pod's.
struct Ends<'a> {
    pods: &'a [usize],
    outside: Vec<IpAddr>,
}

impl<'a> Ends<'a> {
    fn new(side: &'a Side, own: &IpSet) -> Self {
        let free = side.addresses.difference(own);
        let first = |is_v4: bool| free.ranges().find(|(first, _)| first.is_ipv4() == is_v4);
        let outside = [first(true), first(false)].into_iter().flatten();
        Self {
            pods: &side.pods,
            outside: outside.map(|(first, _)| first).collect(),
        }
    }

    fn len(&self) -> usize {
        self.pods.len() + self.outside.len()
    }

    /// The addresses of an end, in the old cluster and in the new one.
    fn addresses(&self, end: usize, pods: [&[&Pod]; 2]) -> [Vec<IpAddr>; 2] {
        match self.pods.get(end) {
            Some(&pod) => pods.map(|pods| pods[pod].addresses.clone()),
            None => [(); 2].map(|()| vec![self.outside[end - self.pods.len()]]),
        }
    }
}

/// What decides at the ends that denied the flow before or after.
struct Deciding {
    /// The rules that admit it where it passes.
    admitting: BTreeMap<PolicyId, Option<(Direction, u32)>>,
    /// The policies that isolate these ends where it does not.
    isolating: BTreeSet<PolicyId>,
    is_gain: bool,
}

impl Deciding {
    fn of(before: &Decision, after: &Decision) -> Self {
        let is_gain = after.verdict == Verdict::Allow;
        let (denied, allowed) = if is_gain {
            (before, after)
        } else {
            (after, before)
        };
        let mut isolating = BTreeSet::new();
        let mut directions = Vec::new();
        for because in &denied.because {
            if let Because::Isolates { policy, direction } = because {
                directions.push(*direction);
                isolating.insert(policy.clone());
            }
        }
        let mut admitting = BTreeMap::new();
        for because in &allowed.because {
            match because {
                Because::Admitted {
                    policy,
                    direction,
                    rule,
                } if directions.contains(direction) => {
                    admitting.insert(policy.clone(), Some((*direction, *rule)));
                }
                Because::Audited { policy, direction } if directions.contains(direction) => {
                    admitting.insert(policy.clone(), None);
                }
                _ => {}
            }
        }
        Self {
            admitting,
            isolating,
            is_gain,
        }
    }

    /// Adds those that the two inputs have different: the ones that admit, or else the ones that isolate.
    fn differing(&self, pair: &Pair<'_>, found: &mut BTreeMap<PolicyId, (Edit, Option<Place>)>) {
        let mut has_admitting = false;
        for (id, rule) in &self.admitting {
            if let Some(edit) = edit(pair, id) {
                has_admitting = true;
                // A rule's number counts in the input where it admits.
                let rule = rule.filter(|_| self.is_gain != (edit == Edit::Removed));
                let place = || place(pair, id, edit, rule);
                found.entry(id.clone()).or_insert_with(|| (edit, place()));
            }
        }
        if has_admitting {
            return;
        }
        for id in &self.isolating {
            if let Some(edit) = edit(pair, id) {
                let place = || place(pair, id, edit, None);
                found.entry(id.clone()).or_insert_with(|| (edit, place()));
            }
        }
    }
}

fn edit(pair: &Pair<'_>, id: &PolicyId) -> Option<Edit> {
    let (old, new) = (pair.old.cluster.policies(), pair.new.cluster.policies());
    match (old.get(id), new.get(id)) {
        (None, _) => Some(Edit::Added),
        (_, None) => Some(Edit::Removed),
        (Some(one), Some(other)) => (one != other).then_some(Edit::Changed),
    }
}

fn place(
    pair: &Pair<'_>,
    id: &PolicyId,
    edit: Edit,
    rule: Option<(Direction, u32)>,
) -> Option<Place> {
    let inventory = if edit == Edit::Removed {
        &pair.old
    } else {
        &pair.new
    };
    match rule {
        Some((direction, rule)) => inventory.rule_place(id, direction, rule),
        None => inventory.policy_place(id),
    }
}
