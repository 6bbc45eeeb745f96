//! `exposure`, `query`, `equiv` and `coverage`: what they print, their exit codes, and that their answers are the ones of
//! asking pair by pair.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use nopal::inventory::{Inventory, MadeUp, Standing};
use nopal::manifest::{Manifests, Source, read_source};
use nopal::questions::equivalence::unlike;
use nopal::questions::exposure::{Audience, exposure};
use nopal::questions::query::{Answer, Question, query};
use nopal::questions::selection::Selection;
use policy_core::testing::{Rng, Size, random_cluster, random_flows};
use policy_core::{Cluster, Direction, FlowPort, IpSet, Pod, PodId, PortSet, RuleGraph};
use serde_json::{Value, json};
use tempfile::TempDir;

const SHOP: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}]}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
status: {podIPs: [{ip: 10.0.0.5}]}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: ops}
spec: {hostNetwork: true}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress:
  - ports: [{port: http}]
  - from: [{namespaceSelector: {}}]
    ports: [{port: 9100}]
  egress:
  - to: [{podSelector: {matchLabels: {app: db}}}]
    ports: [{port: 5432}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}, {namespaceSelector: {}, podSelector: {matchLabels: {role: backup}}}]
    ports: [{port: 5432}]
  - from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]
    ports: [{port: 443}]
  - from: [{ipBlock: {cidr: 203.0.113.0/24}}]
    ports: [{port: 22}]
";

struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn nopal(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
        let output = command.args(arguments).current_dir(self.0.path()).output();
        let output = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        (code, text(output.stdout), text(output.stderr))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--format", "json"]].concat();
        serde_json::from_str(&self.nopal(&arguments).1).unwrap()
    }
}

#[test]
fn exposure_tells_the_widest_audience_once() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let (code, text, _) = folder.nopal(&["exposure", "shop.yaml"]);
    assert_eq!(code, 0);
    assert_eq!(
        text,
        "\
Open to anyone, pods and addresses:
  anyone -> shop/Deployment/web: TCP 8080
  shop/db -> anyone: all

Open to the internet:
  0.0.0.0/0 except 10.0.0.0/8 -> shop/db: TCP 443

Open to every pod of the cluster:
  every pod -> shop/Deployment/web: TCP 9100

Open to pods of namespaces that the input does not hold:
  [other]/[role=backup] -> shop/db: TCP 5432

Open to some addresses of the internet:
  203.0.113.0/24 -> shop/db: TCP 22

On their nodes' networks, so that no policy holds for them:
  ops/agent
"
    );
    let lines = folder.json(&["exposure", "shop.yaml", "--direction", "ingress"]);
    let audiences: Vec<&str> = lines["exposed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["audience"].as_str().unwrap())
        .collect();
    assert_eq!(
        audiences,
        ["anyone", "internet", "cluster", "unknown", "addresses"]
    );
    assert_eq!(
        lines["exposed"][3]["possible"],
        json!(["[other]/[role=backup]"])
    );
    assert_eq!(lines["exposed"][4]["cidrs"], json!(["203.0.113.0/24"]));
    assert_eq!(lines["hostNetwork"], json!(["ops/agent"]));
}

#[test]
fn exposure_fails_on_what_it_is_told_to() {
    let closed = "\
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: a, labels: {app: a}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a, namespace: a}
spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {}}]}]}
";
    let folder = Folder::with(&[("a.yaml", closed)]);
    let code = |arguments: &[&str]| {
        folder
            .nopal(&[&["exposure", "a.yaml"], arguments].concat())
            .0
    };
    let ingress = ["--direction", "ingress", "--fail-on"];
    let fails = |level| code(&[&ingress[..], &[level]].concat());
    assert_eq!(
        ["internet", "cluster", "unknown", "internet,cluster"].map(fails),
        [0, 1, 1, 1]
    );
    assert_eq!(code(&["--fail-on", "internet"]), 1, "egress is open");
    assert_eq!(code(&[]), 0);
}

#[test]
fn coverage_names_what_no_policy_isolates() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let (code, text, _) = folder.nopal(&["coverage", "shop.yaml"]);
    assert_eq!(code, 0);
    assert_eq!(
        text,
        "\
ingress: 2 of 2 workloads isolated (100%)
egress: 1 of 2 workloads isolated (50%)
  shop/db: no policy
on their nodes' networks, where no policy holds:
  ops/agent
"
    );
    let code = |arguments: &[&str]| {
        folder
            .nopal(&[&["coverage", "shop.yaml"], arguments].concat())
            .0
    };
    assert_eq!(code(&["--min", "50"]), 0);
    assert_eq!(code(&["--min", "51"]), 1);
    assert_eq!(code(&["--min", "51", "--direction", "ingress"]), 0);
    assert_eq!(code(&["--min", "101"]), 2);
    let answer = folder.json(&["coverage", "shop.yaml"]);
    assert_eq!(answer["egress"]["open"], json!(["shop/db"]));
    assert_eq!(answer["egress"]["percent"], 50);
}

