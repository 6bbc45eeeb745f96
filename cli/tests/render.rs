//! A node's rules: printed, put in force in a network namespace, looked at, and taken away. Needs root, nft and ip; it
//! fails without them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use nft_backend::config::Config;
use nft_backend::lock::Lock;
use nft_backend::nft::Nft;
use serde_json::Value;
use tempfile::TempDir;

const SHOP: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: node-b}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-a}
status: {podIPs: [{ip: 10.0.1.10}, {ip: "fd00:10:0:1::10"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: new, namespace: shop, labels: {app: web}}
spec: {nodeName: node-a}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec: {selector: {}, template: {metadata: {labels: {app: api}}, spec: {containers: []}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {}
  ingress:
  - from: [{podSelector: {}}]
    ports: [{port: 80}]
"#;

/// A rule that the API server refuses, in a policy of its own.
const REFUSED: &str = "
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: refused, namespace: shop}
spec: {podSelector: {}, ingress: [{ports: [{port: 0}]}]}
";

/// What leads to the pod `web`: as rules for it are applied, its packets are looked for.
const WIRING: [&str; 4] = [
    "link add web type veth peer name eth0",
    "link set dev web up",
    "route add 10.0.1.10/32 dev web",
    "route add fd00:10:0:1::10/128 dev web",
];

/// A network namespace that lives as long as a test, with the pod wired in it.
struct Netns(String);

impl Netns {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let netns = Self(format!("nopal-cli-{}-{number}", std::process::id()));
        run("ip", &["netns", "add", &netns.0]);
        for command in WIRING {
            let words: Vec<&str> = command.split(' ').collect();
            run("ip", &[&["-n", &netns.0], &words[..]].concat());
        }
        netns
    }

    fn nft(&self, arguments: &[&str]) -> String {
        run(
            "ip",
            &[&["netns", "exec", &self.0, "nft"], arguments].concat(),
        )
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        run("ip", &["netns", "del", &self.0]);
    }
}

/// What a program printed that ended well.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?} (needs root): {stderr}"
    );
    String::from_utf8(output.stdout).unwrap()
}

struct Answer {
    code: i32,
    stdout: String,
    stderr: String,
}

fn nopal(arguments: &[&str]) -> Answer {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_nopal"))
        .args(arguments)
        .output()
        .unwrap();
    Answer {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn shop() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "shop.yaml", SHOP);
    (folder, text(&path))
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn both_formats_load_as_they_are() {
    let (folder, shop) = shop();
    for format in ["nft", "json"] {
        let rendered = nopal(&["render", &shop, "--node", "node-a", "--format", format]);
        assert_eq!((rendered.code, rendered.stderr.as_str()), (0, ""));
        let rules = text(&file(&folder, format, &rendered.stdout));
        let netns = Netns::new();
        match format {
            "json" => netns.nft(&["-j", "-f", &rules]),
            _ => netns.nft(&["-f", &rules]),
        };
        let table = netns.nft(&["list", "table", "inet", "nopal"]);
        assert!(table.contains("10.0.1.10 . tcp . 80"), "{table}");
    }
}

#[test]
fn the_same_objects_in_another_order_give_the_same_bytes() {
    let (folder, shop) = shop();
    let mut documents: Vec<&str> = SHOP.split("---").collect();
    documents.reverse();
    let reversed = text(&file(&folder, "reversed.yaml", &documents.join("---")));
    let rendered = nopal(&["render", &shop, "--node", "node-a"]);
    assert_eq!(
        rendered.stdout,
        nopal(&["render", &reversed, "--node", "node-a"]).stdout
    );
}

#[test]
fn only_addresses_that_objects_state_are_in_the_rules() {
    let (_folder, shop) = shop();
    let rendered = nopal(&["render", &shop, "--node", "node-a"]).stdout;
    assert!(rendered.contains("10.0.1.10 : goto"), "{rendered}");
    assert!(!rendered.contains("10.244."), "{rendered}");
    let elsewhere = nopal(&["render", &shop, "--node", "node-b"]);
    assert_eq!(elsewhere.code, 0);
    assert!(
        !elsewhere.stdout.contains("10.0.1.10"),
        "{}",
        elsewhere.stdout
    );
}

#[test]
fn an_unknown_node_is_refused_with_the_known_ones() {
    let (_folder, shop) = shop();
    for command in ["render", "apply", "status"] {
        let answer = nopal(&[command, &shop, "--node", "node-z"]);
        assert_eq!((answer.code, answer.stdout.as_str()), (2, ""), "{command}");
        assert_eq!(
            answer.stderr,
            "error: node node-z is not in the input, and no pod runs on it; there is node-a, node-b\n"
        );
    }
}

#[test]
fn rules_are_checked_applied_looked_at_and_taken_away() {
    let (_folder, shop) = shop();
    let netns = Netns::new();
    let at = ["--netns", &netns.0];
    let node = [shop.as_str(), "--node", "node-a"];
    let call = |command: &str, more: &[&str]| nopal(&[&[command], more, &at].concat());

    let checked = call("apply", &[&node[..], &["--check"]].concat());
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""));
    assert!(
        checked.stdout.contains("would create: "),
        "{}",
        checked.stdout
    );
    assert_eq!(netns.nft(&["list", "tables"]), "");
    assert_eq!(call("status", &node).code, 1);
    assert_eq!(
        call("flush", &[]).stdout,
        "there is no table inet nopal; nothing to take away\n"
    );

    for (epoch, deleted) in [(1, "deleted: nothing\n"), (2, "deleted: ")] {
        let applied = call("apply", &node);
        assert_eq!((applied.code, applied.stderr.as_str()), (0, ""));
        assert!(applied.stdout.contains(deleted), "{}", applied.stdout);
        let switched = format!("switched: the base chain, to epoch {epoch}, generation {epoch}\n");
        assert!(applied.stdout.contains(&switched), "{}", applied.stdout);
    }
    let status = call("status", &node);
    assert_eq!(status.code, 0);
    assert!(
        status.stdout.ends_with("it is what the policies mean\n"),
        "{}",
        status.stdout
    );

    let counted = "  shop/web ingress: 0 allowed, 0 denied\n";
    assert!(status.stdout.contains(counted), "{}", status.stdout);
    let by_class = call("status", &[]).stdout;
    assert!(by_class.contains("  class shop_web_"), "{by_class}");

    netns.nft(&[
        "delete",
        "element",
        "inet",
        "nopal",
        "in4_e2",
        "{ 10.0.1.10 }",
    ]);
    let drifted = call("status", &[&node[..], &["--format", "json"]].concat());
    assert_eq!(drifted.code, 1);
    let state: Value = serde_json::from_str(&drifted.stdout).unwrap();
    assert_eq!(state["inForce"]["epoch"], 2);
    assert_eq!(state["nft"].as_str().unwrap().split('.').count(), 3);
    let features = state["features"].as_array().unwrap();
    let needed = features.iter().filter(|feature| feature["needed"] == true);
    assert!(
        needed.clone().count() > 5 && needed.clone().all(|feature| feature["available"] == true)
    );
    let release = run("uname", &["-r"]);
    assert_eq!(state["kernel"], release.trim_end());
    assert!(
        status
            .stdout
            .contains(&format!("kernel {}, nft ", release.trim_end())),
        "{}",
        status.stdout
    );
    assert_eq!(state["inForce"]["denied"]["packets"], 0);
    let policy = &state["inForce"]["policies"][0];
    assert_eq!(policy["name"], "web");
    assert_eq!(policy["evaluated"]["packets"], 0);
    let classes = state["inForce"]["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 1);
    assert_eq!(state["drift"].as_array().unwrap().len(), 1);
    assert_eq!(call("status", &[]).code, 0);

    let flushed = call("flush", &[]);
    assert_eq!(flushed.code, 0);
    assert_eq!(netns.nft(&["list", "tables"]), "");
}

