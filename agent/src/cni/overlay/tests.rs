//! Which addresses the engine is told, event by event.

use super::*;
use crate::watch::{Identity, Trouble};
use nopal_cni::protocol::PodRef;
use policy_core::lower;
use serde_json::json;

pub(crate) fn attachment(pod: &str, uid: &str, container: &str, address: &str) -> Attachment {
    Attachment {
        sandbox: Sandbox {
            container_id: container.to_owned(),
            interface: "eth0".to_owned(),
        },
        pod: PodRef {
            namespace: "shop".to_owned(),
            name: pod.to_owned(),
            uid: (!uid.is_empty()).then(|| uid.to_owned()),
        },
        netns: format!("/run/netns/{container}"),
        host_interface: None,
        addresses: vec![address.parse().unwrap()],
    }
}

/// A pod of `node-a` with these addresses, as a watch tells it.
pub(crate) fn shown(name: &str, uid: &str, version: u64, addresses: &[&str]) -> Change {
    shown_on("node-a", name, uid, version, addresses)
}

fn shown_on(node: &str, name: &str, uid: &str, version: u64, addresses: &[&str]) -> Change {
    let ips: Vec<_> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    let object = json!({
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": []},
        "status": {"podIPs": ips},
    });
    change(
        Event::Pod(lower::pod(&serde_json::from_value(object).unwrap()).0),
        uid,
        version,
    )
}

fn gone(name: &str, version: u64) -> Change {
    change(Event::PodGone(PodId::new("shop", name)), "", version)
}

fn change(event: Event, uid: &str, version: u64) -> Change {
    let uid = uid.to_owned();
    Change {
        event: Some(event),
        version,
        identity: Identity {
            uid,
            ..Identity::default()
        },
        trouble: Trouble::None,
    }
}

/// The overlay with all that the engine was told: pods with their addresses.
struct World {
    overlay: Overlay,
    told: BTreeMap<String, Vec<String>>,
}

impl World {
    fn new() -> Self {
        Self {
            overlay: Overlay::new("node-a", Vec::new()),
            told: BTreeMap::new(),
        }
    }

