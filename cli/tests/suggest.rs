//! `suggest` writes the least policies that admit the flows it is given, and says what they admit besides.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use nopal::inventory::{Inventory, MadeUp};
use nopal::manifest::{Content, Source, read_source};
use nopal::suggest::{Isolating, parse, suggest, yaml};
use policy_core::testing::{Rng, Size, random_cluster};
use policy_core::{Flow, FlowPort, Pod, Protocol, RuleGraph, Verdict, lower};
use serde_json::{Value, json};
use tempfile::TempDir;

const SHOP: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web, helm.sh/chart: shop-1.2}}
    spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api-1, namespace: shop, labels: {app: api, pod-template-hash: abc}}
spec: {containers: [{name: api, ports: [{name: http, containerPort: 9090}]}]}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api-2, namespace: shop, labels: {app: api, pod-template-hash: abc}}
spec: {containers: [{name: api, ports: [{name: http, containerPort: 9090}]}]}
status: {podIPs: [{ip: 10.0.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: canary, namespace: shop, labels: {app: api, track: canary}}
spec: {containers: [{name: api, ports: [{name: http, containerPort: 9090}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: coredns, namespace: kube-system, labels: {k8s-app: kube-dns}}
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

    /// The exit code, standard output and standard error, with `flows` on standard input.
    fn suggest(&self, flows: &str, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
        command.args([&["suggest", ".", "--flows", "-"], arguments].concat());
        command.current_dir(self.0.path()).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(flows.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        (code, text(output.stdout), text(output.stderr))
    }
}

#[test]
fn flows_of_replicas_become_one_rule_by_labels_and_port_names() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let flows = "\
shop/Deployment/web -> shop/api-1 9090
shop/web-5d9c-x7 -> shop/api-2 9090
shop/Deployment/web -> kube-system/coredns 53/UDP
shop/api-1 -> 203.0.113.8 443
shop/api-1 -> 203.0.113.9 443
";
    let (code, text, notes) = folder.suggest(flows, &[]);
    assert_eq!(code, 0, "{notes}");
    assert_eq!(
        text,
        "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: api-flows
  namespace: shop
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - podSelector: {matchLabels: {app: web}}
    ports:
    - {port: http, protocol: TCP}
  egress:
  - to:
    - ipBlock: {cidr: \"203.0.113.8/31\"}
    ports:
    - {port: 443, protocol: TCP}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web-flows
  namespace: shop
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
  # To ask for names.
  - to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
      podSelector: {matchLabels: {k8s-app: kube-dns}}
    ports:
    - {port: 53, protocol: TCP}
    - {port: 53, protocol: UDP}
  - to:
    - podSelector: {matchLabels: {app: api}}
    ports:
    - {port: http, protocol: TCP}
"
    );
    assert_eq!(
        notes,
        "note: names are asked for over UDP and TCP: both are admitted\n\
         note: the labels admit besides: shop/Deployment/web -> shop/canary: TCP 9090\n"
    );
}

const POLICIES: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api-flows, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]}]
";

#[test]
fn where_there_are_policies_only_what_they_deny_is_added() {
    let folder = Folder::with(&[("shop.yaml", SHOP), ("policies.yaml", POLICIES)]);
    let (code, text, notes) = folder.suggest("shop/Deployment/web shop/api-1 80\n", &[]);
    assert_eq!((code, text.as_str()), (0, ""));
    assert_eq!(notes, "every flow passes already: no policy is needed\n");
    let (code, text, _) = folder.suggest("shop/Deployment/web shop/api-1 9090\n", &[]);
    assert_eq!(code, 0);
    assert!(text.contains("name: api-flows-2\n"), "{text}");
    assert!(text.contains("policyTypes: [Ingress]\n"), "{text}");
    assert_eq!(text.matches("kind:").count(), 1, "{text}");
    let arguments = ["--isolate", "egress"];
    let (_, text, _) = folder.suggest("shop/Deployment/web shop/api-1 80\n", &arguments);
    assert!(
        text.contains("name: web-flows\n") && text.contains("policyTypes: [Egress]"),
        "{text}"
    );
}

#[test]
fn denials_are_admitted_by_names_and_by_addresses() {
    let folder = Folder::with(&[("shop.yaml", SHOP), ("policies.yaml", POLICIES)]);
    let denial = |name: Value, port: Value| {
        let line = json!({
            "verdict": "denied", "direction": "ingress", "reply": false,
            "pod": {"address": "10.0.0.2", "name": name},
            "peer": {"address": "192.0.2.7", "name": null},
            "protocol": if port.is_null() { "ICMP" } else { "TCP" }, "port": port,
        });
        format!("{line}\n")
    };
    let flows = denial(json!("shop/api-2"), json!(9090)) + &denial(Value::Null, json!(22));
    let (code, text, notes) = folder.suggest(&flows, &["--format", "json"]);
    assert_eq!(code, 0, "{notes}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        answer["policies"][0]["spec"],
        json!({
            "podSelector": {"matchLabels": {"app": "api"}},
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{"ipBlock": {"cidr": "192.0.2.7/32"}}],
                "ports": [{"protocol": "TCP", "port": 22}, {"protocol": "TCP", "port": "http"}],
            }],
        })
    );
    let (code, _, notes) = folder.suggest(&denial(json!("shop/api-2"), Value::Null), &[]);
    assert_eq!(code, 1);
    assert!(
        notes.contains("left out: line 1: policies cannot admit protocols without ports"),
        "{notes}"
    );
}

