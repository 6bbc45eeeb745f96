//! The matrix, by pods and by groups, says what the graph says of every two addresses; so does what pictures show.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use nopal::grouped::{Grouping, grouped};
use nopal::inventory::{Inventory, MadeUp, Standing};
use nopal::manifest::{Manifests, Source, read_source};
use nopal::matrix::{Side, matrix};
use nopal::owners::Owners;
use nopal::picture::Picture;
use nopal::reachable::Reachable;
use policy_core::testing::{Size, random_cluster};
use policy_core::{Direction, Isolation, Pod, PodId, PortSet, RuleGraph};
use serde_json::Value;

fn manifests(text: String) -> Manifests {
    read_source(&Arc::new(Source::new("in".to_owned(), text)), "default")
}

fn random(seed: u64) -> Manifests {
    let size = if seed.is_multiple_of(10) {
        Size::MEDIUM
    } else {
        Size::SMALL
    };
    manifests(random_cluster(seed, size).to_json_list())
}

/// What passes between two pods, address by address.
fn asked(graph: &RuleGraph, from: &Pod, to: &Pod) -> PortSet {
    let mut allowed = PortSet::empty();
    for source in &from.addresses {
        for target in &to.addresses {
            if source.is_ipv4() == target.is_ipv4() {
                allowed = allowed.union(&graph.allowed(*source, *target));
            }
        }
    }
    allowed
}

type Pairs = BTreeMap<(PodId, PodId), PortSet>;

fn all_pairs(inventory: &Inventory<'_>, graph: &RuleGraph) -> Pairs {
    let pods = || {
        inventory
            .cluster
            .pods()
            .values()
            .filter(|pod| !pod.finished)
    };
    let mut pairs = Pairs::new();
    for from in pods() {
        for to in pods().filter(|to| to.id != from.id) {
            pairs.insert((from.id.clone(), to.id.clone()), asked(graph, from, to));
        }
    }
    pairs
}

#[test]
fn the_matrix_is_what_the_graph_says_of_every_two_addresses() {
    let mut compared = 0;
    for seed in 1..=150 {
        let manifests = random(seed);
        let inventory = Inventory::new(&manifests, MadeUp::Addresses);
        let graph = RuleGraph::compile(&inventory.cluster);
        let matrix = matrix(&inventory.cluster, &graph, None);
        let mut told = Pairs::new();
        for connection in &matrix.connections {
            if let (Side::Endpoint(from), Side::Endpoint(to)) = (&connection.from, &connection.to) {
                let before = told.insert((from.clone(), to.clone()), connection.allowed.clone());
                assert!(before.is_none(), "seed {seed}: {from} to {to} told twice");
            }
        }
        let mut expected = all_pairs(&inventory, &graph);
        compared += expected.len();
        expected.retain(|_, ports| !ports.is_empty());
        assert_eq!(told, expected, "seed {seed}");
    }
    assert!(compared > 3_000, "{compared}");
}

#[test]
fn groups_add_up_to_their_pods() {
    let mut mixed = 0;
    for seed in 1..=80 {
        let manifests = random(seed);
        let inventory = Inventory::new(&manifests, MadeUp::Addresses);
        let graph = RuleGraph::compile(&inventory.cluster);
        let pairs = all_pairs(&inventory, &graph);
        let pods = inventory
            .cluster
            .pods()
            .values()
            .filter(|pod| !pod.finished);
        let pods: Vec<_> = pods.map(|pod| (pod.id.clone(), Standing::Known)).collect();
        let owners = Owners::new(&manifests);
        for grouping in [
            Grouping::Pod,
            Grouping::Workload,
            Grouping::Namespace,
            Grouping::Alike,
        ] {
            let mut reachable = Reachable::new(&inventory.cluster, &graph, &pods, None);
            let grouped = grouped(&mut reachable, &graph, &owners, grouping);
            let mut cells: BTreeMap<(usize, usize), _> = BTreeMap::new();
            for cell in &grouped.cells {
                assert!(cells.insert((cell.from, cell.to), cell).is_none());
            }
            for (from, group) in grouped.groups.iter().enumerate() {
                for (to, other) in grouped.groups.iter().enumerate() {
                    let mut found: Vec<&PortSet> = Vec::new();
                    for &one in &group.pods {
                        for &two in other.pods.iter().filter(|two| **two != one) {
                            found.push(&pairs[&(pods[one].0.clone(), pods[two].0.clone())]);
                        }
                    }
                    let open = found.iter().filter(|ports| !ports.is_empty()).count();
                    let union = found
                        .iter()
                        .fold(PortSet::empty(), |all, ports| all.union(ports));
                    let is_uniform = found.iter().all(|ports| *ports == found[0]);
                    mixed += usize::from(!is_uniform);
                    match cells.get(&(from, to)) {
                        None => assert_eq!(open, 0, "seed {seed}"),
                        Some(cell) => assert_eq!(
                            (cell.open, cell.pairs, &cell.allowed, cell.is_uniform),
                            (open, found.len(), &union, is_uniform),
                            "seed {seed} {grouping:?}"
                        ),
                    }
                    if grouping == Grouping::Alike {
                        assert!(is_uniform, "seed {seed}: {} to {}", group.name, other.name);
                    }
                }
            }
        }
    }
    assert!(mixed > 100, "{mixed}");
}

