//! The lock of a table and the probing of features, in network namespaces. Needs root, nft and ip, and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::netns::Netns;
use nft_backend::config::{Config, Log};
use nft_backend::features::{FEATURES, Features, Need};
use nft_backend::lock::{Holder, Lock, LockError};
use nft_backend::names::Name;
use nft_backend::nft::Nft;
use nft_backend::notifications::{Notices, Notifications};

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
    let features = Features::probe(&lacking(folder.path(), "flags interval")).unwrap();
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
    let features = Features::probe(&lacking(folder.path(), "log group")).unwrap();
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
