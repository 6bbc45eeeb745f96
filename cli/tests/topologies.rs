//! `nopal apply` and `nopal status` on nodes whose pods are wired in other ways than by routes: what can be enforced is,
//! and what cannot is told. Needs root, nft, ip and the reference CNI plugins, and fails without them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use nopal_lab::{Lab, NodeSpec, PodSpec, Probe, ProbeKind, Seen, Topology, Wiring};
use serde_json::Value;
use tempfile::TempDir;

const NODE: &str = "node-a";
const WEB: [&str; 2] = ["10.0.1.10", "fd00:10:0:1::10"];
const DB: [&str; 2] = ["10.0.1.11", "fd00:10:0:1::11"];

/// Nobody may say anything to the pod `db`.
const SHOP: &str = r#"
{kind: Node, apiVersion: v1, metadata: {name: node-a}, status: {addresses: [
  {type: InternalIP, address: 192.168.0.1}, {type: InternalIP, address: "fd00:192::1"}]}}
---
{kind: Pod, apiVersion: v1, metadata: {namespace: shop, name: web}, spec: {nodeName: node-a},
  status: {podIPs: [{ip: 10.0.1.10}, {ip: "fd00:10:0:1::10"}]}}
---
{kind: Pod, apiVersion: v1, metadata: {namespace: shop, name: db, labels: {app: db}}, spec: {nodeName: node-a},
  status: {podIPs: [{ip: 10.0.1.11}, {ip: "fd00:10:0:1::11"}]}}
---
{kind: NetworkPolicy, apiVersion: networking.k8s.io/v1, metadata: {namespace: shop, name: db},
  spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}}
"#;

/// The shop on one node; nothing in force.
struct Stage {
    lab: Lab,
    folder: TempDir,
}

struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Stage {
    fn new(wiring: Wiring, prefix: &str) -> Self {
        let addresses = |ends: [&str; 2]| ends.map(|text| text.parse::<IpAddr>().unwrap()).to_vec();
        let pod = |name: &str, ends| PodSpec {
            name: format!("shop/{name}"),
            node: NODE.to_owned(),
            addresses: addresses(ends),
        };
        let topology = Topology {
            nodes: vec![NodeSpec {
                name: NODE.to_owned(),
                addresses: addresses(["192.168.0.1", "fd00:192::1"]),
            }],
            pods: vec![pod("web", WEB), pod("db", DB)],
            externals: Vec::new(),
        };
        let lab = Lab::build_wired(&topology, wiring, prefix)
            .unwrap_or_else(|error| panic!("no lab: {error}"));
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("shop.yaml"), SHOP).unwrap();
        Self { lab, folder }
    }

    /// `nopal apply` or `nopal status` about the node.
    fn nopal(&self, command: &str, more: &[&str]) -> Answer {
        answer(self.command(command, more))
    }

    fn command(&self, command: &str, more: &[&str]) -> Command {
        let netns = self.lab.node_namespace(NODE).unwrap().path();
        let mut nopal = Command::new(env!("CARGO_BIN_EXE_nopal"));
        nopal
            .args([command, "shop.yaml", "--node", NODE, "--netns"])
            .arg(netns)
            .args(more)
            .current_dir(self.folder.path());
        nopal
    }

    /// What becomes of packets that the policy denies, in each family.
    fn denied_packets(&self) -> Vec<Seen> {
        let probes = [0, 1].map(|family| Probe {
            from: WEB[family].parse().unwrap(),
            to: DB[family].parse().unwrap(),
            kind: ProbeKind::Tcp(5432),
        });
        self.lab.probe(&probes, &AtomicBool::new(false)).unwrap()
    }

    /// Runs `ip` in the node's namespace.
    fn ip(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("ip");
        command.args(arguments);
        let node = self.lab.node_namespace(NODE).unwrap();
        let output = node.run(move || command.output()).unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn answer(mut command: Command) -> Answer {
    let output = command.output().unwrap();
    Answer {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_bridge_that_passes_by_the_rules_is_switched_by_apply_and_told_by_status() {
    let stage = Stage::new(Wiring::Bridge { netfilter: false }, "nopal-c-bridge");
    let bridge = ["-d", "link", "show", "cni0"];
    let off = "nf_call_iptables 0 nf_call_ip6tables 0";

    let checked = stage.nopal("apply", &["--check"]);
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""));
    let would = "bridge cni0: would be made to call netfilter";
    assert!(checked.stdout.contains(would), "{}", checked.stdout);
    assert!(stage.ip(&bridge).contains(off));
    assert_eq!(stage.denied_packets(), [Seen::Passed; 2]);

    let applied = stage.nopal("apply", &[]);
    assert_eq!((applied.code, applied.stderr.as_str()), (Some(0), ""));
    let switched = "bridge cni0: calls netfilter now";
    assert!(applied.stdout.contains(switched), "{}", applied.stdout);
    assert_eq!(stage.denied_packets(), [Seen::Blocked; 2]);
    let status = stage.nopal("status", &[]);
    assert_eq!(status.code, Some(0), "{}", status.stdout);
    let wiring = "wiring: 4 addresses of pods, and the rules see the packets of each\n";
    assert!(status.stdout.contains(wiring), "{}", status.stdout);
    let again = stage.nopal("apply", &[]);
    assert_eq!(again.code, Some(0));
    assert!(!again.stdout.contains("bridge cni0"), "{}", again.stdout);

    // Somebody switches it off: the rules are all there, and status does not call that enforced.
    let switch = ["link", "set", "dev", "cni0", "type", "bridge"];
    let no_calls = ["nf_call_iptables", "0", "nf_call_ip6tables", "0"];
    stage.ip(&[&switch[..], &no_calls].concat());
    let open = stage.nopal("status", &[]);
    assert_eq!(open.code, Some(1));
    let line = "  shop/db (10.0.1.11), on the bridge cni0: not enforced between ports of cni0 until it calls";
    assert!(open.stdout.contains(line), "{}", open.stdout);
    let means = "it is what the policies mean\n";
    assert!(open.stdout.ends_with(means), "{}", open.stdout);
    let json = stage.nopal("status", &["--format", "json"]);
    let told: Value = serde_json::from_str(&json.stdout).unwrap();
    let addresses = told["topology"]["addresses"].as_array().unwrap();
    assert_eq!(addresses.len(), 4);
    for address in addresses {
        assert_eq!(address["enforced"], false, "{address}");
        assert_eq!(address["bridgeToSwitch"], "cni0", "{address}");
    }
}

/// Pods on macvlan: rules are in force, packets pass them by, and both commands say so for each address.
#[test]
fn pods_on_macvlan_are_told_not_to_be_enforced() {
    let stage = Stage::new(Wiring::Macvlan, "nopal-c-macvlan");
    for arguments in [&["--check"][..], &[]] {
        let applied = stage.nopal("apply", arguments);
        assert_eq!(applied.code, Some(1), "{}", applied.stderr);
        let warnings: Vec<&str> = applied.stderr.lines().collect();
        assert_eq!(warnings.len(), 4, "{warnings:?}");
        for (warning, address) in warnings.iter().zip([DB, WEB].as_flattened()) {
            let begins = warning.starts_with("warning: policies do not hold for shop/");
            let says_who = warning.contains(address) && warning.contains("macvlan");
            assert!(begins && says_who, "{warning}");
        }
    }
    assert_eq!(stage.denied_packets(), [Seen::Passed; 2]);
    let status = stage.nopal("status", &[]);
    assert_eq!(status.code, Some(1));
    let wiring = "the rules do not see all packets of 4:\n  shop/db (10.0.1.11), ";
    assert!(status.stdout.contains(wiring), "{}", status.stdout);
    assert_eq!(status.stdout.matches("NOT ENFORCED").count(), 4);
}

#[test]
fn what_cannot_be_looked_at_is_not_told_to_be_enforced() {
    let stage = Stage::new(Wiring::Routed, "nopal-c-noip");
    assert_eq!(stage.nopal("apply", &[]).code, Some(0));
    let programs = TempDir::new().unwrap();
    for program in ["nft", "nsenter"] {
        let path = std::env::var_os("PATH").unwrap();
        let found = std::env::split_paths(&path).map(|folder| folder.join(program));
        let found = found.into_iter().find(|path| path.exists()).unwrap();
        symlink(found, programs.path().join(program)).unwrap();
    }
    let without_ip = |command| {
        let mut nopal = stage.command(command, &[]);
        nopal.env("PATH", programs.path());
        answer(nopal)
    };
    let applied = without_ip("apply");
    assert_eq!(applied.code, Some(1));
    let warning = "warning: it is not known whether policies hold for the pods of this node: `ip` was not found";
    assert!(applied.stderr.starts_with(warning), "{}", applied.stderr);
    assert!(applied.stdout.contains("is in force"), "{}", applied.stdout);
    let status = without_ip("status");
    assert_eq!(status.code, Some(1));
    let wiring =
        "how the pods are wired is not known: `ip` was not found; install the package iproute2\n";
    assert!(status.stdout.contains(wiring), "{}", status.stdout);
}