#[test]
fn a_query_asks_by_names_labels_and_addresses() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let ask = |from: &str, to: &str, more: &[&str]| {
        let arguments = ["query", "shop.yaml", "--known", "--from", from, "--to", to];
        let (code, text, errors) = folder.nopal(&[&arguments[..], more].concat());
        (code, text + &errors)
    };
    let web_to_db = "shop/Deployment/web -> shop/db: TCP 5432\n";
    assert_eq!(
        ask("shop/Deployment/web", "shop/db", &[]),
        (0, web_to_db.to_owned())
    );
    assert_eq!(
        ask("pod:app=web", "ns:team=shop pod:app in (db)", &[]).1,
        web_to_db
    );
    assert_eq!(
        ask("shop/*", "10.0.0.5", &[]).1.lines().next().unwrap(),
        web_to_db.trim_end()
    );
    let office = "203.0.113.0/24 -> shop/db: TCP 22,443\n";
    assert_eq!(ask("203.0.113.0/24", "shop/db", &[]).1, office);
    let nothing = "Nothing connects.\n".to_owned();
    assert_eq!(
        ask("shop/db", "shop/Deployment/web", &["--port", "22"]),
        (0, nothing.clone())
    );
    assert_eq!(
        ask("external", "shop/db", &["--port", "5432", "--not"]),
        (0, nothing)
    );
    let (code, text) = ask("external", "shop/db", &["--port", "22", "--not"]);
    assert_eq!(
        (code, text.as_str()),
        (1, "203.0.113.0/24 -> shop/db: TCP 22\n")
    );
}

#[test]
fn a_query_about_nobody_is_an_error() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let error = |from: &str, to: &str| {
        let arguments = ["query", "shop.yaml", "--not", "--from", from, "--to", to];
        let (code, text, errors) = folder.nopal(&arguments);
        assert_eq!((code, text.as_str()), (2, ""), "{from} {to}");
        errors
    };
    for (from, to, message) in [
        ("shpo/*", "shop/db", "--from matches no pod of the input"),
        ("shop/db", "pod:app=wbe", "--to matches no pod of the input"),
        (
            "shop/nobody",
            "shop/db",
            "--from matches no pod of the input",
        ),
        (
            "external",
            "10.9.0.0/16",
            "neither --from nor --to is a pod",
        ),
        ("pod:app in web", "shop/db", "is no list: write (b,c)"),
        ("nonsense", "shop/db", "is no end"),
    ] {
        let errors = error(from, to);
        assert!(errors.contains(message), "{from} {to}: {errors}");
    }
}

#[test]
fn a_query_counts_pods_that_could_be_unless_told_not_to() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let ask = |from: &str| {
        let arguments = [
            "query",
            "shop.yaml",
            "--not",
            "--from",
            from,
            "--to",
            "shop/db",
        ];
        folder.nopal(&arguments)
    };
    let (code, text, _) = ask("unknown");
    assert_eq!(code, 1);
    assert!(
        text.starts_with("[other]/[role=backup] -> shop/db: TCP 5432\n"),
        "{text}"
    );
    assert!(text.contains("--known"), "{text}");
    let (code, text, _) = ask("pod:app=web");
    assert_eq!(
        (code, text.as_str()),
        (1, "shop/Deployment/web -> shop/db: TCP 5432\n")
    );
}

const ONE: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: both, namespace: shop}
spec:
  podSelector: {matchExpressions: [{key: app, operator: In, values: [a, b]}]}
  ingress:
  - from: [{podSelector: {matchLabels: {role: client}}}, {ipBlock: {cidr: 10.0.0.0/8}}]
    ports: [{port: 80}, {port: 81}, {port: http}]
";

/// The same in other words: split by subject, by block, and by ports.
const SAME: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a, namespace: shop}
spec:
  podSelector: {matchLabels: {app: a}}
  ingress:
  - from: [{podSelector: {matchLabels: {role: client}}}, {ipBlock: {cidr: 10.0.0.0/9}}, {ipBlock: {cidr: 10.128.0.0/9}}]
    ports: [{port: http}, {port: 80, endPort: 81}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: b, namespace: shop}
