//! `nopal watch-denied` with packets: what is denied and audited comes out as lines. Needs root, nft and ip; it fails
//! without them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "schemas/check.rs"]
mod check;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nopal_lab::{Lab, NodeSpec, PodSpec, Probe, ProbeKind, Topology};
use serde_json::Value;
use tempfile::TempDir;

/// For what has to happen, however busy the machine is.
const LONG: Duration = Duration::from_secs(30);

const WEB: [&str; 2] = ["10.0.1.10", "fd00:10:0:1::10"];
const DB: [&str; 2] = ["10.0.1.11", "fd00:10:0:1::11"];
const CACHE: [&str; 2] = ["10.0.1.12", "fd00:10:0:1::12"];
const WORLD: [&str; 2] = ["198.51.100.7", "2001:db8::7"];

const SHOP: &str = r#"
{kind: Node, apiVersion: v1, metadata: {name: node-a}, status: {addresses: [
  {type: InternalIP, address: 192.168.0.1}, {type: InternalIP, address: "fd00:192::1"}]}}
---
{kind: Pod, apiVersion: v1, metadata: {namespace: shop, name: web, labels: {app: web}}, spec: {nodeName: node-a},
  status: {podIPs: [{ip: 10.0.1.10}, {ip: "fd00:10:0:1::10"}]}}
---
{kind: Pod, apiVersion: v1, metadata: {namespace: shop, name: db, labels: {app: db}}, spec: {nodeName: node-a},
  status: {podIPs: [{ip: 10.0.1.11}, {ip: "fd00:10:0:1::11"}]}}
---
{kind: Pod, apiVersion: v1, metadata: {namespace: shop, name: cache, labels: {app: cache}}, spec: {nodeName: node-a},
  status: {podIPs: [{ip: 10.0.1.12}, {ip: "fd00:10:0:1::12"}]}}
---
{kind: NetworkPolicy, apiVersion: networking.k8s.io/v1, metadata: {namespace: shop, name: db},
  spec: {podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 5432}]}]}}
---
{kind: NetworkPolicy, apiVersion: networking.k8s.io/v1, metadata: {namespace: shop, name: db-deny},
  spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}}
---
{kind: NetworkPolicy, apiVersion: networking.k8s.io/v1, metadata: {namespace: shop, name: web-out},
  spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress],
    egress: [{to: [{podSelector: {}}]}]}}
---
{kind: NetworkPolicy, apiVersion: networking.k8s.io/v1,
  metadata: {namespace: shop, name: cache, annotations: {nopal.dev/mode: audit}},
  spec: {podSelector: {matchLabels: {app: cache}}, policyTypes: [Ingress]}}
"#;

/// The shop on one node, with its rules in force.
struct Stage {
    lab: Lab,
    folder: TempDir,
}

impl Stage {
    fn new(prefix: &str) -> Self {
        let addresses = |ends: [&str; 2]| ends.map(|text| text.parse::<IpAddr>().unwrap()).to_vec();
        let pod = |name: &str, ends| PodSpec {
            name: format!("shop/{name}"),
            node: "node-a".to_owned(),
            addresses: addresses(ends),
        };
        let topology = Topology {
            nodes: vec![NodeSpec {
                name: "node-a".to_owned(),
                addresses: addresses(["192.168.0.1", "fd00:192::1"]),
            }],
            pods: vec![pod("web", WEB), pod("db", DB), pod("cache", CACHE)],
            externals: addresses(WORLD),
        };
        let lab = Lab::build(&topology, prefix).unwrap_or_else(|error| panic!("no lab: {error}"));
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("shop.yaml"), SHOP).unwrap();
        let stage = Self { lab, folder };
        let applied = stage.nopal(&["apply", "shop.yaml", "--node", "node-a"]);
        let output = applied.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        stage
    }

    /// Starts the command in the node's namespace.
    fn nopal(&self, arguments: &[&str]) -> Child {
        let netns = self.lab.node_namespace("node-a").unwrap().path();
        start(self.folder.path(), arguments, &netns)
    }

    /// Starts watching; gives its lines from the moment on that it listens.
    fn watch(&self, arguments: &[&str]) -> (Child, Receiver<String>) {
        let mut child = self.nopal(&[&["watch-denied"], arguments].concat());
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        wait_until_it_listens(&mut errors);
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        (child, lines)
    }

    fn probe(&self, from: &str, to: &str, kind: ProbeKind) {
        let probe = Probe {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            kind,
        };
        self.lab.probe(&[probe], &AtomicBool::new(false)).unwrap();
    }
}

/// Reads what it says first, which is that it listens.
fn wait_until_it_listens(errors: &mut impl BufRead) {
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    assert_eq!(line, "listening to nflog group 110\n");
}

fn start(folder: &Path, arguments: &[&str], netns: &Path) -> Child {
    start_into(Stdio::piped(), folder, arguments, netns)
}

