//! The XML of `nopal lint` and `nopal test`: well formed whatever the input holds, and what readers of `JUnit` and Checkstyle
//! reports demand.
//!
//! `JUnit` has no standard. The demands here are those that the schemas of Surefire, of Jenkins' plugins and of Ant's
//! reports have in common for what nopal writes. Checkstyle's are those of its `XMLLogger`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use tempfile::TempDir;

/// An element with its attributes and the position of the one that it stands in.
#[derive(Debug)]
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    parent: Option<usize>,
}

impl Element {
    fn number(&self, name: &str) -> usize {
        self.attributes[name].parse().unwrap()
    }
}

/// The elements of a document. Fails where it is not well formed (XML 1.0, section 2.1), and where it uses more of XML
/// than nopal writes.
fn elements(text: &str) -> Vec<Element> {
    let rest = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut rest = rest.expect("a declaration");
    assert!(text.chars().all(is_char), "{text:?}");
    let mut found: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    while let Some(start) = rest.find('<') {
        let (data, tag) = rest.split_at(start);
        is_data(data);
        assert!(
            !open.is_empty() || data.trim().is_empty(),
            "text outside: {data:?}"
        );
        let end = tag.find('>').expect("a tag ends");
        let inner = &tag[1..end];
        rest = &tag[end + 1..];
        if let Some(name) = inner.strip_prefix('/') {
            let opened = open.pop().expect("an element is open");
            assert_eq!(found[opened].name, name);
            continue;
        }
        assert!(!open.is_empty() || found.is_empty(), "a second root");
        let (inner, is_empty) = match inner.strip_suffix('/') {
            Some(inner) => (inner, true),
            None => (inner, false),
        };
        let (name, attributes) = inner.split_once(' ').unwrap_or((inner, ""));
        assert!(is_name(name), "{name:?}");
        if !is_empty {
            open.push(found.len());
        }
        found.push(Element {
            name: name.to_owned(),
            attributes: attributes_of(attributes),
            parent: open.iter().rev().find(|at| **at != found.len()).copied(),
        });
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{rest:?}");
    found
}

/// Section 2.2: U+0000 to U+001F are none but for three, nor are U+FFFE and U+FFFF.
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

/// Sections 2.4 and 4.6: `<` and `&` stand for themselves nowhere.
fn is_data(text: &str) {
    assert!(!text.contains('<') && !text.contains("]]>"), "{text:?}");
    for entity in text.split('&').skip(1) {
        let known = ["amp;", "lt;", "gt;", "quot;", "apos;"];
        assert!(
            known.iter().any(|known| entity.starts_with(known)),
            "{text:?}"
        );
    }
}

fn attributes_of(mut text: &str) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").expect("a value in quotes");
        let (value, rest) = rest.split_once('"').expect("a value ends");
        assert!(is_name(name), "{name:?}");
        is_data(value);
        let earlier = attributes.insert(name.to_owned(), value.to_owned());
        assert_eq!(earlier, None, "{name} stands twice");
        text = rest.strip_prefix(' ').unwrap_or(rest);
    }
    attributes
}

