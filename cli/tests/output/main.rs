//! What becomes of an answer that cannot be written: every command says so and ends with 2, and a reader that has gone
//! away is no error. The commands that work on a node need root, nft and ip; they fail without them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod full;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use clap::CommandFactory;
use tempfile::TempDir;

const SHOP: &str = "\
{apiVersion: v1, kind: Node, metadata: {name: node-a}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}},
  spec: {nodeName: node-a}, status: {podIPs: [{ip: 10.0.1.10}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}},
  spec: {nodeName: node-a}, status: {podIPs: [{ip: 10.0.1.11}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: db, namespace: shop},
  spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: wbe}}}]}]}}
";

const TESTS: &str = "\
apiVersion: nopal.dev/v1alpha1
kind: ConnectivityTest
tests: [{from: {pod: shop/web}, to: {pod: shop/db}, port: 5432, expect: deny}]
";

/// Commands that answer from files, and the exit code of their answer.
const COMMANDS: &[(&str, i32)] = &[
    ("lint shop.yaml", 1),
    ("lint shop.yaml --format concise", 1),
    ("lint shop.yaml --format json", 1),
    ("lint shop.yaml --format sarif", 1),
    ("lint shop.yaml --format junit", 1),
    ("lint shop.yaml --diff --unsafe-fixes", 1),
    ("rule NP108", 0),
    ("rule NP108 --format json", 0),
    ("rules", 0),
    ("rules --format json", 0),
    (
        "explain shop.yaml --from shop/web --to shop/db --port 80",
        0,
    ),
    (
        "explain shop.yaml --from shop/web --to shop/db --port 80 --format json",
        0,
    ),
    ("matrix shop.yaml", 0),
    ("matrix shop.yaml --format json", 0),
    ("matrix shop.yaml --format csv", 0),
    ("matrix shop.yaml --format html", 0),
    ("matrix shop.yaml --group namespace", 0),
    ("graph shop.yaml", 0),
    ("graph shop.yaml --format dot", 0),
    ("graph shop.yaml --format mermaid", 0),
    ("graph shop.yaml --format json", 0),
    ("test shop.yaml --tests tests.yaml", 0),
    ("test shop.yaml --tests tests.yaml --format tap", 0),
    ("diff shop.yaml open.yaml", 1),
    ("diff shop.yaml open.yaml --format json", 1),
    ("diff shop.yaml open.yaml --format markdown", 1),
    ("snapshot shop.yaml", 0),
    ("snapshot open.yaml --file old.snapshot --check", 1),
    ("exposure shop.yaml", 0),
    ("exposure shop.yaml --format json", 0),
    ("query shop.yaml --from any --to shop/db", 0),
    ("query shop.yaml --from any --to shop/db --format json", 0),
    ("equiv shop.yaml open.yaml", 1),
    ("equiv shop.yaml open.yaml --format json", 1),
    ("coverage shop.yaml", 0),
    ("coverage shop.yaml --format json", 0),
    ("suggest shop.yaml --flows flows.txt", 0),
    ("suggest shop.yaml --flows flows.txt --format json", 0),
    ("render shop.yaml --node node-a", 0),
    ("render shop.yaml --node node-a --format json", 0),
    ("completions bash", 0),
    ("completions zsh", 0),
    ("man", 0),
    ("schema", 0),
    ("schema lint", 0),
    ("--help", 0),
    ("help lint", 0),
    ("--version", 0),
];

/// Commands that work on a node; NETNS stands for a network namespace.
const ON_A_NODE: &[&str] = &[
    "apply shop.yaml --node node-a --check --netns NETNS",
    "apply shop.yaml --node node-a --netns NETNS",
    "status --netns NETNS",
    "status --netns NETNS --format json",
    "flush --netns NETNS",
    "demo shop.yaml",
    "demo shop.yaml --format json",
];

/// Those that need more than files and a namespace, with the tests that try them.
const ELSEWHERE: [(&str, &str); 2] = [("rollout", "live.rs"), ("watch-denied", "watch_denied.rs")];

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("shop.yaml", SHOP);
    write("open.yaml", &SHOP.replace("app: wbe", "app: web"));
    write("tests.yaml", TESTS);
    write("flows.txt", "shop/web -> shop/db 5432/TCP\n");
    let first = "snapshot shop.yaml --file old.snapshot";
    assert!(nopal(first, &folder).status().unwrap().success());
    folder
}

fn nopal(arguments: &str, folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
    command
        .args(arguments.split(' '))
        .current_dir(folder.path());
    command
}

#[test]
fn an_answer_that_cannot_be_written_is_told_with_exit_code_two() {
    let folder = folder();
    for (arguments, _) in COMMANDS {
        full::is_told(&mut nopal(arguments, &folder));
    }
}

#[test]
fn a_reader_that_has_gone_away_is_no_error() {
    let folder = folder();
    for (arguments, code) in COMMANDS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = nopal(arguments, &folder);
        let output = command.stdout(writer).stderr(Stdio::piped()).output();
        let output = output.unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!errors.contains("standard output"), "{arguments}: {errors}");
        assert_eq!(output.status.code(), Some(*code), "{arguments}: {errors}");
    }
}

/// A network namespace of this test.
struct Netns(String);

impl Netns {
    fn new() -> Self {
        let netns = Self(format!("nopal-output-{}", std::process::id()));
        assert!(netns.ip("add"), "needs root and ip");
        netns
    }

    fn ip(&self, action: &str) -> bool {
        let mut command = Command::new("ip");
        let status = command.args(["netns", action, &self.0]).status();
        status.unwrap().success()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        self.ip("del");
    }
}

#[test]
fn what_happens_on_a_node_is_not_lost_without_a_word() {
    let folder = folder();
    let netns = Netns::new();
    for arguments in ON_A_NODE {
        full::is_told(&mut nopal(&arguments.replace("NETNS", &netns.0), &folder));
    }
}

#[test]
fn every_command_is_tried() {
    let tried = COMMANDS.iter().map(|(arguments, _)| *arguments);
    let tried = tried.chain(ON_A_NODE.iter().copied());
    let tried = tried.filter_map(|arguments| arguments.split(' ').next());
    let tried: BTreeSet<&str> = tried
        .chain(ELSEWHERE.map(|(command, _)| command))
        .filter(|command| !command.starts_with('-') && *command != "help")
        .collect();
    let command = nopal::args::Arguments::command();
    let there: BTreeSet<&str> = command
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    assert_eq!(tried, there);
}
