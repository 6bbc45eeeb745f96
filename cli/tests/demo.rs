//! The whole road with real packets: the binary as root builds namespaces, applies rules and probes. Needs root, nft
//! and ip; it fails without them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nopal::demo::{self, Cast, Limits, Plan, Stage, Wiring};
use nopal::inventory::{Inventory, MadeUp};
use nopal::manifest::{self, Source};
use policy_core::testing::{Size, random_cluster};
use policy_core::{Cluster, RuleGraph, Verdict};
use serde_json::Value;

const NOPAL: &str = env!("CARGO_BIN_EXE_nopal");

fn nopal_demo(arguments: &[&str]) -> Output {
    Command::new(NOPAL)
        .arg("demo")
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What an agreeing demonstration printed.
fn agreed(output: &Output) -> &str {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    stdout
}

/// The namespaces of this machine whose name begins so.
fn namespaces(prefix: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/run/netns") else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(prefix)).collect()
}

fn start() -> (Child, String) {
    let child = Command::new(NOPAL)
        .arg("demo")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let prefix = format!("nopal-demo-{}-", child.id());
    (child, prefix)
}

fn wait_for_namespaces(prefix: &str, count: usize) {
    let start = Instant::now();
    while namespaces(prefix).len() < count {
        assert!(start.elapsed() < Duration::from_secs(30), "no namespaces");
        thread::sleep(Duration::from_millis(2));
    }
}

fn send(child: &Child, signal: Signal) {
    let process = Pid::from_raw(child.id().try_into().unwrap());
    kill(process, signal).unwrap();
}

#[test]
fn the_built_in_example_agrees_with_the_kernel() {
    let output = nopal_demo(&["--format", "json"]);
    let answer: Value = serde_json::from_str(agreed(&output)).unwrap();
    let members: BTreeSet<&str> = answer
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        members,
        BTreeSet::from(["agree", "disagree", "pods", "probes"])
    );
    assert_eq!(answer["disagree"], serde_json::json!([]));
    assert_eq!(answer["pods"], 7);
    assert_eq!(answer["agree"], answer["probes"]);
    assert!(answer["probes"].as_u64().unwrap() > 5_000);
}