spec:
  podSelector: {matchLabels: {app: b}}
  ingress:
  - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}, podSelector: {matchLabels: {role: client}}}]
    ports: [{port: 80}, {port: 81}, {port: http}]
  - from: [{ipBlock: {cidr: 10.0.0.0/8}}]
    ports: [{port: 80}, {port: 81}, {port: http}]
";

#[test]
fn the_same_in_other_words_is_equivalent_for_any_pods() {
    let folder = Folder::with(&[("one.yaml", ONE), ("same.yaml", SAME)]);
    let (code, text, _) = folder.nopal(&["equiv", "one.yaml", "same.yaml"]);
    assert_eq!(
        (code, text.as_str()),
        (0, "They mean the same, for any pods and namespaces.\n")
    );
}

#[test]
fn a_difference_comes_with_the_simplest_example() {
    for (from, to, expected) in [
        (
            "{role: client}",
            "{role: clients}",
            "only one.yaml: shop/[role=client] -> shop/[app=a]: TCP 80-81",
        ),
        (
            "{port: 80, endPort: 81}",
            "{port: 80}",
            "only one.yaml: shop/[role=client] -> shop/[app=a]: TCP 81",
        ),
        (
            "10.128.0.0/9",
            "10.128.0.0/10",
            "only one.yaml: [other]/[other] -> shop/[app=a]: TCP 80-81",
        ),
        (
            "[{port: http}, ",
            "[",
            "only one.yaml admits for ingress: 10.0.0.0/9 -> shop/[app=a]: TCP port named http",
        ),
        (
            "{app: b}",
            "{app: b, tier: x}",
            "only other.yaml admits for ingress: 10.0.0.0/8 -> shop/[app=b]: ",
        ),
    ] {
        let other = SAME.replace(from, to);
        assert_ne!(other, SAME);
        let folder = Folder::with(&[("one.yaml", ONE), ("other.yaml", &other)]);
        let (code, text, _) = folder.nopal(&["equiv", "one.yaml", "other.yaml"]);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(expected), "{from}: {text}");
        let answer = folder.json(&["equiv", "one.yaml", "other.yaml"]);
        assert_eq!(answer["equivalent"], false);
    }
}

#[test]
fn pods_that_no_input_holds_can_differ_alone() {
    let pods = SHOP.split("---\napiVersion: networking").next().unwrap();
    let policy = |port: &str| {
        format!(
            "{pods}---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: web, namespace: shop}}\n\
             spec: {{podSelector: {{matchLabels: {{app: web}}}}, ingress: [{{ports: [{{port: {port}}}]}}]}}\n"
        )
    };
    let (named, numbered) = (policy("http"), policy("8080"));
    let folder = Folder::with(&[("a.yaml", &named), ("b.yaml", &numbered)]);
    let (code, text, _) = folder.nopal(&["equiv", "a.yaml", "b.yaml"]);
    assert_eq!(code, 1);
    assert_eq!(
        text,
        "They mean the same for the pods of the input, but not for others.\n\
         \x20 only b.yaml admits for ingress: any address -> shop/[app=web]: TCP 8080\n"
    );
    let (code, text, _) = folder.nopal(&["equiv", "a.yaml", "b.yaml", "--scope", "input"]);
    assert_eq!(
        (code, text.as_str()),
        (0, "They mean the same for the pods of the input.\n")
    );
    let (code, _, errors) = folder.nopal(&["equiv", "a.yaml", "nowhere.yaml"]);
    assert_eq!(code, 2, "{errors}");
}

fn manifests(text: String) -> Manifests {
    read_source(&Arc::new(Source::new("in".to_owned(), text)), "default")
}

/// Asked address by address.
fn between(graph: &RuleGraph, from: &Pod, to: &Pod) -> PortSet {
    let mut allowed = PortSet::empty();
    for source in &from.addresses {
        for target in to
            .addresses
            .iter()
            .filter(|target| target.is_ipv4() == source.is_ipv4())
        {
            allowed = allowed.union(&graph.allowed(*source, *target));
        }
    }
    allowed
}

fn told(answer: &Answer) -> BTreeMap<(PodId, PodId), PortSet> {
    let mut told = BTreeMap::new();
    for line in &answer.connections {
        for &from in &line.from.pods {
            for &to in line.to.pods.iter().filter(|to| **to != from) {
                let pair = (answer.pods[from].0.clone(), answer.pods[to].0.clone());
                assert!(
                    told.insert(pair, line.ports.clone()).is_none(),
                    "told twice"
                );
            }
        }
    }
    told
}

