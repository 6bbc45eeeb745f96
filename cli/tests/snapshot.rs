//! A snapshot says what policies mean, and nothing else changes it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::Command;

use policy_core::testing::{Rng, Size, random_cluster};
use serde_json::Value;
use tempfile::TempDir;

fn nopal(folder: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
    let output = command.args(arguments).current_dir(folder.path()).output();
    let output = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

const SHOP: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}, {ipBlock: {cidr: 203.0.113.0/24}}]
    ports: [{port: 5432}]
";

const TEXT: &str = "\
nopal snapshot, format 1

all other namespaces
shop/[other]
shop/web
  ingress open
    from any address: all
    from every pod: all
  egress open
    to any address: all

shop/db
  ingress isolated
    from 203.0.113.0/24: TCP 5432
    from shop/web: TCP 5432
  egress open
    to any address: all
";

#[test]
fn it_names_isolation_and_peers_and_is_compared_with_the_file() {
    let folder = TempDir::new().unwrap();
    let path = |name| folder.path().join(name);
    fs::write(path("shop.yaml"), SHOP).unwrap();
    let (code, text, _) = nopal(&folder, &["snapshot", "shop.yaml"]);
    assert_eq!((code, text.as_str()), (0, TEXT));

    let file = ["snapshot", "shop.yaml", "--file", "s"];
    assert_eq!(nopal(&folder, &file).0, 0);
    assert_eq!(fs::read_to_string(path("s")).unwrap(), TEXT);
    let (code, _, errors) = nopal(&folder, &file);
    assert!(errors.contains("is there already"), "{errors}");
    assert_eq!(code, 2);

    let check = [&file[..], &["--check"]].concat();
    assert_eq!(nopal(&folder, &check), (0, String::new(), String::new()));
    fs::write(
        path("shop.yaml"),
        SHOP.replace("{port: 5432}", "{port: 5433}"),
    )
    .unwrap();
    let (code, text, _) = nopal(&folder, &check);
    assert_eq!(
        text,
        "\
shop/db
+ ingress from 203.0.113.0/24: TCP 5433
+ ingress from shop/web: TCP 5433
- ingress from 203.0.113.0/24: TCP 5432
- ingress from shop/web: TCP 5432

"
    );
    assert_eq!(code, 1);

    let update = [&file[..], &["--update"]].concat();
    assert_eq!(nopal(&folder, &update).0, 0);
    assert_eq!(nopal(&folder, &check).0, 0);
}

#[test]
fn what_cannot_be_compared_is_said() {
    let folder = TempDir::new().unwrap();
    let path = |name| folder.path().join(name);
    fs::write(path("shop.yaml"), SHOP).unwrap();
    let check = ["snapshot", "shop.yaml", "--file", "s", "--check"];
    for (held, message) in [
        (None, "write the first one with --update"),
        (Some("kind: Pod\n"), "is no snapshot of nopal"),
        (Some("nopal snapshot, format 7\n"), "is of another version"),
    ] {
        if let Some(held) = held {
            fs::write(path("s"), held).unwrap();
        }
        let (code, _, errors) = nopal(&folder, &check);
        assert!(errors.contains(message), "{errors}");
        assert_eq!(code, 2);
    }
    fs::write(path("shop.yaml"), "kind: [").unwrap();
    let update = ["snapshot", "shop.yaml", "--file", "s", "--update"];
    let (code, _, errors) = nopal(&folder, &update);
    assert!(errors.contains("no snapshot"), "{errors}");
    assert_eq!(code, 2);
    let held = fs::read_to_string(path("s")).unwrap();
    assert_eq!(held, "nopal snapshot, format 7\n");
}

#[test]
fn order_and_names_of_files_change_nothing() {
    for seed in 0..20 {
        let folder = TempDir::new().unwrap();
        let list: Value =
            serde_json::from_str(&random_cluster(seed, Size::SMALL).to_json_list()).unwrap();
        fs::write(folder.path().join("a.json"), list.to_string()).unwrap();
        let mut objects = list["items"].as_array().unwrap().clone();
        Rng::new(seed).shuffle(&mut objects);
        let many = folder.path().join("many");
        fs::create_dir(&many).unwrap();
        for (number, object) in objects.iter().enumerate() {
            fs::write(many.join(format!("{number}.json")), object.to_string()).unwrap();
        }
        let (_, one, _) = nopal(&folder, &["snapshot", "a.json"]);
        let (_, other, _) = nopal(&folder, &["snapshot", "many"]);
        assert!(one.lines().count() > 5, "seed {seed}: {one}");
        assert_eq!(one, other, "seed {seed}");
    }
}