#[test]
fn what_cannot_be_admitted_is_told() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    for (flows, code, message) in [
        (
            "shop/bare shop/api-1 80\n",
            1,
            "shop/bare has no label that lasts",
        ),
        (
            "shop/nobody shop/api-1 80\n",
            1,
            "from: shop/nobody is not in the input",
        ),
        (
            "shop/bara shop/api-1 80\n",
            1,
            "from: shop/bara is not in the input; did you mean shop/bare?\n",
        ),
        ("192.0.2.1 192.0.2.2 80\n", 1, "neither end is a pod"),
        (
            "shop/bare -> 80\n",
            2,
            "line 1: \"shop/bare -> 80\" is no flow",
        ),
        ("# none\n", 2, "holds no flow"),
    ] {
        let (found, text, notes) = folder.suggest(flows, &[]);
        assert_eq!((found, text.as_str()), (code, ""), "{flows}");
        assert!(notes.contains(message), "{flows}: {notes}");
    }
}

#[test]
fn tests_that_expect_a_connection_are_flows() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let tests = "\
apiVersion: nopal.dev/v1alpha1
kind: ConnectivityTest
metadata: {name: shop}
tests:
- {from: {workload: shop/Deployment/web}, to: {pod: shop/api-1}, port: 9090, expect: allow}
- {from: {pod: shop/api-1}, to: {workload: shop/Deployment/web}, port: 8080, expect: deny}
";
    let (code, text, _) = folder.suggest(tests, &[]);
    assert_eq!(code, 0);
    assert!(
        text.contains("name: api-flows") && text.contains("name: web-flows"),
        "{text}"
    );
    assert!(!text.contains("8080"), "{text}");
}

/// In random clusters the policies admit every flow that is not left out, and without any one of their rules they do not.
#[test]
fn suggestions_admit_their_flows_and_hold_no_rule_too_many() {
    let (mut admitted, mut rules) = (0, 0);
    for seed in 0..40 {
        let text = random_cluster(seed, Size::SMALL).to_json_list();
        let read = read_source(&Arc::new(Source::new("in".to_owned(), text)), "default");
        let inventory = Inventory::new(&read, MadeUp::Addresses);
        let stated = Inventory::new(&read, MadeUp::Nothing).cluster;
        let mut rng = Rng::new(seed);
        let live = inventory
            .cluster
            .pods()
            .values()
            .filter(|pod| !pod.finished);
        let pods: Vec<&Pod> = live.map(AsRef::as_ref).collect();
        let lines: Vec<String> = (0..6)
            .map(|_| {
                let (from, to) = (rng.pick(&pods), rng.pick(&pods));
                let protocol = rng.pick(&["TCP", "UDP"]);
                format!(
                    "{} {} {}/{protocol}",
                    from.id,
                    to.id,
                    rng.pick(&[80, 443, 8080])
                )
            })
            .collect();
        let (flows, errors) = parse(&lines.join("\n"));
        assert_eq!(errors, [], "seed {seed}");
        let isolating = Isolating {
            ingress: rng.chance(50),
            egress: rng.chance(50),
        };
        let suggestion = suggest(&inventory, &stated, &flows, isolating);
        let source = Source::new("suggested".to_owned(), yaml(&suggestion.policies));
        let written = read_source(&Arc::new(source), "default");
        assert!(written.errors.is_empty(), "seed {seed}");
        let mut policies = Vec::new();
        for object in &written.objects {
            if let Content::Policy(policy) = &object.content {
                let (policy, problems) = lower::policy(&policy.object, &policy.unread);
                assert!(problems.is_empty(), "seed {seed}: {problems:?}");
                policies.push(policy);
            }
        }
        assert_eq!(policies.len(), suggestion.policies.len(), "seed {seed}");
        let left_out: Vec<usize> = suggestion.left_out.iter().map(|flow| flow.line).collect();
        let asked: Vec<Flow> = (1..)
            .zip(&lines)
            .filter(|(line, _)| !left_out.contains(line))
            .flat_map(|(_, line)| addresses(&inventory, line))
            .collect();
        let passes = |policies: &[policy_core::Policy]| {
            let mut cluster = inventory.cluster.clone();
            for policy in policies {
                cluster.insert_policy(policy.clone());
            }
            let graph = RuleGraph::compile(&cluster);
            let verdicts = asked.iter().map(|flow| graph.evaluate(flow));
            verdicts
                .filter(|decision| decision.verdict == Verdict::Allow && !decision.is_audited())
                .count()
        };
        assert_eq!(passes(&policies), asked.len(), "seed {seed}: {lines:?}");
        admitted += asked.len();
        for number in 0..policies.len() {
            for is_ingress in [true, false] {
                let mut fewer = policies.clone();
                let policy = &mut fewer[number];
                let list = if is_ingress {
                    &mut policy.ingress
                } else {
                    &mut policy.egress
                };
                if list.is_empty() {
                    continue;
                }
                list.remove(0);
                let context = format!("seed {seed}: {}", policy.id);
                assert!(passes(&fewer) < asked.len(), "{context}: {lines:?}");
                rules += 1;
            }
        }
    }
    assert!(admitted > 100 && rules > 50, "{admitted} {rules}");
}

/// The flow of a line, in each family that its ends share.
fn addresses(inventory: &Inventory<'_>, line: &str) -> Vec<Flow> {
    let words: Vec<&str> = line.split(' ').collect();
    let [from, to] = [0, 1].map(|end| inventory.end(words[end]).unwrap());
    let (number, protocol) = words[2].split_once('/').unwrap();
    let protocol = Protocol::from_api(protocol).unwrap();
    let port = FlowPort::Port(protocol, number.parse().unwrap());
    let pairs = nopal::inventory::address_pairs(&from, &to, None).unwrap_or_default();
    pairs
        .into_iter()
        .map(|(_, from, to)| Flow { from, to, port })
        .collect()
}
