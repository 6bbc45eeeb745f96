//! Labs have names of their own, and leave nothing behind.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{self, Command};
use std::thread;

use common::{build, build_from, namespaces, topology};
use nopal_lab::Lab;

#[test]
fn removing_a_lab_leaves_no_namespace() {
    let lab = build("lab-gone");
    let names: Vec<&str> = lab
        .namespaces()
        .iter()
        .map(nopal_lab::Namespace::name)
        .collect();
    assert_eq!(names.len(), 7);
    assert_eq!(names[1], lab.node_namespace("node-a").unwrap().name());
    assert_eq!(names[3], lab.pod_namespace("shop/web").unwrap().name());
    assert!(names[3].ends_with("-pod0-shop-web"), "{}", names[3]);
    assert!(lab.node_namespace("node-a").unwrap().path().exists());
    assert_eq!(namespaces("lab-gone-").len(), 7);
    lab.remove().unwrap();
    assert_eq!(namespaces("lab-gone-"), Vec::<String>::new());
}

#[test]
fn a_panic_leaves_no_namespace() {
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let lab = build("lab-panic");
        lab.world_namespace().run(|| panic!("inside")).unwrap()
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"inside"));
    assert_eq!(namespaces("lab-panic-"), Vec::<String>::new());
}

#[test]
fn labs_built_at_the_same_time_have_names_of_their_own() {
    let labs: Vec<Lab> = thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| build("lab-many"))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    assert_eq!(namespaces("lab-many-").len(), 4 * 7);
    drop(labs);
    assert_eq!(namespaces("lab-many-"), Vec::<String>::new());
}

#[test]
fn leftovers_of_ended_processes_are_removed_and_nothing_else() {
    let mut child = Command::new("true").spawn().unwrap();
    let ended = child.id();
    child.wait().unwrap();
    let left = format!("lab-left-{ended}-0-world");
    let alike = format!("lab-left-over-{ended}-0-world");
    for name in [&left, &alike] {
        assert!(
            Command::new("ip")
                .args(["netns", "add", name])
                .status()
                .unwrap()
                .success()
        );
    }
    let lab = build("lab-left");
    let removed = Lab::remove_leftovers("lab-left").unwrap();
    assert_eq!(removed, [left]);
    assert_eq!(namespaces(&format!("lab-left-{}-", process::id())).len(), 7);
    lab.remove().unwrap();
    assert_eq!(Lab::remove_leftovers("lab-left-over").unwrap(), [alike]);
    assert_eq!(namespaces("lab-left-"), Vec::<String>::new());
}

#[test]
fn all_labs_of_a_prefix_are_removed_and_no_others() {
    let kept = build_from(&topology(), "lab-all").keep();
    let other = build("lab-all-else");
    let mut removed = Lab::remove_all("lab-all").unwrap();
    removed.sort();
    let mut expected = kept;
    expected.sort();
    assert_eq!(removed, expected);
    assert_eq!(namespaces("lab-all-else-").len(), 7);
    other.remove().unwrap();
}

#[test]
fn a_lab_that_is_kept_stands_until_its_names_are_deleted() {
    let names = build_from(&topology(), "lab-kept").keep();
    let mut standing = namespaces("lab-kept-");
    for name in &names {
        assert!(
            Command::new("ip")
                .args(["netns", "del", name])
                .status()
                .unwrap()
                .success()
        );
    }
    standing.sort();
    let mut names = names;
    names.sort();
    assert_eq!(standing, names);
}