    fn tell(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            match event {
                Event::Pod(pod) => {
                    let addresses = pod.addresses.iter().map(ToString::to_string).collect();
                    self.told.insert(pod.id.name.to_string(), addresses);
                }
                Event::PodGone(id) => {
                    self.told.remove(&*id.name);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn watch(&mut self, mut change: Change) {
        let others = self.overlay.take(&mut change);
        self.tell(change.event.into_iter().chain(others));
    }

    fn fetch(&mut self, mut change: Change) {
        let others = self.overlay.take_fetched(&mut change);
        self.tell(change.event.into_iter().chain(others));
    }

    fn attach(&mut self, attachment: Attachment) -> bool {
        match self.overlay.attach(attachment) {
            Attached::Known(events) => {
                self.tell(events);
                true
            }
            Attached::Unknown => false,
        }
    }

    fn detach(&mut self, container: &str) {
        let is_kept = |other: &Attachment| other.sandbox.container_id != container;
        let events = self.overlay.retain(is_kept);
        self.tell(events);
    }

    fn addresses(&self, pod: &str) -> &[String] {
        self.told.get(pod).map_or(&[], Vec::as_slice)
    }
}

#[test]
fn a_pod_has_its_address_before_the_api_shows_it_and_keeps_it_when_it_does() {
    let mut world = World::new();
    world.watch(shown("web", "u", 5, &[]));
    assert!(world.attach(attachment("web", "u", "c1", "10.0.0.1")));
    assert_eq!(world.addresses("web"), ["10.0.0.1"]);
    world.watch(shown("web", "u", 6, &[]));
    assert_eq!(world.addresses("web"), ["10.0.0.1"]);
    world.watch(shown("web", "u", 7, &["10.0.0.1"]));
    assert_eq!(world.addresses("web"), ["10.0.0.1"]);
    world.detach("c1");
    assert_eq!(
        world.addresses("web"),
        ["10.0.0.1"],
        "the API still says so"
    );
    world.watch(gone("web", 9));
    assert!(world.told.is_empty());
}

#[test]
fn a_pod_that_no_watch_has_shown_is_fetched_and_an_older_view_does_not_undo_it() {
    let mut world = World::new();
    assert!(!world.attach(attachment("web", "u2", "c1", "10.0.0.1")));
    assert!(world.told.is_empty());
    world.fetch(shown("web", "u2", 20, &[]));
    assert_eq!(world.addresses("web"), ["10.0.0.1"]);
    // The watch is behind: the earlier pod of the name lives and ends there, or a list did not have the new one yet.
    world.watch(shown("web", "u1", 11, &["10.0.0.9"]));
    world.watch(gone("web", 12));
    world.watch(gone("web", 0));
    assert_eq!(world.addresses("web"), ["10.0.0.1"]);
    world.watch(shown("web", "u2", 20, &[]));
    world.watch(gone("web", 0));
    assert!(world.told.is_empty());
}

#[test]
fn a_fetched_pod_that_no_watch_ever_shows_ends_with_its_sandbox() {
    let mut world = World::new();
    world.attach(attachment("web", "u", "c1", "10.0.0.1"));
    world.fetch(shown("web", "u", 20, &[]));
    world.detach("c1");
    assert!(world.told.is_empty());
}

#[test]
fn an_attachment_of_another_pod_of_the_name_gives_and_takes_nothing() {
    let mut world = World::new();
    world.watch(shown("old", "x", 4, &["10.0.0.1"]));
    world.watch(shown("web", "u1", 5, &["10.0.0.5"]));
    assert!(!world.attach(attachment("web", "u2", "c2", "10.0.0.1")));
    assert_eq!(world.addresses("web"), ["10.0.0.5"]);
    assert_eq!(
        world.addresses("old"),
        ["10.0.0.1"],
        "closed is better than nobody's"
    );
    world.watch(shown("web", "u2", 8, &[]));
    assert_eq!(world.addresses("web"), ["10.0.0.1"]);
    assert!(world.addresses("old").is_empty(), "its sandbox has gone");
    // The pod is made anew under its name: what the runtime said of the one before does not hold for it.
    world.watch(shown("web", "u3", 9, &[]));
    assert!(world.addresses("web").is_empty());
    assert_eq!(world.addresses("old"), ["10.0.0.1"]);
}

#[test]
fn the_last_add_of_an_address_counts_and_other_nodes_pods_are_left_alone() {
    let mut world = World::new();
    world.watch(shown("first", "a", 1, &[]));
    world.watch(shown("second", "b", 2, &[]));
    world.watch(shown_on("node-b", "far", "c", 3, &["10.0.0.1"]));
    world.attach(attachment("first", "a", "c1", "10.0.0.1"));
    world.watch(shown("first", "a", 4, &["10.0.0.1"]));
    world.attach(attachment("second", "b", "c2", "10.0.0.1"));
    assert!(world.addresses("first").is_empty());
    assert_eq!(world.addresses("second"), ["10.0.0.1"]);
    assert_eq!(world.addresses("far"), ["10.0.0.1"]);
    world.detach("c2");
    assert_eq!(world.addresses("first"), ["10.0.0.1"], "as the API says");
}

#[test]
fn a_new_sandbox_of_a_pod_replaces_the_old_one_and_the_old_status_stays_closed_too() {
    let mut world = World::new();
    world.watch(shown("web", "u", 1, &[]));
    world.attach(attachment("web", "u", "c1", "10.0.0.1"));
    world.watch(shown("web", "u", 2, &["10.0.0.1"]));
    world.attach(attachment("web", "u", "c2", "10.0.0.2"));
    assert_eq!(world.addresses("web"), ["10.0.0.1", "10.0.0.2"]);
    world.watch(shown("web", "u", 3, &["10.0.0.2"]));
    assert_eq!(world.addresses("web"), ["10.0.0.2"]);
    // The DEL of the first sandbox may come late.
    world.detach("c1");
    assert_eq!(world.addresses("web"), ["10.0.0.2"]);
    assert_eq!(world.overlay.attachments().len(), 1);
}

#[test]
fn a_restart_knows_the_attachments_before_the_api_was_asked() {
    let kept = vec![attachment("web", "", "c1", "10.0.0.1")];
    let mut world = World::new();
    world.overlay = Overlay::new("node-a", kept);
    world.watch(shown("web", "u", 3, &[]));
    assert_eq!(world.addresses("web"), ["10.0.0.1"]);
}

#[test]
fn check_compares_pod_and_addresses() {
    let mut world = World::new();
    let given = attachment("web", "u", "c1", "10.0.0.1");
    assert!(world.overlay.check(&given).is_err());
    world.attach(given.clone());
    assert_eq!(world.overlay.check(&given), Ok(()));
    let moved = attachment("web", "u", "c1", "10.0.0.2");
    assert!(
        world
            .overlay
            .check(&moved)
            .unwrap_err()
            .contains("10.0.0.1")
    );
    let other = attachment("db", "u", "c1", "10.0.0.1");
    assert!(
        world
            .overlay
            .check(&other)
            .unwrap_err()
            .contains("shop/web")
    );
}