#[test]
fn rules_are_counted_where_that_is_asked_for() {
    let (_folder, shop) = shop();
    let netns = Netns::new();
    let node = [&shop, "--node", "node-a"];
    let at = ["--netns", &netns.0];
    let counting = nopal(&[&["apply"], &node[..], &["--count", "rules"], &at].concat());
    assert_eq!((counting.code, counting.stderr.as_str()), (0, ""));
    let rendered = nopal(&[&["render"], &node[..], &["--count", "rules"]].concat());
    assert!(
        rendered.stdout.contains("counter rule_i0_shop_web_"),
        "{}",
        rendered.stdout
    );

    let status = nopal(&[&["status"], &node[..], &at].concat());
    assert_eq!(status.code, 0, "{}", status.stdout);
    let line = "  shop/web ingress[0]: 0 allowed\n";
    assert!(status.stdout.contains(line), "{}", status.stdout);
    let by_counter = nopal(&[&["status"], &at[..]].concat()).stdout;
    assert!(by_counter.contains("  rule_i0_shop_web_"), "{by_counter}");
    let json = nopal(&[&["status"], &node[..], &["--format", "json"], &at].concat()).stdout;
    let state: Value = serde_json::from_str(&json).unwrap();
    let [rule] = &state["inForce"]["rules"].as_array().unwrap()[..] else {
        panic!("{json}");
    };
    assert_eq!(rule["name"], "web");
    assert_eq!(
        (&rule["rule"], &rule["allowed"]["packets"]),
        (&Value::from(0), &Value::from(0))
    );
    let counters = state["inForce"]["ruleCounters"].as_array().unwrap();
    assert_eq!(counters.len(), 1);

    let plain = nopal(&[&["apply"], &node[..], &at].concat());
    assert_eq!((plain.code, plain.stderr.as_str()), (0, ""));
    let status = nopal(&[&["status"], &node[..], &at].concat());
    assert_eq!(status.code, 0, "{}", status.stdout);
    assert!(!status.stdout.contains("ingress[0]"), "{}", status.stdout);
}

