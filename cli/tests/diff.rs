//! What `nopal diff` tells is what differs between the connections of both inputs, no more and no less.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use nopal::diff::{Change, Difference, difference};
use nopal::inventory::{Pair, Standing};
use nopal::manifest::{Manifests, Source, read_source};
use nopal::matrix::{Matrix, Side, matrix};
use policy_core::testing::{Rng, Size, random_cluster};
use policy_core::{IpSet, PodId, PortSet, RuleGraph};
use serde_json::{Value, json};
use tempfile::TempDir;

fn manifests(text: String) -> Manifests {
    read_source(&Arc::new(Source::new("in".to_owned(), text)), "default")
}

/// The pairs of a matrix, templates and possible pods with themselves left out.
fn pairs(matrix: &Matrix) -> BTreeMap<(PodId, PodId), PortSet> {
    let inner = matrix.connections.iter().filter_map(|connection| {
        match (&connection.from, &connection.to) {
            (Side::Endpoint(from), Side::Endpoint(to)) => {
                Some(((from.clone(), to.clone()), connection.allowed.clone()))
            }
            _ => None,
        }
    });
    inner.collect()
}

fn told(changes: &[Change], pods: &[(PodId, Standing)]) -> BTreeMap<(PodId, PodId), PortSet> {
    let mut told: BTreeMap<(PodId, PodId), PortSet> = BTreeMap::new();
    for change in changes {
        for &from in &change.from.pods {
            for &to in change.to.pods.iter().filter(|to| **to != from) {
                let pair = (pods[from].0.clone(), pods[to].0.clone());
                let before = told.insert(pair, change.ports.clone());
                if let Some(before) = before {
                    assert!(before.intersection(&change.ports).is_empty(), "told twice");
                }
            }
        }
    }
    told
}

fn expected(
    one: &BTreeMap<(PodId, PodId), PortSet>,
    other: &BTreeMap<(PodId, PodId), PortSet>,
) -> BTreeMap<(PodId, PodId), PortSet> {
    let none = PortSet::empty();
    let more = one.iter().map(|(pair, ports)| {
        let less = other.get(pair).unwrap_or(&none);
        (pair.clone(), ports.difference(less))
    });
    more.filter(|(_, ports)| !ports.is_empty()).collect()
}

/// For each pod and direction (`true` for what it receives) what passes at some addresses outside.
fn outside(matrix: &Matrix) -> BTreeMap<(PodId, bool), Vec<(IpSet, PortSet)>> {
    let mut found: BTreeMap<(PodId, bool), Vec<(IpSet, PortSet)>> = BTreeMap::new();
    for connection in &matrix.connections {
        let (pod, receives, addresses) = match (&connection.from, &connection.to) {
            (Side::External(addresses), Side::Endpoint(pod)) => (pod, true, addresses),
            (Side::Endpoint(pod), Side::External(addresses)) => (pod, false, addresses),
            _ => continue,
        };
        let entry = found.entry((pod.clone(), receives)).or_default();
        entry.push((addresses.clone(), connection.allowed.clone()));
    }
    found
}

fn check_outside(before: &Matrix, after: &Matrix, changes: &[Change], pods: &[(PodId, Standing)]) {
    let (before, after) = (outside(before), outside(after));
    for change in changes {
        for (side, other, receives) in [
            (&change.from, &change.to, true),
            (&change.to, &change.from, false),
        ] {
            for &pod in &other.pods {
                let key = (pods[pod].0.clone(), receives);
                for (first, last) in side.addresses.ranges() {
                    for address in [first, last] {
                        let at = |all: &BTreeMap<_, Vec<(IpSet, PortSet)>>| {
                            let pieces = all.get(&key).into_iter().flatten();
                            pieces
                                .filter(|(addresses, _)| addresses.contains(address))
                                .fold(PortSet::empty(), |ports, piece| ports.union(&piece.1))
                        };
                        let more = at(&after).difference(&at(&before));
                        assert_eq!(more, change.ports, "{key:?} {address}");
                    }
                }
            }
        }
    }
}

fn compare(old: &Manifests, new: &Manifests) -> (Difference, usize) {
    let pair = Pair::new(old, new);
    let found = difference(&pair);
    let [before, after] = [&pair.old.cluster, &pair.new.cluster]
        .map(|cluster| matrix(cluster, &RuleGraph::compile(cluster), None));
    let (old_pairs, new_pairs) = (pairs(&before), pairs(&after));
    let gained = expected(&new_pairs, &old_pairs);
    let lost = expected(&old_pairs, &new_pairs);
    assert_eq!(told(&found.gained, &pair.pods), gained);
    assert_eq!(told(&found.lost, &pair.pods), lost);
    check_outside(&before, &after, &found.gained, &pair.pods);
    check_outside(&after, &before, &found.lost, &pair.pods);
    let changes = gained.len() + lost.len();
    (found, changes)
}