#[test]
fn a_query_tells_exactly_the_pairs_that_connect_in_random_clusters() {
    let mut count = 0;
    for seed in 0..40 {
        let read = manifests(random_cluster(seed, Size::SMALL).to_json_list());
        let (inventory, pods) = Inventory::with_possible(&read);
        let cluster = &inventory.cluster;
        let graph = RuleGraph::compile(cluster);
        let mut rng = Rng::new(seed);
        let ports = [
            PortSet::all(),
            PortSet::range(policy_core::Protocol::Tcp, 1, 1024),
        ];
        for ports in ports {
            let name = |pod: &(PodId, Standing)| {
                Selection::parse(&format!("{}/*", pod.0.namespace)).unwrap()
            };
            let known: Vec<_> = pods
                .iter()
                .filter(|pod| pod.1 == Standing::Known)
                .cloned()
                .collect();
            let (from, to) = (name(rng.pick(&known)), name(rng.pick(&known)));
            for (from, to) in [
                (&from, &to),
                (&from, &Selection::Pods),
                (&Selection::Any, &to),
            ] {
                let written = Cluster::default();
                let question = Question {
                    from,
                    to,
                    ports: ports.clone(),
                    only_known: false,
                    written: &written,
                };
                let answer = query(&inventory, pods.clone(), &question).unwrap();
                let mut expected = BTreeMap::new();
                let meant = |selection: &Selection, id: &PodId| match selection {
                    Selection::Labels { namespaces, .. } => {
                        namespaces.matches(&cluster.namespaces()[&id.namespace])
                    }
                    _ => true,
                };
                for (one, _) in pods.iter().filter(|pod| meant(from, &pod.0)) {
                    for (other, _) in pods.iter().filter(|pod| meant(to, &pod.0) && pod.0 != *one) {
                        let [a, b] = [one, other].map(|id| cluster.pods()[id].as_ref());
                        let allowed = between(&graph, a, b).intersection(&ports);
                        if !allowed.is_empty() {
                            expected.insert((one.clone(), other.clone()), allowed);
                        }
                    }
                }
                assert_eq!(told(&answer), expected, "seed {seed}: {from:?} {to:?}");
                count += expected.len();
            }
        }
    }
    assert!(count > 1_000, "only {count} pairs");
}

#[test]
fn what_is_exposed_passes_from_everybody_it_is_said_to_be_open_to() {
    let (mut cluster_wide, mut internet) = (0, 0);
    for seed in 0..40 {
        let read = manifests(random_cluster(seed, Size::SMALL).to_json_list());
        let (inventory, pods) = Inventory::with_possible(&read);
        let cluster = &inventory.cluster;
        let graph = RuleGraph::compile(cluster);
        let answer = exposure(&inventory, pods);
        for line in answer
            .lines
            .iter()
            .filter(|line| line.direction == Direction::Ingress)
        {
            for to in line
                .pods
                .iter()
                .map(|&pod| cluster.pods()[&answer.pods[pod].0].as_ref())
            {
                match &line.audience {
                    Audience::Anyone | Audience::Cluster => {
                        // Who may open everything to this pod reaches it on all that is told.
                        for from in cluster.pods().values() {
                            let is_open = graph.isolation(from, Direction::Egress)
                                == policy_core::Isolation::None;
                            let owns = graph.addresses(from).len() == from.addresses.len();
                            let shares = from.addresses.iter().any(|one| {
                                to.addresses
                                    .iter()
                                    .any(|other| one.is_ipv4() == other.is_ipv4())
                            });
                            if from.is_selectable() && is_open && owns && shares && from.id != to.id
                            {
                                assert!(
                                    between(&graph, from, to).contains_all(&line.ports),
                                    "seed {seed}: {} {line:?}",
                                    from.id
                                );
                                cluster_wide += 1;
                            }
                        }
                    }
                    Audience::Internet(addresses) | Audience::Addresses(addresses) => {
                        let pieces = graph.outside(to, Direction::Ingress);
                        let open = pieces
                            .iter()
                            .filter(|(_, ports)| ports.contains_all(&line.ports));
                        let open = open.fold(IpSet::empty(), |all, (set, _)| all.union(set));
                        assert!(open.contains_all(addresses), "seed {seed}: {line:?}");
                        internet += 1;
                    }
                    Audience::Unknown(_) => {}
                }
            }
        }
    }
    assert!(
        cluster_wide > 500 && internet > 10,
        "{cluster_wide} {internet}"
    );
}