#[test]
fn a_change_of_the_policies_is_drift() {
    let (folder, shop) = shop();
    let netns = Netns::new();
    nopal(&["apply", &shop, "--node", "node-a", "--netns", &netns.0]);
    let changed = SHOP.replace("port: 80", "port: 443");
    let changed = text(&file(&folder, "changed.yaml", &changed));
    let status = nopal(&["status", &changed, "--node", "node-a", "--netns", &netns.0]);
    assert_eq!(status.code, 1);
    assert!(
        status.stdout.contains("differences from"),
        "{}",
        status.stdout
    );
}

#[test]
fn what_the_api_server_refuses_is_told_and_enforced_closed() {
    let (folder, _) = shop();
    let bad = text(&file(&folder, "bad.yaml", &format!("{SHOP}{REFUSED}")));
    let netns = Netns::new();
    let applied = nopal(&["apply", &bad, "--node", "node-a", "--netns", &netns.0]);
    assert_eq!(applied.code, 1, "{}", applied.stderr);
    assert!(
        applied.stderr.starts_with("warning: "),
        "{}",
        applied.stderr
    );
    assert!(
        applied.stderr.contains("shop/refused"),
        "{}",
        applied.stderr
    );
    let table = netns.nft(&["list", "table", "inet", "nopal"]);
    assert!(table.contains("10.0.1.10 : goto"), "{table}");
}

#[test]
fn what_cannot_be_read_keeps_everything_as_it_is() {
    let (folder, _) = shop();
    let broken = text(&file(&folder, "broken.yaml", &format!("{SHOP}---\n[")));
    let netns = Netns::new();
    let answer = nopal(&["apply", &broken, "--node", "node-a", "--netns", &netns.0]);
    assert_eq!((answer.code, answer.stdout.as_str()), (2, ""));
    assert!(
        answer.stderr.contains("nothing was applied"),
        "{}",
        answer.stderr
    );
    assert_eq!(netns.nft(&["list", "tables"]), "");
}

#[test]
fn a_namespace_that_is_not_there_is_named() {
    for command in ["flush", "status"] {
        let answer = nopal(&[command, "--netns", "nopal-nowhere"]);
        assert_eq!(answer.code, 2);
        assert!(
            answer
                .stderr
                .contains("/run/netns/nopal-nowhere does not exist"),
            "{}",
            answer.stderr
        );
    }
}

#[test]
fn a_table_of_our_name_that_is_somebody_elses_is_left_alone() {
    let (_folder, shop) = shop();
    let netns = Netns::new();
    netns.nft(&[
        "table inet nopal { set blocked { type ipv4_addr; elements = { 203.0.113.9 }; }; }",
    ]);
    let before = netns.nft(&["list", "ruleset"]);
    let at = ["--netns", &netns.0];
    let node = [shop.as_str(), "--node", "node-a"];
    for (command, way_out) in [
        (
            &[&["apply"], &node[..], &at].concat(),
            "`nft delete table inet nopal`",
        ),
        (
            &[&["apply", "--check"], &node[..], &at].concat(),
            "`nft delete table inet nopal`",
        ),
        (&[&["flush"], &at[..]].concat(), "--force takes it away"),
    ] {
        let answer = nopal(command);
        assert_eq!(
            (answer.code, answer.stdout.as_str()),
            (2, ""),
            "{command:?}"
        );
        let found = "error: the table inet nopal is not one of nopal's: it has set blocked";
        assert!(
            answer.stderr.starts_with(found) && answer.stderr.contains(way_out),
            "{}",
            answer.stderr
        );
        assert_eq!(netns.nft(&["list", "ruleset"]), before);
    }
    assert_eq!(nopal(&[&["flush", "--force"], &at[..]].concat()).code, 0);
    assert_eq!(nopal(&[&["apply"], &node[..], &at].concat()).code, 0);
}

#[test]
fn while_somebody_is_at_work_on_the_table_it_is_not_changed() {
    let (_folder, shop) = shop();
    let netns = Netns::new();
    let at = ["--netns", &netns.0];
    let node = [shop.as_str(), "--node", "node-a"];
    let apply = [&["apply"], &node[..], &at].concat();
    let flush = [&["flush"], &at[..]].concat();
    assert_eq!(nopal(&apply).code, 0);
    let before = netns.nft(&["list", "ruleset"]);
    let lock = Lock::take(&Nft::new().in_namespace(&netns.0), &Config::default().table).unwrap();
    let own = format!("process {} (", std::process::id());
    for command in [&apply, &flush] {
        let answer = nopal(command);
        assert_eq!(
            (answer.code, answer.stdout.as_str()),
            (2, ""),
            "{command:?}"
        );
        assert!(
            answer.stderr.contains(&own)
                && answer.stderr.contains("is at work on the table inet nopal"),
            "{}",
            answer.stderr
        );
        assert_eq!(netns.nft(&["list", "ruleset"]), before);
    }
    for command in [
        [&["apply", "--check"], &node[..], &at].concat(),
        [&["status"], &at[..]].concat(),
    ] {
        assert_eq!(nopal(&command).code, 0, "{command:?} only looks");
    }
    drop(lock);
    assert_eq!(nopal(&flush).code, 0);
}