#[test]
fn it_tells_exactly_the_pairs_that_differ_in_random_clusters() {
    let mut changes = 0;
    for seed in 0..60 {
        let size = if seed % 15 == 0 {
            Size::MEDIUM
        } else {
            Size::SMALL
        };
        let objects: Value =
            serde_json::from_str(&random_cluster(seed, size).to_json_list()).unwrap();
        let old = manifests(objects.to_string());
        // Some policies away.
        let mut rng = Rng::new(seed);
        let mut fewer = objects.clone();
        fewer["items"]
            .as_array_mut()
            .unwrap()
            .retain(|object| object["kind"] != "NetworkPolicy" || rng.below(3) > 0);
        let new = manifests(fewer.to_string());
        let (there, count) = compare(&old, &new);
        let (back, same) = compare(&new, &old);
        assert_eq!(count, same, "seed {seed}");
        assert_eq!(there.is_empty(), back.is_empty(), "seed {seed}");
        assert!(compare(&old, &old).0.is_empty(), "seed {seed}");
        changes += count;
    }
    assert!(changes > 1_000, "only {changes} changes");
}

struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn nopal(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
        command.args(arguments).current_dir(self.0.path());
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        (code, text(output.stdout), text(output.stderr))
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@example.com"]);
        let output = command.args(arguments).current_dir(self.0.path()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
    }
}

const PODS: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
---
";

const CLOSED: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
";

const WIDER: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
  - from: [{ipBlock: {cidr: 203.0.113.0/24}}, {podSelector: {matchLabels: {app: backup}}}]
    ports: [{port: 5432}]
";

fn shop() -> Folder {
    let (old, new) = (PODS.to_owned() + CLOSED, PODS.to_owned() + WIDER);
    Folder::with(&[("old.yaml", &old), ("new.yaml", &new)])
}

#[test]
fn text_names_who_what_and_because_of_what() {
    let (code, text, _) = shop().nopal(&["diff", "old.yaml", "new.yaml"]);
    assert_eq!(
        text,
        "\
Opened:
+ 203.0.113.0/24, shop/[app=backup] -> shop/db: TCP 5432
    changed shop/db (new.yaml:18)

Names in brackets are pods that the input does not have.

1 group of connections opened, nothing closed
"
    );
    assert_eq!(code, 1);
}

#[test]
fn json_names_every_pod() {
    let (_, text, _) = shop().nopal(&["diff", "new.yaml", "old.yaml", "--format", "json"]);
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        found,
        json!({
            "gained": [],
            "lost": [{
                "from": {
                    "summary": ["203.0.113.0/24", "shop/[app=backup]"],
                    "pods": [], "possible": ["shop/[app=backup]"], "cidrs": ["203.0.113.0/24"],
                },
                "to": {"summary": ["shop/db"], "pods": ["shop/db"], "possible": [], "cidrs": []},
                "allowed": [{"protocol": "TCP", "ports": "5432"}],
                "causes": [{"policy": "shop/db", "edit": "changed", "file": "old.yaml", "line": 12}],
            }],
            "appeared": [], "vanished": [],
        })
    );
}

#[test]
fn markdown_is_a_heading_a_sentence_and_tables() {
    let (_, text, _) = shop().nopal(&["diff", "old.yaml", "new.yaml", "--format", "markdown"]);
    assert_eq!(
        text,
        "\
## What this changes in the network

This change opens connections, also with addresses outside the cluster, and closes none.

### Opened

| From | To | Ports | Because of |
|---|---|---|---|
| 203.0.113.0/24, shop/\\[app=backup\\] | shop/db | TCP 5432 | changed shop/db (new.yaml:18) |

Names in brackets are pods that the manifests do not have, but that these policies hold for.
"
    );
}

#[test]
fn the_exit_code_follows_the_direction() {
    let folder = shop();
    let code = |old, new, on| folder.nopal(&["diff", old, new, "--fail-on", on]).0;
    let (old, new) = ("old.yaml", "new.yaml");
    assert_eq!(code(old, new, "widened"), 1);
    assert_eq!(code(new, old, "widened"), 0);
    assert_eq!(code(new, old, "narrowed"), 1);
    assert_eq!(code(old, new, "narrowed"), 0);
    assert_eq!(code(old, new, "any"), 1);
    assert_eq!(code(old, new, "none"), 0);
    assert_eq!(code(old, old, "any"), 0);
}

