//! The lock of a table and the probing of features, in network namespaces. Needs root, nft and ip, and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::grants::{configs, every_grant};
use common::netns::Netns;
use common::sample;
use nft_backend::config::{Config, Log};
use nft_backend::features::{FEATURES, Features, Need};
use nft_backend::layout::lay_out;
use nft_backend::lock::{Holder, Lock, LockError};
use nft_backend::names::Name;
use nft_backend::nft::Nft;
use nft_backend::notifications::{Notices, Notifications};
use nft_backend::ruleset::Ruleset;
use nft_backend::statement::Statement;

fn nft(netns: &Netns) -> Nft {
    Nft::new().in_namespace(netns.path())
}

fn table() -> Name {
    Config::default().table
}

fn holder(netns: &Netns, table: &Name) -> Holder {
    match Lock::take(&nft(netns), table) {
        Err(LockError::Held { holder, .. }) => holder,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_table_has_one_lock_in_each_namespace() {
    let (netns, other) = (Netns::new(), Netns::new());
    let lock = Lock::take(&nft(&netns), &table()).unwrap();
    let found = holder(&netns, &table());
    assert_eq!(found.pid, Some(std::process::id()));
    assert_eq!(found.user, 0);
    Lock::take(&nft(&netns), &Name::table("nopal_too").unwrap()).unwrap();
    Lock::take(&nft(&other), &table()).unwrap();
    drop(lock);
    Lock::take(&nft(&netns), &table()).unwrap();
}

#[test]
fn a_namespace_that_is_not_there_is_no_lock() {
    let nowhere = Nft::new().in_namespace("nopal-nowhere");
    let error = Lock::take(&nowhere, &table()).unwrap_err();
    assert!(matches!(error, LockError::System { .. }), "{error}");
}

/// A process that binds the name of our lock, and says when it has.
fn bind(netns: &Netns, user: &str) -> Child {
    bind_and(netns, user, "sleep 60")
}

/// The same, and what it does then.
fn bind_and(netns: &Netns, user: &str, then: &str) -> Child {
    let script = "use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0) or die; \
                  bind(S, pack_sockaddr_un(\"\\0nopal/inet/nopal\")) or die; listen(S, 5) or die; \
                  $| = 1; print 1; ";
    let script = format!("{script}{then}");
    let path = format!("--net={}", netns.path().display());
    let mut child = Command::new("nsenter")
        .args([
            &path,
            "setpriv",
            "--reuid",
            user,
            "--regid",
            user,
            "--clear-groups",
        ])
        .args(["perl", "-e", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

#[test]
fn what_is_left_of_a_process_that_was_killed_is_waited_for() {
    let netns = Netns::new();
    // Its child has the socket for a moment longer.
    let mut killed = bind_and(&netns, "0", "sleep 1 unless fork");
    killed.wait().unwrap();
    Lock::take(&nft(&netns), &table()).unwrap();
}

#[test]
fn a_process_that_ends_leaves_no_lock_and_one_without_rights_holds_none() {
    let netns = Netns::new();
    let mut root = bind(&netns, "0");
    let found = holder(&netns, &table());
    assert_eq!(
        (found.pid, found.name.as_deref()),
        (Some(root.id()), Some("perl"))
    );
    root.kill().unwrap();
    root.wait().unwrap();
    drop(Lock::take(&nft(&netns), &table()).unwrap());
    let mut nobody = bind(&netns, "65534");
    Lock::take(&nft(&netns), &table()).unwrap();
    nobody.kill().unwrap();
    nobody.wait().unwrap();
}

#[test]
fn probing_finds_what_is_needed_and_changes_nothing() {
    let netns = Netns::new();
    let kernel = nft(&netns);
    let mut notices = Notifications::of(&kernel, &Name::table("nopal_probe0").unwrap()).unwrap();
    let features = Features::probe(&kernel).unwrap();
    features.require(&Config::default()).unwrap();
    assert_eq!(features.found.len(), FEATURES.len());
    assert_eq!(netns.run(&["nft", "list", "ruleset"]), "");
    assert_eq!(notices.read().unwrap(), []);
}

/// What is put into tables to try all features.
fn probes() -> String {
    let folder = tempfile::tempdir().unwrap();
    let (path, tried) = (folder.path().join("nft"), folder.path().join("tried"));
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec nft --version\nexec cat >> {}\n",
        tried.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Features::probe(&Nft::new().with_program(path)).unwrap();
    std::fs::read_to_string(tried).unwrap()
}

/// The text with one name, number, family and direction in the place of all.
fn kind_of(text: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    let text = text.replace("ipv6_addr", "ipv4_addr");
    for word in text.split_whitespace() {
        let word = match (words.last(), word) {
            (Some(&("jump" | "goto" | "name")), _) => "NAME",
            (_, "ip6") => "ip",
            (_, "daddr") => "saddr",
            (_, "sport") => "dport",
            (_, word) if word.starts_with('@') => "@NAME",
            (_, word) if word.ends_with("/second") => "RATE",
            (_, word) if word.starts_with(|c: char| c.is_ascii_digit()) => "NUMBER",
            (_, word) => word,
        };
        words.push(word);
    }
    words.join(" ")
}

/// The kinds of statements and of sets that a ruleset has, as a probe would have them.
fn kinds(ruleset: &Ruleset) -> BTreeSet<String> {
    let rules = ruleset.chains.values().flat_map(|chain| &chain.rules);
    let statements = rules
        .flat_map(|rule| &rule.statements)
        .map(|statement| match statement {
            Statement::Log { target, .. } => {
                let (prefix, target) = ("nopal-deny ".into(), *target);
                Statement::Log { prefix, target }.to_string()
            }
            statement => statement.to_string(),
        });
    let sets = ruleset.sets.values().map(|set| {
        let size = set.key.room().map(|room| format!("size {room}; "));
        let flags = if set.interval { "flags interval; " } else { "" };
        format!("{{ type {}; {flags}{}", set.key, size.unwrap_or_default())
    });
    let maps = ruleset
        .maps
        .values()
        .map(|map| format!("{{ type {} : verdict; }}", map.key()));
    statements
        .chain(sets)
        .chain(maps)
        .map(|text| kind_of(&text))
        .collect()
}

#[test]
fn every_kind_of_statement_and_set_is_in_a_probe() {
    let probes = kind_of(&probes());
    let mut tried = BTreeSet::new();
    for config in configs() {
        for classes in [sample(), every_grant()] {
            tried.extend(kinds(&lay_out(&config, &classes).unwrap()));
        }
    }
    let not_probed: Vec<_> = tried
        .iter()
        .filter(|kind| !probes.contains(*kind))
        .collect();
    assert_eq!(not_probed, [""; 0], "{probes}");
    assert!(tried.len() >= 32, "{tried:#?}");
}

/// A stand-in for nft that refuses what has this word in it, as a kernel without the feature does.
fn lacking(folder: &Path, word: &str) -> Nft {
    let path = folder.join("nft");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec nft --version\n\
         if grep -q '{word}'; then echo 'Error: Could not process rule: Not supported' >&2; exit 1; fi\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Nft::new().with_program(path)
}

#[test]
fn a_missing_feature_is_named_with_the_kernel_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let features =
        Features::probe(&lacking(folder.path(), "inet_service; flags interval")).unwrap();
    let missing = features
        .require(&Config::default())
        .unwrap_err()
        .to_string();
    let release =
        String::from_utf8(Command::new("uname").arg("-r").output().unwrap().stdout).unwrap();
    assert_eq!(
        missing,
        format!(
            "the kernel {} lacks what nopal needs:\n  intervals in concatenations, for blocks and port ranges: in \
             kernels since 5.6 with CONFIG_NF_TABLES (Error: Could not process rule: Not supported)",
            release.trim_end()
        )
    );
    let without = Config {
        marks: None,
        ..Config::default()
    };
    let features = Features::probe(&lacking(folder.path(), "ct mark")).unwrap();
    assert!(features.require(&Config::default()).is_err());
    features.require(&without).unwrap();
    let features = Features::probe(&lacking(folder.path(), " group ")).unwrap();
    assert!(features.require(&Config::default()).is_err());
    let silent = Config {
        log: Log::None,
        ..Config::default()
    };
    features.require(&silent).unwrap();
    let features = Features::probe(&lacking(folder.path(), "ct zone")).unwrap();
    features.require(&Config::default()).unwrap();
    let zones = features.found.iter().find(|(_, refusal)| refusal.is_some());
    assert_eq!(zones.unwrap().0.need, Need::Nobody);
}