#[test]
fn the_text_fits_eighty_columns_and_has_no_colour_in_a_pipe() {
    let output = nopal_demo(&[]);
    let stdout = agreed(&output);
    assert!(!stdout.contains('\u{1b}'), "{stdout}");
    for line in stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(
        stdout.contains("left out: shop/migrate: has finished\n"),
        "{stdout}"
    );
    assert!(stdout.ends_with(" agree, 0 disagree\n"), "{stdout}");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn the_example_agrees_on_every_topology_that_rules_can_hold_in() {
    for topology in ["ptp", "bridge", "vxlan"] {
        let output = nopal_demo(&["--topology", topology, "--probes", "2000"]);
        let stdout = agreed(&output);
        assert!(stdout.ends_with(" agree, 0 disagree\n"), "{stdout}");
        let was_switched =
            stdout.contains("node-b: the bridge cni0 passed packets between its pods");
        assert_eq!(was_switched, topology == "bridge", "{stdout}");
        assert!(
            stdout.lines().all(|line| line.chars().count() <= 80),
            "{stdout}"
        );
    }
}

#[test]
fn a_topology_that_rules_cannot_hold_in_is_refused_with_the_reason() {
    let output = nopal_demo(&["--topology", "macvlan"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with("error: the rules of node node-a cannot hold for its pods\n"),
        "{stderr}"
    );
    assert!(
        stderr.contains("macvlan on eth0: NOT ENFORCED: the node does not forward"),
        "{stderr}"
    );
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn random_clusters_agree_with_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let run = |seed: u64| {
        let file = folder.path().join(format!("{seed}.json"));
        std::fs::write(&file, random_cluster(seed, Size::SMALL).to_json_list()).unwrap();
        let file = file.to_str().unwrap();
        let output = nopal_demo(&[file, "--format", "json", "--probes", "1500"]);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(
            output.status.code(),
            Some(0),
            "seed {seed}: {stdout}{stderr}"
        );
        let answer: Value = serde_json::from_str(stdout).unwrap();
        answer["probes"].as_u64().unwrap()
    };
    let probes: u64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let seeds = (1..=20).filter(move |seed| seed % 4 == worker);
                scope.spawn(move || seeds.map(run).sum::<u64>())
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    assert!(probes > 20_000, "{probes} probes");
}

/// Without a policy in the kernel, packets pass that the policies deny: the demonstration sees it.
#[test]
fn rules_of_other_policies_are_seen_to_disagree() {
    let example = include_str!("../demo/shop.yaml");
    let source = Arc::new(Source::new("shop".to_owned(), example.to_owned()));
    let manifests = manifest::read_source(&source, "default");
    let inventory = Inventory::new(&manifests, MadeUp::AddressesAndNodes);
    let graph = RuleGraph::compile(&inventory.cluster);
    let limits = Limits {
        pods: 64,
        probes: 500,
    };
    let cast = Cast::new(&inventory.cluster, &graph, limits);
    let plan = Plan::new(&cast, &inventory.cluster, &graph, limits.probes);
    let stop = AtomicBool::new(false);
    let mut stage = Stage::build(&cast, Wiring::Routed, false, &stop).unwrap();
    stage
        .apply(&cast, &RuleGraph::compile(&Cluster::default()))
        .unwrap();
    let outcome = demo::run(&plan, &graph, &mut stage).unwrap();
    let denied = plan
        .trials
        .iter()
        .filter(|trial| trial.expect == Verdict::Deny)
        .count();
    assert_eq!(outcome.disagreements.len(), denied);
    assert!(denied > 100, "{denied}");
    stage.apply(&cast, &graph).unwrap();
    let outcome = demo::run(&plan, &graph, &mut stage).unwrap();
    assert_eq!(outcome.disagreements, []);
    stage.remove().unwrap();
}

#[test]
fn a_signal_ends_it_and_leaves_nothing_behind() {
    for (signal, delay) in [
        (Signal::SIGINT, 0),
        (Signal::SIGTERM, 300),
        (Signal::SIGINT, 900),
    ] {
        let (child, prefix) = start();
        wait_for_namespaces(&prefix, 1);
        thread::sleep(Duration::from_millis(delay));
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{signal}: {stderr}");
        assert_eq!(stderr, "interrupted; everything is cleaned up\n");
        assert_eq!(namespaces(&prefix), Vec::<String>::new(), "{signal}");
    }
}

#[test]
fn what_a_sudden_end_leaves_behind_goes_with_the_next_demonstration() {
    let (mut child, prefix) = start();
    wait_for_namespaces(&prefix, 3);
    send(&child, Signal::SIGKILL);
    child.wait().unwrap();
    assert!(!namespaces(&prefix).is_empty());
    agreed(&nopal_demo(&["--probes", "10"]));
    assert_eq!(namespaces(&prefix), Vec::<String>::new());
}

#[test]
fn a_cluster_that_is_kept_stands_until_it_is_cleaned() {
    let output = nopal_demo(&["--keep", "--probes", "10"]);
    agreed(&output);
    let stderr = text(&output.stderr);
    assert!(stderr.contains("  nopal demo --clean"), "{stderr}");
    let mut lines = stderr.lines();
    let command = lines.find(|line| line.contains("nft list")).unwrap();
    let mut words = command.split_whitespace();
    let listed = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    assert!(text(&listed.stdout).contains("nopal_forward"), "{listed:?}");
    agreed(&nopal_demo(&["--probes", "10"]));
    assert!(!namespaces("nopal-kept-").is_empty());
    let cleaned = nopal_demo(&["--clean"]);
    assert!(agreed(&cleaned).starts_with("removed "));
    assert_eq!(namespaces("nopal-kept-"), Vec::<String>::new());
}

#[test]
fn what_is_missing_is_named() {
    let without_programs = Command::new(NOPAL)
        .arg("demo")
        .env("PATH", "/nonexistent")
        .output()
        .unwrap();
    assert_eq!(without_programs.status.code(), Some(2));
    let stderr = text(&without_programs.stderr);
    assert!(stderr.contains("nft was not found"), "{stderr}");
    assert!(stderr.contains("package nftables"), "{stderr}");

    // A copy that everybody may read, since the build's folder may be nobody's business.
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let copy = folder.path().join("nopal");
    std::fs::copy(NOPAL, &copy).unwrap();
    open_to_all(folder.path());
    let without_root = Command::new(&copy)
        .arg("demo")
        .uid(65_534)
        .output()
        .unwrap();
    assert_eq!(without_root.status.code(), Some(2));
    let stderr = text(&without_root.stderr);
    assert!(stderr.contains("needs root"), "{stderr}");
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn without_pods_there_is_nothing_to_show() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("namespace.yaml");
    std::fs::write(
        &file,
        "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}",
    )
    .unwrap();
    let output = nopal_demo(&[file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no pods that run"));
}