/// What is equivalent decides every flow alike; what is not has an example that one side alone admits.
#[test]
fn equivalence_agrees_with_flows_in_random_clusters() {
    let (mut same, mut different, mut confirmed) = (0, 0, 0);
    for seed in 0..150 {
        let objects = random_cluster(seed, Size::SMALL);
        let one: Value = serde_json::from_str(&objects.to_json_list()).unwrap();
        let mut rng = Rng::new(seed);
        let mut other = one.clone();
        let items = other["items"].as_array_mut().unwrap();
        items.retain(|object| object["kind"] != "NetworkPolicy" || rng.below(6) > 0);
        for object in items
            .iter_mut()
            .filter(|object| object["kind"] == "NetworkPolicy")
        {
            if rng.chance(50)
                && let Some(name) = object["metadata"]["name"].as_str()
            {
                object["metadata"]["name"] = json!(format!("{name}-renamed"));
            }
        }
        let read = [manifests(one.to_string()), manifests(other.to_string())];
        let [old, new] = [0, 1].map(|side| Inventory::new(&read[side], MadeUp::Addresses).cluster);
        let found = unlike(old.policies(), new.policies());
        assert!(found.undecided.is_empty(), "seed {seed}");
        if found.is_empty() {
            same += 1;
            let [old, new] = [&old, &new].map(RuleGraph::compile);
            for flow in random_flows(&objects, seed, 100) {
                let verdicts = [&old, &new].map(|graph| graph.evaluate(&flow).verdict);
                assert_eq!(verdicts[0], verdicts[1], "seed {seed}: {flow}");
            }
            continue;
        }
        different += 1;
        for witness in &found.witnesses {
            confirmed += usize::from(is_confirmed(&old, &new, witness, seed));
        }
    }
    assert!(
        same > 10 && different > 50 && confirmed > 50,
        "{same} {different} {confirmed}"
    );
}

/// Puts the pod of an example and its peer into both clusters, and asks. Policies of other namespaces are left away, as a
/// direction counts by itself; where the peer's own namespace is the pod's, its policies can deny what the example is about.
fn is_confirmed(
    old: &Cluster,
    new: &Cluster,
    witness: &nopal::questions::equivalence::Witness,
    seed: u64,
) -> bool {
    let point = &witness.point;
    let Some((flow_port, address)) = point
        .ports
        .ports(policy_core::Protocol::Tcp)
        .ranges()
        .first()
        .map(|range| {
            let port = range.0.max(1);
            (
                FlowPort::Port(policy_core::Protocol::Tcp, port),
                point.addresses.ranges().next().unwrap().0,
            )
        })
    else {
        return false;
    };
    let pod = |name: &str, namespace: &str, labels: &policy_core::Labels, address| {
        let (mut pod, _) = policy_core::lower::pod(&k8s_openapi::api::core::v1::Pod::default());
        pod.id = PodId::new(namespace, name);
        pod.labels = labels.clone();
        pod.addresses = vec![address];
        pod
    };
    let own: std::net::IpAddr = match address {
        std::net::IpAddr::V4(_) => "198.18.7.7".parse().unwrap(),
        std::net::IpAddr::V6(_) => "3fff:7::7".parse().unwrap(),
    };
    let verdicts = [old, new].map(|cluster| {
        let mut bare = Cluster::default();
        for policy in cluster.policies().values() {
            if policy.id.namespace == witness.namespace && policy.isolates(witness.direction) {
                let mut policy = policy.as_ref().clone();
                (policy.isolates_ingress, policy.isolates_egress) = match witness.direction {
                    Direction::Ingress => (true, false),
                    Direction::Egress => (false, true),
                };
                bare.insert_policy(policy);
            }
        }
        bare.insert_pod(pod("subject", &witness.namespace, &witness.pod, own));
        if let Some((namespace, labels)) = &point.pod {
            let name = namespace.value("kubernetes.io/metadata.name").unwrap();
            bare.insert_namespace(name, namespace);
            bare.insert_pod(pod("peer", name, labels, address));
        }
        let (from, to) = match witness.direction {
            Direction::Ingress => (address, own),
            Direction::Egress => (own, address),
        };
        let graph = RuleGraph::compile(&bare);
        graph
            .evaluate(&policy_core::Flow {
                from,
                to,
                port: flow_port,
            })
            .verdict
    });
    let expected = if witness.is_gained {
        [policy_core::Verdict::Deny, policy_core::Verdict::Allow]
    } else {
        [policy_core::Verdict::Allow, policy_core::Verdict::Deny]
    };
    assert_eq!(verdicts, expected, "seed {seed}: {witness:?}");
    true
}