fn start_into(output: Stdio, folder: &Path, arguments: &[&str], netns: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
    command
        .args(arguments)
        .arg("--netns")
        .arg(netns)
        .current_dir(folder)
        .stdout(output)
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Ends it as Ctrl-C does; gives its exit code.
fn interrupt(mut child: Child) -> Option<i32> {
    let id = i32::try_from(child.id()).unwrap();
    kill(Pid::from_raw(id), Signal::SIGINT).unwrap();
    child.wait().unwrap().code()
}

/// What a line says, without its time and class.
fn summary(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    assert!(text(&line["time"]).ends_with('Z'), "{line}");
    let schema = include_str!("../../docs/schema/watch-denied.json");
    let schema = serde_json::from_str(schema).unwrap();
    assert_eq!(check::faults(&line, &schema), [""; 0], "{line}");
    assert_eq!(line["reply"], false, "{line}");
    assert!(!text(&line["class"]).is_empty(), "{line}");
    let [pod, peer] = ["pod", "peer"].map(|end| {
        let (name, address) = (&line[end]["name"], &line[end]["address"]);
        format!("{} {}", text(name), text(address))
    });
    let policies: Vec<String> = line["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    format!(
        "{} {} {pod} | {peer} | {} {} | {}",
        text(&line["verdict"]),
        text(&line["direction"]),
        text(&line["protocol"]),
        line["port"],
        policies.join(" ")
    )
}

#[test]
fn each_packet_that_is_denied_or_audited_comes_out_as_a_line() {
    let stage = Stage::new("nopal-watch");
    let arguments = ["shop.yaml", "--node", "node-a", "--format", "json"];
    let (child, lines) = stage.watch(&arguments);
    for family in [0, 1] {
        stage.probe(WEB[family], DB[family], ProbeKind::Tcp(22));
        stage.probe(WEB[family], DB[family], ProbeKind::Tcp(5432));
        stage.probe(WEB[family], WORLD[family], ProbeKind::Tcp(443));
        stage.probe(WEB[family], CACHE[family], ProbeKind::Tcp(6379));
        stage.probe(DB[family], WEB[family], ProbeKind::Tcp(80));
    }
    stage.probe(WEB[0], DB[0], ProbeKind::Udp(53));
    stage.probe(WORLD[0], DB[0], ProbeKind::Sctp(5432));
    stage.probe(WORLD[1], DB[1], ProbeKind::Echo);
    let expected: BTreeSet<String> = [
        "denied ingress shop/db 10.0.1.11 | shop/web 10.0.1.10 | TCP 22 | shop/db shop/db-deny",
        "denied ingress shop/db fd00:10:0:1::11 | shop/web fd00:10:0:1::10 | TCP 22 | shop/db shop/db-deny",
        "denied egress shop/web 10.0.1.10 | null 198.51.100.7 | TCP 443 | shop/web-out",
        "denied egress shop/web fd00:10:0:1::10 | null 2001:db8::7 | TCP 443 | shop/web-out",
        "audited ingress shop/cache 10.0.1.12 | shop/web 10.0.1.10 | TCP 6379 | shop/cache",
        "audited ingress shop/cache fd00:10:0:1::12 | shop/web fd00:10:0:1::10 | TCP 6379 | shop/cache",
        "denied ingress shop/db 10.0.1.11 | shop/web 10.0.1.10 | UDP 53 | shop/db shop/db-deny",
        "denied ingress shop/db 10.0.1.11 | null 198.51.100.7 | SCTP 5432 | shop/db shop/db-deny",
        "denied ingress shop/db fd00:10:0:1::11 | null 2001:db8::7 | ICMP null | shop/db shop/db-deny",
    ]
    .map(str::to_owned)
    .into();
    let mut seen = BTreeSet::new();
    let deadline = Instant::now() + LONG;
    while seen != expected && Instant::now() < deadline {
        if let Ok(line) = lines.recv_timeout(Duration::from_millis(100)) {
            seen.insert(summary(&line));
        }
    }
    assert_eq!(interrupt(child), Some(0));
    seen.extend(lines.iter().map(|line| summary(&line)));
    assert_eq!(seen, expected);
}

#[test]
fn without_manifests_a_line_has_addresses_and_the_class_and_a_count_ends_it() {
    let stage = Stage::new("nopal-watchcount");
    let (mut child, lines) = stage.watch(&["--count", "1"]);
    stage.probe(WEB[0], DB[0], ProbeKind::Tcp(22));
    let line = lines.recv_timeout(LONG).unwrap();
    let (_, rest) = line.split_once(' ').unwrap();
    let expected = "denied ingress of 10.0.1.11 from 10.0.1.10 on 22/TCP by class shop_db_";
    assert!(rest.starts_with(expected), "{line}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(lines.iter().count(), 0);
}

#[test]
fn lines_that_cannot_be_written_are_told_and_end_it() {
    let stage = Stage::new("nopal-watchfull");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let netns = stage.lab.node_namespace("node-a").unwrap().path();
    let folder = stage.folder.path();
    let mut child = start_into(full.into(), folder, &["watch-denied"], &netns);
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    wait_until_it_listens(&mut errors);
    stage.probe(WEB[0], DB[0], ProbeKind::Tcp(22));
    let mut told = String::new();
    errors.read_to_string(&mut told).unwrap();
    assert_eq!(
        told,
        "error: cannot write to standard output: No space left on device (os error 28)\n"
    );
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

#[test]
fn a_second_listener_and_a_namespace_that_is_not_there_are_errors() {
    let stage = Stage::new("nopal-watchtwice");
    let (child, _lines) = stage.watch(&[]);
    let refused = |mut child: Child| {
        let mut errors = String::new();
        let mut stderr = child.stderr.take().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(2));
        errors
    };
    let errors = refused(stage.nopal(&["watch-denied"]));
    assert!(
        errors.starts_with("error: not permitted to listen to nflog group 110"),
        "{errors}"
    );
    assert_eq!(interrupt(child), Some(0));
    let folder = stage.folder.path();
    let errors = refused(start(folder, &["watch-denied"], Path::new("nopal-no-such")));
    assert!(
        errors.starts_with("error: the network namespace /run/netns/nopal-no-such does not exist"),
        "{errors}"
    );
}
