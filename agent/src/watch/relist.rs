//! Turns what a watcher says into batches; after a relist, objects that vanished meanwhile are told as gone.
//!
//! A relist is gathered until it is complete and handed over as one batch: half of a list beside half of what was
//! there before is a state that the cluster never had.

use std::collections::BTreeSet;
use std::time::Instant;

use kube::runtime::watcher;

use super::change::{Batch, Change, Identity, Trouble};
use super::object::{Followed, Seen};
use crate::kind::Key;

/// Which objects of a kind are known, and a list on its way.
#[derive(Debug, Default)]
pub(super) struct Relist {
    known: BTreeSet<Key>,
    listing: Option<Listing>,
}

#[derive(Debug, Default)]
struct Listing {
    changes: Vec<Change>,
    seen: BTreeSet<Key>,
}

impl Relist {
    /// Takes over one event of the watcher; gives what it completes.
    pub(super) fn take<F: Followed>(&mut self, event: watcher::Event<Seen<F>>) -> Option<Batch> {
        let batch = |changes, is_complete| Batch {
            kind: F::KIND,
            changes,
            is_complete,
            received: Instant::now(),
            ticket: 0,
        };
        match event {
            watcher::Event::Init => {
                self.listing = Some(Listing::default());
                None
            }
            watcher::Event::InitApply(object) => {
                let listing = self.listing.get_or_insert_default();
                let (key, change) = change(object);
                listing.seen.insert(key);
                listing.changes.push(change);
                None
            }
            watcher::Event::InitDone => {
                let listing = self.listing.take().unwrap_or_default();
                Some(batch(self.complete(listing), true))
            }
            watcher::Event::Apply(object) => {
                let (key, change) = change(object);
                self.known.insert(key);
                Some(batch(vec![change], false))
            }
            watcher::Event::Delete(object) => {
                let (key, mut change) = change(object);
                change.trouble = Trouble::None;
                self.known.remove(&key);
                change.event = Some(key.gone());
                Some(batch(vec![change], false))
            }
        }
    }

    /// The list with what it shows to be gone.
    fn complete(&mut self, listing: Listing) -> Vec<Change> {
        let Listing { mut changes, seen } = listing;
        let gone = self.known.difference(&seen).cloned();
        changes.extend(gone.map(|key| Change {
            identity: identity_of(&key),
            event: Some(key.gone()),
            version: 0,
            trouble: Trouble::None,
        }));
        self.known = seen;
        changes
    }
}

/// The object's key, and what became of it. An object that cannot be read is known by name all the same: it is not
/// gone.
pub(super) fn change<F: Followed>(object: Seen<F>) -> (Key, Change) {
    let metadata = object.metadata;
    let version = metadata.resource_version.as_deref();
    let identity = Identity {
        namespace: metadata.namespace.unwrap_or_default(),
        name: metadata.name.unwrap_or_default(),
        uid: metadata.uid.unwrap_or_default(),
        generation: metadata.generation.unwrap_or_default(),
    };
    let (event, trouble) = match object.read {
        Ok(read) if read.problems.is_empty() => (Some(read.event), Trouble::None),
        Ok(read) => (Some(read.event), Trouble::Problems(read.problems)),
        Err(reason) => (None, Trouble::Unreadable(reason)),
    };
    let key = match &event {
        Some(event) => Key::of(event),
        None => Key::named(F::KIND, &identity.namespace, &identity.name),
    };
    let change = Change {
        event,
        version: version
            .and_then(|version| version.parse().ok())
            .unwrap_or_default(),
        identity,
        trouble,
    };
    (key, change)
}

fn identity_of(key: &Key) -> Identity {
    let (namespace, name) = match key {
        Key::Cluster(_, name) => ("", name.as_ref()),
        Key::Pod(id) => (id.namespace.as_ref(), id.name.as_ref()),
        Key::Policy(id) => (id.namespace.as_ref(), id.name.as_ref()),
    };
    Identity {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ..Identity::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::Pods;
    use super::*;
    use crate::kind::Kind;
    use policy_core::{Event, PodId};
    use serde_json::{Value, json};

    fn pod(name: &str, version: &str) -> Seen<Pods> {
        seen(json!({"metadata": {"name": name, "namespace": "shop", "resourceVersion": version}}))
    }

    fn seen(object: Value) -> Seen<Pods> {
        serde_json::from_value(object).unwrap()
    }

    fn listed(relist: &mut Relist, objects: Vec<Seen<Pods>>) -> Batch {
        assert_eq!(relist.take::<Pods>(watcher::Event::Init), None);
        for object in objects {
            assert_eq!(relist.take(watcher::Event::InitApply(object)), None);
        }
        relist.take::<Pods>(watcher::Event::InitDone).unwrap()
    }

    fn gone(batch: &Batch) -> Vec<String> {
        let gone = |change: &Change| match &change.event {
            Some(Event::PodGone(id)) => Some(id.to_string()),
            _ => None,
        };
        batch.changes.iter().filter_map(gone).collect()
    }

    #[test]
    fn what_a_relist_does_not_name_any_more_is_gone() {
        let mut relist = Relist::default();
        let first = listed(&mut relist, vec![pod("a", "1"), pod("b", "2")]);
        assert!(first.is_complete && first.kind == Kind::Pods);
        assert_eq!(first.changes.iter().map(|c| c.version).max(), Some(2));
        assert!(gone(&first).is_empty());
        assert!(relist.take(watcher::Event::Apply(pod("c", "3"))).is_some());
        let second = listed(&mut relist, vec![pod("b", "2")]);
        assert_eq!(gone(&second), ["shop/a", "shop/c"]);
        assert!(gone(&listed(&mut relist, vec![pod("b", "2")])).is_empty());
    }

    #[test]
    fn a_list_that_breaks_off_leaves_everything_as_it_was() {
        let mut relist = Relist::default();
        listed(&mut relist, vec![pod("a", "1"), pod("b", "2")]);
        assert_eq!(relist.take::<Pods>(watcher::Event::Init), None);
        assert_eq!(relist.take(watcher::Event::InitApply(pod("a", "1"))), None);
        let again = listed(&mut relist, vec![pod("a", "1"), pod("b", "2")]);
        assert!(gone(&again).is_empty());
        assert_eq!(again.changes.len(), 2);
    }

    #[test]
    fn a_deletion_is_told_with_its_version() {
        let mut relist = Relist::default();
        listed(&mut relist, vec![pod("a", "1")]);
        let batch = relist.take(watcher::Event::Delete(pod("a", "9"))).unwrap();
        let id = PodId::new("shop", "a");
        assert_eq!(batch.changes[0].event, Some(Event::PodGone(id)));
        assert_eq!(batch.changes[0].version, 9);
        assert!(gone(&listed(&mut relist, vec![])).is_empty());
    }

    #[test]
    fn an_object_that_cannot_be_read_is_kept_and_told() {
        let mut relist = Relist::default();
        listed(&mut relist, vec![pod("a", "1")]);
        let strange = || {
            seen(json!({
                "metadata": {"name": "a", "namespace": "shop", "resourceVersion": "5"},
                "spec": {"containers": "none"},
            }))
        };
        let batch = relist.take(watcher::Event::Apply(strange())).unwrap();
        assert_eq!(batch.changes[0].event, None);
        assert!(matches!(batch.changes[0].trouble, Trouble::Unreadable(_)));
        let batch = listed(&mut relist, vec![strange()]);
        assert!(gone(&batch).is_empty(), "it is still there");
        assert_eq!(gone(&listed(&mut relist, vec![])), ["shop/a"]);
    }
}