/// Names and values that hold everything that XML cannot, and what it gives a meaning to.
const HOSTILE: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: \"a\\u0001\\u0000\\u000b\\u001f\\ufffe\\uffff]]>&<x y='z'>\\\"\\t\\n\\r\\u0085\", namespace: shop}
spec:
  podSelector: {matchLabels: {\"k\\u0002<\": \"v\\u0003&\"}}
  ingress:
  - from:
    - podSelector: {}
      ipBlock: {cidr: \"]]>\\u0008\"}
    ports: [{port: \"<&>\\u0007\"}]
";

const TESTS: &str = "\
apiVersion: nopal.dev/v1alpha1
kind: ConnectivityTest
tests:
- {name: \"n\\u0001<&]]>\", from: {ip: 10.0.0.1}, to: {ip: 10.0.0.2}, port: 80, expect: deny}
- {name: \"m\\u000c\", from: {pod: \"x\\u0001/<\"}, to: {ip: 10.0.0.2}, port: 80, expect: deny}
- {name: fine, from: {ip: 10.0.0.1}, to: {ip: 10.0.0.2}, port: 80, expect: allow}
";

fn nopal(arguments: &[&str]) -> String {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("a\u{1}<&\">.yaml", HOSTILE);
    write("broken\u{7}.yaml", "a: [\n");
    write("tests.yaml", TESTS);
    write(
        "pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n",
    );
    let output = Command::new(env!("CARGO_BIN_EXE_nopal"))
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn is_junit(elements: &[Element]) {
    let has = |element: &Element, names: &[&str]| {
        for name in names {
            assert!(
                element.attributes.contains_key(*name),
                "{name}: {element:?}"
            );
        }
    };
    let inside = |at: usize, name: &str| {
        let mut inside = elements.iter();
        let of = |element: &&Element| element.parent == Some(at) && element.name == name;
        inside.by_ref().filter(of).count()
    };
    for (at, element) in elements.iter().enumerate() {
        let parent = element.parent.map(|parent| elements[parent].name.as_str());
        match (element.name.as_str(), parent) {
            ("testsuites", None) => has(element, &["name", "tests", "failures", "errors"]),
            ("testsuite", Some("testsuites")) => {
                has(element, &["name", "tests", "failures", "errors", "skipped"]);
                assert_eq!(element.number("tests"), inside(at, "testcase"));
            }
            ("testcase", Some("testsuite")) => {
                has(element, &["name", "classname", "time"]);
                assert!(inside(at, "failure") + inside(at, "error") <= 1);
            }
            ("failure" | "error", Some("testcase")) => has(element, &["message", "type"]),
            ("system-out", Some("testsuite")) => {}
            other => panic!("{other:?}"),
        }
    }
    for (total, kind) in [
        ("tests", "testcase"),
        ("failures", "failure"),
        ("errors", "error"),
    ] {
        let all = elements.iter().filter(|element| element.name == kind);
        assert_eq!(elements[0].number(total), all.count(), "{kind}");
        let suites = elements
            .iter()
            .filter(|element| element.name == "testsuite");
        let sum: usize = suites.map(|suite| suite.number(total)).sum();
        assert_eq!(elements[0].number(total), sum, "{kind}");
    }
}

#[test]
fn junit_of_lint_is_well_formed_and_counts_right() {
    let all = elements(&nopal(&["lint", ".", "--format", "junit", "--show-info"]));
    is_junit(&all);
    let count = |name: &str| all.iter().filter(|element| element.name == name).count();
    assert!(count("failure") > 3 && count("error") == 1, "{all:?}");
    is_junit(&elements(&nopal(&[
        "lint", "pod.yaml", "--format", "junit",
    ])));
}

#[test]
fn junit_of_test_is_well_formed_and_counts_right() {
    let all = elements(&nopal(&[
        "test",
        "pod.yaml",
        "--tests",
        "tests.yaml",
        "--coverage",
        "--format",
        "junit",
    ]));
    is_junit(&all);
    let names: Vec<&str> = all.iter().map(|element| element.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "testsuites",
            "testsuite",
            "testcase",
            "failure",
            "testcase",
            "testcase",
            "error",
            "system-out"
        ]
    );
}

#[test]
fn checkstyle_is_well_formed_and_says_what_its_readers_ask_for() {
    let all = elements(&nopal(&[
        "lint",
        ".",
        "--format",
        "checkstyle",
        "--show-info",
    ]));
    assert_eq!((all[0].name.as_str(), all[0].parent), ("checkstyle", None));
    assert!(all[0].attributes.contains_key("version"));
    let mut names = Vec::new();
    for element in &all[1..] {
        let parent = element.parent.map(|parent| all[parent].name.as_str());
        match (element.name.as_str(), parent) {
            ("file", Some("checkstyle")) => names.push(&element.attributes["name"]),
            ("error", Some("file")) => {
                assert!(element.number("line") > 0);
                assert!(!element.attributes.contains_key("column") || element.number("column") > 0);
                let severity = element.attributes["severity"].as_str();
                assert!(["ignore", "info", "warning", "error"].contains(&severity));
                assert!(!element.attributes["message"].is_empty());
                assert!(element.attributes["source"].starts_with("nopal."));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        names,
        [
            "a\u{fffd}&lt;&amp;&quot;&gt;.yaml",
            "broken\u{fffd}.yaml",
            "pod.yaml"
        ]
    );
}
