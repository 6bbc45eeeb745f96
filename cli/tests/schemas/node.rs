//! What is answered from a kernel. Needs root, nft and ip; it fails without them.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{compared, is_filled};

const SHOP: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-a}
status: {podIPs: [{ip: 10.0.1.10}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {}
  ingress:
  - from: [{podSelector: {}}]
    ports: [{port: 80}]
";

/// A network namespace that lives as long as a test.
struct Netns(String);

impl Netns {
    fn new() -> Self {
        let netns = Self(format!("nopal-schemas-{}", std::process::id()));
        netns.ip("add");
        netns
    }

    fn ip(&self, verb: &str) {
        let status = Command::new("ip")
            .args(["netns", verb, &self.0])
            .status()
            .unwrap();
        assert!(status.success(), "ip netns {verb}");
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        self.ip("del");
    }
}

#[test]
fn status_of_nothing_and_of_rules_with_counters() {
    let netns = Netns::new();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("shop.yaml"), SHOP).unwrap();
    fs::write(
        folder.path().join("open.yaml"),
        SHOP.replace("port: 80", "port: 81"),
    )
    .unwrap();
    let status = |paths: &[&str]| -> Value {
        let end = ["--netns", &netns.0, "--format", "json"];
        let of = [&["status"], paths, &end].concat();
        compared("status", &of, &folder)
    };
    assert!(status(&[])["inForce"].is_null());
    let applied = Command::new(env!("CARGO_BIN_EXE_nopal"))
        .args(["apply", "shop.yaml", "--node", "node-a", "--count", "rules"])
        .args(["--netns", &netns.0])
        .current_dir(folder.path())
        .output()
        .unwrap();
    // The rules are in force, and no interface of this namespace leads to the pod.
    let said = String::from_utf8_lossy(&applied.stderr);
    assert_eq!(applied.status.code(), Some(1), "{said}");
    assert!(said.contains("10.0.1.10"), "{said}");
    let alone = status(&[]);
    is_filled(&alone, &["/inForce/classes", "/inForce/ruleCounters"]);
    assert!(alone["drift"].is_null() && alone["inForce"]["rules"].is_null());
    let compared = status(&["open.yaml", "--node", "node-a"]);
    is_filled(
        &compared,
        &["/inForce/policies", "/inForce/rules", "/drift", "/features"],
    );
}
