//! The short way against the parser: whatever it takes, it takes for the same.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use policy_core::testing::Rng;
use walkdir::WalkDir;

use crate::manifest::{agrees_with_parser, documents};

/// So many texts are made by changing others, and as many out of nothing.
const TEXTS: u64 = 6_000;

/// What YAML gives a meaning to, and what lies next to that.
const PIECES: [&str; 52] = [
    ":", ": ", "- ", "-", "---\n", "...\n", "? ", "&a ", "*a", "<<: *a", "!!str ", "%", "|\n",
    ">-\n", "{", "}", "[", "]", ",", ", ", "{}", "[]", "[a, b]", "{a: b}", "'", "\"", "'a'",
    "\"b\"", "''", "\\", "#", " #", "\n# c\n", "\t", "\n", "\r\n", " ", "  ", "\n  ", "\n- ",
    "a: b\n", "a:\n", "- a: b\n", "~", "null", "-a", "::", "x", "\0", "é", "\u{85}", "\u{feff}",
];

/// What kubectl and helm print, and what people write shortly.
const PRINTED: &str = "\
# Source: shop/templates/web.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  annotations:
    \"helm.sh/hook\": post-install
    example.com/note: it is said that this, too, is plain (mostly)
  creationTimestamp: null
  labels: {app: web, app.kubernetes.io/name: \"web\"}
spec:
  replicas: 3

  template:
    spec:
      containers:
      - args: [--listen=:8080, -v, 'a b', \"::1\", {a: [], b: {}}]
        image: registry.example.com:5000/web:1.2
        # The port that people know.
        ports:
        - containerPort: 8080
          name: http
        - {containerPort: 9090, protocol: TCP,}
      -   name: second
      hostAliases:
        - ip: 2001:db8::1
          hostnames:
          - a
          - -b
";

/// How many of a text's documents are taken; each is compared.
fn taken(text: &str) -> usize {
    let documents = documents::split(text).into_iter();
    documents
        .filter(|document| agrees_with_parser(&text[document.clone()]))
        .count()
}

fn texts() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    let paths = entries.map(|entry| entry.unwrap().into_path());
    let manifests = paths.filter(|path| {
        let extension = path.extension().unwrap_or_default();
        extension == "yaml" || extension == "yml" || extension == "json"
    });
    manifests
        .map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned())
        .chain([PRINTED.to_owned()])
        .collect()
}

fn place(text: &str, rng: &mut Rng) -> usize {
    let mut place = rng.below(text.len() + 1);
    while !text.is_char_boundary(place) {
        place -= 1;
    }
    place
}

fn change(text: &mut String, rng: &mut Rng) {
    let start = place(text, rng);
    if rng.chance(30) {
        let mut end = (start + rng.below(8)).min(text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        text.replace_range(start..end, "");
    } else {
        text.insert_str(start, PIECES[rng.below(PIECES.len())]);
    }
}

/// A value in the way that tools print it, from a place behind a key or a dash on.
fn value(text: &mut String, indent: usize, depth: usize, rng: &mut Rng) {
    const SCALARS: [&str; 8] = [
        "a",
        "-1",
        "0x10",
        "\"a: b\"",
        "'# c'",
        "a b:c",
        "[x, {y: z}]",
        "{}",
    ];
    let margin = " ".repeat(indent);
    match rng.below(if depth < 4 { 4 } else { 2 }) {
        0 | 1 => writeln!(text, " {}", SCALARS[rng.below(SCALARS.len())]).unwrap(),
        2 => {
            text.push('\n');
            for key in 0..=rng.below(3) {
                write!(text, "{margin}  k{key}:").unwrap();
                value(text, indent + 2, depth + 1, rng);
            }
        }
        _ => {
            text.push('\n');
            let margin = if rng.chance(50) {
                margin
            } else {
                margin + "  "
            };
            for _ in 0..=rng.below(3) {
                write!(text, "{margin}- k:").unwrap();
                value(text, margin.len() + 2, depth + 1, rng);
            }
        }
    }
}

#[test]
fn what_tools_print_is_taken() {
    assert_eq!(taken(PRINTED), 1);
    assert_eq!(taken("---\na: b\n---\n- a\n- b\n--- \na: b"), 2);
}

#[test]
fn texts_of_the_tree_are_read_alike() {
    let texts = texts();
    let (mut all, mut short) = (0, 0);
    for text in &texts {
        all += documents::split(text).len();
        short += taken(text);
    }
    assert!(short * 2 > all, "only {short} of {all} are plain");
}

#[test]
fn changed_texts_are_read_alike() {
    let texts = texts();
    let mut short = 0;
    for seed in 0..TEXTS {
        let mut rng = Rng::new(seed);
        let text = &texts[rng.below(texts.len())];
        let documents = documents::split(text);
        let mut changed = text[documents[rng.below(documents.len())].clone()].to_owned();
        for _ in 0..=rng.below(3) {
            change(&mut changed, &mut rng);
        }
        short += taken(&changed);
    }
    assert!(short > 500, "only {short} are plain");
}

#[test]
fn made_up_texts_are_read_alike() {
    let mut short = 0;
    for seed in 0..TEXTS {
        let mut rng = Rng::new(seed);
        let mut text = String::new();
        if rng.chance(50) {
            text.push_str("k:");
            value(&mut text, 0, 0, &mut rng);
            if rng.chance(50) {
                change(&mut text, &mut rng);
            }
        } else {
            for _ in 0..3 + rng.below(12) {
                text.push_str(PIECES[rng.below(PIECES.len())]);
            }
        }
        short += taken(&text);
    }
    assert!(short > 1_500, "only {short} are plain");
}

#[test]
fn finer_points_are_left_to_the_parser() {
    for text in [
        "",
        "# nothing\n",
        "a",
        "[a, b]\n",
        " a: b\n",
        "a:\n",
        "a: b\n  c\n",
        "a: b # c\n",
        "a: &b c\n",
        "a: *b\n",
        "a: !!str 1\n",
        "a: |\n  b\n",
        "a: 'it''s'\n",
        "a: \"\\n\"\n",
        "a: b: c\n",
        "a: é\n",
        "a:\tb\n",
        "a: b\r\n",
        "a: b\n...\n",
        "a: [b: c]\n",
        "a: {b}\n",
        "a: [b,\n c]\n",
        "- - a\n",
        "? a\n: b\n",
        "a: b\n c: d\n",
        "a:\n  b: c\n d: e\n",
        "a: [b\n",
        "a: \"b\n",
        "%YAML 1.1\n---\na: b\n",
    ] {
        assert_eq!(taken(text), 0, "{text:?}");
    }
    let deep = |levels| "[".repeat(levels) + &"]".repeat(levels);
    assert_eq!(taken(&format!("a: {}\n", deep(30))), 1);
    assert_eq!(taken(&format!("a: {}\n", deep(100))), 0);
    assert_eq!(taken(&format!("a: {}\n", deep(100_000))), 0);
}
