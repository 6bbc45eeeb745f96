//! What the page looks things up in. Whatever stands in many places stands in a list once, and places have its number.

use std::collections::BTreeMap;

use policy_core::reach::PortsId;
use policy_core::{Direction, IpSet, Isolation, Mode, PolicyId, RuleGraph};
use serde_json::{Value, json};

use super::super::words;
use crate::inventory::Inventory;
use crate::manifest::Place;
use crate::picture::{Grant, Picture};

/// Values with numbers, in the order in which they came.
struct Numbers<T> {
    numbers: BTreeMap<T, usize>,
    values: Vec<T>,
}

impl<T: Ord + Clone> Numbers<T> {
    fn new() -> Self {
        Self {
            numbers: BTreeMap::new(),
            values: Vec::new(),
        }
    }

    fn of(&mut self, value: T) -> usize {
        *self.numbers.entry(value).or_insert_with_key(|value| {
            self.values.push(value.clone());
            self.values.len() - 1
        })
    }
}

/// The lists that numbers point into.
struct Lists {
    ports: Numbers<String>,
    addresses: Numbers<String>,
    peers: Numbers<Vec<usize>>,
}

/// The page's data.
pub(super) fn data(picture: &Picture<'_>, inventory: &Inventory<'_>, graph: &RuleGraph) -> Value {
    let mut lists = Lists {
        ports: Numbers::new(),
        addresses: Numbers::new(),
        peers: Numbers::new(),
    };
    // The page knows these two by their numbers.
    lists.ports.of("none".to_owned());
    lists.ports.of("all".to_owned());
    let mut policies: Numbers<PolicyId> = Numbers::new();
    for policy in inventory.cluster.policies().keys() {
        policies.of(policy.clone());
    }
    let mut namespaces: Numbers<&str> = Numbers::new();
    let units: Vec<Value> = picture
        .units
        .iter()
        .map(|unit| {
            let namespace = namespaces.of(&unit.namespace);
            let is_possible = u8::from(picture.is_possible(unit));
            json!([
                namespace,
                unit.name,
                unit.kind,
                unit.pods.len(),
                is_possible
            ])
        })
        .collect();
    let kinds: Vec<Value> = (0..picture.reachable.members.len())
        .map(|kind| kind_json(picture, graph, kind, &policies, &mut lists))
        .collect();
    let subjects: Vec<Value> = picture
        .subjects
        .iter()
        .map(|subject| {
            let sides = subject.directions.iter().map(|grants| {
                let grants = grants.iter();
                let grants = grants.map(|grant| grant_json(grant, &policies, &mut lists));
                grants.collect::<Vec<_>>()
            });
            sides.collect()
        })
        .collect();
    let rows: Vec<Vec<usize>> = picture
        .reachable
        .rows
        .iter()
        .map(|row| runs(picture, row, &mut lists))
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "namespaces": namespaces.values,
        "units": units,
        "kinds": kinds,
        "rows": rows,
        "subjects": subjects,
        "policies": policies.values.iter().map(|id| policy_json(id, inventory)).collect::<Vec<_>>(),
        "ports": lists.ports.values,
        "addresses": lists.addresses.values,
        "peers": lists.peers.values,
    })
}

/// For each direction what policies make of it, which do, and what passes from or to other addresses; the subject; and
/// whether several pods claim the address.
fn kind_json(
    picture: &Picture<'_>,
    graph: &RuleGraph,
    kind: usize,
    policies: &Numbers<PolicyId>,
    lists: &mut Lists,
) -> Value {
    let pod = picture.pod_of(kind);
    let is_contested =
        !pod.addresses.is_empty() && pod.is_selectable() && graph.addresses(pod).is_empty();
    let sides = Direction::ALL.map(|direction| {
        let isolation = match graph.isolation(pod, direction) {
            Isolation::None => 0,
            Isolation::Audited => 1,
            Isolation::Enforced => 2,
        };
        let isolating = graph.isolating(pod, direction).into_iter();
        let isolating: Vec<usize> = isolating.map(|id| policies.numbers[id]).collect();
        let outside = &picture.reachable.outside[kind][direction as usize];
        let outside: Vec<[usize; 2]> = outside
            .iter()
            .map(|(addresses, ports)| {
                [
                    lists.addresses.of(shown(addresses)),
                    lists.ports.of(ports.to_string()),
                ]
            })
            .collect();
        json!([isolation, isolating, outside])
    });
    json!([
        sides[0],
        sides[1],
        picture.subject_of[kind],
        u8::from(is_contested)
    ])
}

/// Ports, peers (`-1` for everyone), blocks (`-1` for none), and pairs of policy and rule.
fn grant_json(grant: &Grant<'_>, policies: &Numbers<PolicyId>, lists: &mut Lists) -> Value {
    let peers = grant
        .peers
        .as_ref()
        .map(|peers| lists.peers.of(ranges(peers)));
    let blocks = (!grant.blocks.is_empty()).then(|| lists.addresses.of(shown(&grant.blocks)));
    let rules = grant.rules.iter();
    let rules: Vec<usize> = rules
        .flat_map(|(policy, rule)| [policies.numbers[*policy], *rule as usize])
        .collect();
    let number = |number: Option<usize>| number.map_or(json!(-1), |number| json!(number));
    json!([
        lists.ports.of(grant.ports.to_string()),
        number(peers),
        number(blocks),
        rules
    ])
}

/// The name, where it is written, whether it is only audited, and the lines of its rules in each direction.
fn policy_json(id: &PolicyId, inventory: &Inventory<'_>) -> Value {
    let policy = &inventory.cluster.policies()[id];
    let lines = Direction::ALL.map(|direction| {
        let rules = (0..).zip(policy.rules(direction));
        let places = rules.map(|(rule, _)| inventory.rule_place(id, direction, rule));
        let lines = places.map(|place| place.map_or(0, |place| place.position().line));
        lines.collect::<Vec<_>>()
    });
    let place = inventory.policy_place(id);
    let file = place.as_ref().map_or("", |place| place.source.name());
    let line = place
        .as_ref()
        .map_or(0, |place: &Place| place.position().line);
    json!([
        id.to_string(),
        file,
        line,
        u8::from(policy.mode == Mode::Audit),
        lines
    ])
}

fn shown(addresses: &IpSet) -> String {
    words::addresses(addresses).join(", ")
}

/// A sorted list of numbers as first and length of each range.
fn ranges(numbers: &[usize]) -> Vec<usize> {
    let ranges = numbers.chunk_by(|one, next| one + 1 == *next);
    ranges.flat_map(|range| [range[0], range.len()]).collect()
}

/// A row of the matrix as first, length and ports of each range with the same ports.
fn runs(picture: &Picture<'_>, row: &[(usize, PortsId)], lists: &mut Lists) -> Vec<usize> {
    let same =
        |one: &(usize, PortsId), next: &(usize, PortsId)| one.0 + 1 == next.0 && one.1 == next.1;
    let mut found = Vec::new();
    for run in row.chunk_by(same) {
        let ports = picture.reachable.table.ports(run[0].1).to_string();
        found.extend([run[0].0, run.len(), lists.ports.of(ports)]);
    }
    found
}