#[test]
fn the_rules_that_a_page_names_admit_just_what_passes() {
    let mut explained = 0;
    for seed in 1..=150 {
        let manifests = random(seed);
        let (inventory, pods) = Inventory::with_possible(&manifests);
        let graph = RuleGraph::compile(&inventory.cluster);
        let picture = Picture::new(&inventory, &graph, &pods, &Owners::new(&manifests), None);
        let reachable = &picture.reachable;
        for from in 0..reachable.members.len() {
            for to in 0..reachable.members.len() {
                let (one, other) = (picture.pod_of(from), picture.pod_of(to));
                let has_one_address = one.addresses.len() == 1 && other.addresses.len() == 1;
                let is_known = |pod: &Pod| graph.addresses(pod).len() == pod.addresses.len();
                if from == to
                    || !has_one_address
                    || !is_known(one)
                    || !is_known(other)
                    || graph.is_near(one, other)
                {
                    continue;
                }
                let side = |kind: usize, peer: usize, direction: Direction| {
                    if graph.isolation(picture.pod_of(kind), direction) != Isolation::Enforced {
                        return PortSet::all();
                    }
                    let grants = picture.grants(kind, direction).iter();
                    let admitting = grants.filter(|grant| {
                        let peers = grant.peers.as_ref();
                        peers.is_none_or(|peers| peers.contains(&peer))
                    });
                    admitting.fold(PortSet::empty(), |ports, grant| {
                        assert!(!grant.rules.is_empty());
                        ports.union(&grant.ports)
                    })
                };
                let both = side(from, to, Direction::Egress).intersection(&side(
                    to,
                    from,
                    Direction::Ingress,
                ));
                if one.addresses[0].is_ipv4() == other.addresses[0].is_ipv4() {
                    let passes = reachable.table.ports(reachable.between(from, to));
                    assert_eq!(&both, passes, "seed {seed}: {} to {}", one.id, other.id);
                    explained += 1;
                }
            }
        }
    }
    assert!(explained > 500, "{explained}");
}

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/shop.yaml");

fn run(arguments: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_nopal"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn groups_are_printed_as_text_csv_and_json() {
    let (table, _) = run(&["matrix", SHOP, "--group", "namespace"]);
    let row = table
        .lines()
        .find(|line| line.starts_with("[3] shop (3 pods)"))
        .unwrap();
    assert!(
        row.contains("all (4 of 9 pairs)") && row.contains("TCP 3000,5432 (2 of 6 pairs)"),
        "{table}"
    );
    assert!(
        table.contains("external -> shop: TCP 8080 (192.168.0.2/32, "),
        "{table}"
    );
    let (csv, _) = run(&["matrix", SHOP, "--group", "namespace", "--format", "csv"]);
    assert!(csv.contains("\nshop,payment,,SCTP,\"3868\",1,3\n"), "{csv}");
    let (json, _) = run(&["matrix", SHOP, "--group", "workload", "--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["group"], "workload");
    let web = json["connections"].as_array().unwrap().iter();
    let mut web =
        web.filter(|cell| cell["from"] == "shop/Deployment/web" && cell["to"] == "shop/api");
    let cell = web.next().unwrap();
    assert_eq!(
        cell["allowed"],
        serde_json::json!([{"protocol": "TCP", "ports": "3000"}])
    );
    assert_eq!(cell["uniform"], true);
}

#[test]
fn a_table_of_very_many_pods_shows_namespaces_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pods.yaml");
    let pods = (0..61).map(|n| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{n}, namespace: ns-{}}}\n",
            n % 2
        )
    });
    fs::write(&file, pods.collect::<String>()).unwrap();
    let file = file.to_str().unwrap();
    let (table, note) = run(&["matrix", file]);
    assert!(table.contains("[1] ns-0 (31 pods)"), "{table}");
    assert!(note.contains("61 pods are shown by namespace"), "{note}");
    let (table, note) = run(&["matrix", file, "--group", "pod"]);
    assert!(
        table.contains("[61] ns-1/p9") && note.is_empty(),
        "{table}{note}"
    );
    let (json, note) = run(&["matrix", file, "--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["endpoints"].as_array().unwrap().len(), 61);
    assert!(note.is_empty());
}

#[test]
fn pods_are_of_the_workload_that_made_their_maker() {
    let owner = |kind: &str, name: &str| {
        format!(
            "ownerReferences: [{{apiVersion: apps/v1, kind: {kind}, name: {name}, uid: u, controller: true}}]"
        )
    };
    let pod = |name: &str, labels: &str, owner: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: a, labels: {{{labels}}}, {owner}}}\n"
        )
    };
    let text = pod(
        "web-5d4f-x",
        "pod-template-hash: 5d4f",
        &owner("ReplicaSet", "web-5d4f"),
    ) + &pod("api-1", "", &owner("ReplicaSet", "api-77"))
        + &pod("nightly-1-x", "", &owner("Job", "nightly-1"))
        + &pod("db-0", "", &owner("StatefulSet", "db"))
        + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: alone, namespace: a}\n"
        + &format!(
            "---\napiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: api-77, namespace: a, {}}}\nspec: {{selector: {{}}, template: {{}}}}\n",
            owner("Deployment", "api")
        )
        + &format!(
            "---\napiVersion: batch/v1\nkind: Job\nmetadata: {{name: nightly-1, namespace: a, {}}}\nspec: {{template: {{}}}}\n",
            owner("CronJob", "nightly")
        );
    let manifests = manifests(text);
    assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    let owners = Owners::new(&manifests);
    let workload = |pod: &str| owners.workload(&PodId::new("a", pod)).to_owned();
    assert_eq!(workload("web-5d4f-x"), "Deployment/web");
    assert_eq!(workload("api-1"), "Deployment/api");
    assert_eq!(workload("nightly-1-x"), "CronJob/nightly");
    assert_eq!(workload("db-0"), "StatefulSet/db");
    assert_eq!(workload("alone"), "alone");
}