#[test]
fn policies_without_any_pod_are_compared_too() {
    let folder = Folder::with(&[("old.yaml", CLOSED), ("new.yaml", WIDER)]);
    let (code, text, _) = folder.nopal(&["diff", "old.yaml", "new.yaml"]);
    let line = "+ 203.0.113.0/24, shop/[app=backup] -> shop/[app=db]: TCP 5432\n";
    assert!(text.contains(line), "{text}");
    assert_eq!(code, 1);
}

#[test]
fn a_policy_that_goes_opens_what_it_closed_also_where_it_was_the_last_of_its_namespace() {
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n";
    let folder = Folder::with(&[("old.yaml", CLOSED), ("new.yaml", namespace)]);
    let (code, text, _) = folder.nopal(&["diff", "old.yaml", "new.yaml"]);
    assert!(text.contains("-> shop/[app=db]: all"), "{text}");
    assert!(text.contains("removed shop/db (old.yaml:3)"), "{text}");
    assert_eq!(code, 1);
}

#[test]
fn what_appears_or_vanishes_is_no_effect_of_policies() {
    let more = PODS.to_owned()
        + CLOSED
        + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: job, namespace: shop}\n";
    let folder = shop();
    fs::write(folder.0.path().join("more.yaml"), more).unwrap();
    let (code, text, _) = folder.nopal(&["diff", "old.yaml", "more.yaml", "--fail-on", "any"]);
    let told = "New workloads:\n  shop/job: ingress open, egress open\n";
    assert!(text.contains(told), "{text}");
    assert_eq!(code, 0, "{text}");
    let (code, text, _) = folder.nopal(&["diff", "more.yaml", "old.yaml", "--fail-on", "any"]);
    assert!(text.contains("Gone:\n  shop/job\n"), "{text}");
    assert_eq!(code, 0, "{text}");
}

#[test]
fn what_changes_between_replicas_names_the_policy_that_was_edited() {
    let text = |ports: &str| {
        format!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: main, namespace: data}}\n\
             spec: {{template: {{metadata: {{labels: {{app: main}}}}, spec: {{containers: [{{name: a}}]}}}}}}\n---\n\
             apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: main, namespace: data}}\n\
             spec:\n  podSelector: {{matchLabels: {{app: main}}}}\n  ingress:\n  - from: [{{podSelector: {{matchLabels: {{app: main}}}}}}]\n    ports: {ports}\n"
        )
    };
    let (old, new) = (text("[{port: 5432}, {port: 80}]"), text("[{port: 5432}]"));
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("old.yaml"), old).unwrap();
    fs::write(folder.path().join("new.yaml"), new).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
    command.args(["diff", "old.yaml", "new.yaml"]);
    let output = command.current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(
            "- data/StatefulSet/main -> data/StatefulSet/main: TCP 80\n    changed data/main (new.yaml:8)\n"
        ),
        "{text}"
    );
}

#[test]
fn revisions_of_git_are_read_and_named() {
    let folder = Folder::with(&[("policies/shop.yaml", &(PODS.to_owned() + WIDER))]);
    folder.git(&["init", "--quiet"]);
    folder.git(&["add", "."]);
    folder.git(&["commit", "--quiet", "-m", "a"]);
    fs::write(folder.0.path().join("policies/shop.yaml"), PODS).unwrap();
    let (code, text, errors) = folder.nopal(&["diff", "git:HEAD:policies", "policies"]);
    let cause = "removed shop/db (git:HEAD:policies/shop.yaml:12)";
    assert!(text.contains(cause), "{text}{errors}");
    assert_eq!(code, 1);

    for (old, message) in [
        ("git:nope:policies", "git knows no revision \"nope\""),
        ("git:HEAD:nowhere", "revision HEAD has no nowhere"),
        ("nowhere", "cannot be read"),
    ] {
        let (code, _, errors) = folder.nopal(&["diff", old, "policies"]);
        assert!(errors.contains(message), "{errors}");
        assert_eq!(code, 2);
    }
    let (code, _, errors) = folder.nopal(&["diff", "git:HEAD", "policies"]);
    assert!(errors.contains("write git:REV:PATH"), "{errors}");
    assert_eq!(code, 2);
}
