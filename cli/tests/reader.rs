//! What the reader makes of YAML's corners, and the fuzz target's body over seeds and their mutations.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use nopal::fuzz::feed;
use nopal::manifest::{Content, Manifests, Source, read_source};

fn read(text: &str) -> Manifests {
    let manifests = read_source(
        &Arc::new(Source::new("in".to_owned(), text.to_owned())),
        "default",
    );
    assert_eq!(manifests.errors, []);
    manifests
}

fn names(text: &str) -> Vec<String> {
    read(text)
        .objects
        .iter()
        .map(|object| object.reference.to_string())
        .collect()
}

const POLICY: &str =
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec:\n";

/// The problems of a policy with this spec.
fn problems(spec: &str) -> Vec<String> {
    let manifests = read(&format!("{POLICY}{spec}"));
    let Content::Policy(policy) = &manifests.objects[0].content else {
        panic!("no policy")
    };
    let (_, problems) = policy_core::lower::policy(&policy.object, &policy.unread);
    problems
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.kind))
        .collect()
}

#[test]
fn lists_json_and_several_documents_are_followed() {
    let pod = |name: &str| {
        format!(r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "{name}"}}}}"#)
    };
    let list = format!(
        r#"{{"apiVersion": "v1", "kind": "List", "items": [{}, {}]}}"#,
        pod("a"),
        pod("b")
    );
    assert_eq!(names(&list), ["Pod default/a", "Pod default/b"]);
    assert_eq!(
        names(&format!("{}\n---\n{}\n---\n", pod("a"), pod("b"))),
        ["Pod default/a", "Pod default/b"]
    );
    assert_eq!(
        names(&format!("{}\n{}\n", pod("a"), pod("b"))),
        ["Pod default/a", "Pod default/b"]
    );
    let typed = "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: c, namespace: x}\n";
    assert_eq!(names(typed), ["Pod x/c"]);
}

#[test]
fn json_may_be_indented_with_tabs_and_written_in_one_line() {
    let text = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Namespace\",\n\t\"metadata\": {\"name\": \"a\\u0062\"}\n}";
    assert_eq!(names(text), ["Namespace ab"]);
}

#[test]
fn other_kinds_are_passed_over() {
    let manifests =
        read("apiVersion: crd.projectcalico.org/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n");
    assert!(manifests.objects.is_empty());
    assert_eq!(manifests.passed_over.len(), 1);
}

#[test]
fn anchors_and_merge_keys_work() {
    let spec = "  podSelector: &all {}\n  ingress:\n  - &rule\n    from: [{podSelector: *all}]\n    ports: [{port: 80}]\n  - <<: *rule\n    ports: [{port: 81}]\n";
    assert_eq!(problems(spec), Vec::<String>::new());
    let manifests = read(&format!("{POLICY}{spec}"));
    assert!(manifests.objects[0].repeated.is_empty());
    let Content::Policy(policy) = &manifests.objects[0].content else {
        panic!("no policy")
    };
    let rules = policy
        .object
        .spec
        .as_ref()
        .unwrap()
        .ingress
        .as_ref()
        .unwrap();
    assert_eq!(rules[1].from.as_ref().unwrap().len(), 1);
    assert_ne!(rules[0].ports, rules[1].ports);
}

#[test]
fn repeated_keys_are_seen_and_the_last_one_counts() {
    let manifests = read("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  name: b\n");
    assert_eq!(manifests.objects[0].reference.name, "b");
    let key = &manifests.objects[0].repeated[0];
    assert_eq!(
        (key.earlier.position().line, key.later.position().line),
        (4, 5)
    );
}

#[test]
fn values_are_typed_as_the_api_server_types_them() {
    assert_eq!(
        problems("  podSelector: {matchLabels: {a: y, b: 1, c: \"on\", d: null, e: 2001-01-01}}\n"),
        [
            "spec.podSelector.matchLabels.a: expected a string, found the boolean y",
            "spec.podSelector.matchLabels.b: expected a string, found the number 1",
            "spec.podSelector.matchLabels.d: expected a string, found nothing",
        ]
    );
    assert_eq!(
        problems("  ingress: [{ports: [{port: 0x50}, {port: 80.0}, {port: http}]}]\n"),
        Vec::<String>::new()
    );
    assert_eq!(
        problems("  ingress: [{ports: [{port: 1.5}]}]\n"),
        ["spec.ingress[0].ports[0].port: expected a port number or name, found the number 1.5"]
    );
}

#[test]
fn a_null_entry_never_becomes_a_rule_for_everyone() {
    let manifests = read(&format!("{POLICY}  ingress: [null]\n"));
    let Content::Policy(policy) = &manifests.objects[0].content else {
        panic!("no policy")
    };
    let (lowered, _) = policy_core::lower::policy(&policy.object, &policy.unread);
    assert_eq!(lowered.ingress, [policy_core::policy::Rule::NotUnderstood]);
}

#[test]
fn any_bytes_are_read_without_panic() {
    let seeds = [
        POLICY.to_owned()
            + "  ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]\n",
        "a: &a [*a, {<<: *a}]\n--- %\n...\n? [x]\n: |+2\n  y\n".to_owned(),
        "%YAML 1.1\n---\n!!str y: ! 'z'\n\"\\u00e4\": >-\n".to_owned(),
        "\u{feff}{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [null, {}]}".to_owned(),
    ];
    // A linear congruential generator: the same mutations in every run.
    let mut state = 42_u64;
    let mut random = |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % limit
    };
    let pieces: [&[u8]; 16] = [
        b"\n---\n",
        b"&a ",
        b"*a",
        b"<<: ",
        b"{",
        b"}",
        b"[",
        b"]",
        b": ",
        b"- ",
        b"\t",
        b"\"",
        b"|",
        b"\xff",
        b"\0",
        b"\xc3\xa4",
    ];
    for seed in &seeds {
        feed("manifest", seed.as_bytes());
        for _ in 0..2_000 {
            let mut data = seed.clone().into_bytes();
            for _ in 0..=random(4) {
                let at = random(data.len() + 1);
                match random(3) {
                    0 => drop(data.splice(at..at, pieces[random(pieces.len())].iter().copied())),
                    1 => data.truncate(at),
                    _ => drop(data.drain(at..(at + random(9)).min(data.len()))),
                }
            }
            feed("manifest", &data);
        }
    }
}
