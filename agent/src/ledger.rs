//! Which versions of the objects are in force on this node, and what is wrong with them.

use std::collections::BTreeMap;

use policy_core::Event;
use serde::Serialize;

use crate::kind::Kind;
use crate::watch::{Batch, Identity, Trouble};

/// What is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// The newest resourceVersion of each kind that is taken account of.
    pub newest: BTreeMap<Kind, u64>,
    /// Each policy, by `namespace/name`.
    pub policies: BTreeMap<String, PolicyVersion>,
    /// What is wrong with objects, by `kind namespace/name`.
    pub problems: BTreeMap<String, Vec<String>>,
}

/// The version of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyVersion {
    /// `metadata.resourceVersion`.
    pub resource_version: u64,
    /// `metadata.generation`.
    pub generation: i64,
}

/// What a batch adds to the ledger once it is in force: the events themselves have gone to the engine by then.
#[derive(Debug)]
pub struct Entries(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    kind: Kind,
    version: u64,
    name: String,
    generation: i64,
    is_gone: bool,
    is_kept: bool,
    problems: Vec<String>,
}

impl Entries {
    /// What `batch` adds.
    pub fn of(batch: &Batch) -> Self {
        let entry = |change: &crate::watch::Change| Entry {
            kind: batch.kind,
            version: change.version,
            name: name(&change.identity),
            generation: change.identity.generation,
            is_gone: matches!(
                change.event,
                Some(
                    Event::NamespaceGone(_)
                        | Event::NodeGone(_)
                        | Event::PodGone(_)
                        | Event::PolicyGone(_)
                )
            ),
            is_kept: change.event.is_none(),
            problems: match &change.trouble {
                Trouble::None => Vec::new(),
                Trouble::Problems(problems) => problems
                    .iter()
                    .map(|problem| format!("{}: {}", problem.path, problem.kind))
                    .collect(),
                Trouble::Unreadable(reason) => {
                    vec![format!("not readable, and kept as it was: {reason}")]
                }
            },
        };
        Self(batch.changes.iter().map(entry).collect())
    }
}

impl Ledger {
    /// Takes over what has come into force.
    pub fn take(&mut self, entries: Entries) {
        for entry in entries.0 {
            let newest = self.newest.entry(entry.kind).or_default();
            *newest = entry.version.max(*newest);
            let place = format!("{} {}", word(entry.kind), entry.name);
            if entry.problems.is_empty() {
                self.problems.remove(&place);
            } else {
                self.problems.insert(place, entry.problems);
            }
            if entry.kind != Kind::Policies || entry.is_kept {
                continue;
            }
            if entry.is_gone {
                self.policies.remove(&entry.name);
            } else {
                let version = PolicyVersion {
                    resource_version: entry.version,
                    generation: entry.generation,
                };
                self.policies.insert(entry.name, version);
            }
        }
    }
}

impl Ledger {
    /// Notes whether the cluster has the node that rules are made for. Without it no pod is local.
    pub fn note_own_node(&mut self, node: &str, is_known: bool) {
        let place = format!("{} {node}", word(Kind::Nodes));
        let message = "the cluster has no node of this name; is --node right?";
        if is_known {
            // What else is wrong with it stays told.
            if self
                .problems
                .get(&place)
                .is_some_and(|told| told == &[message])
            {
                self.problems.remove(&place);
            }
        } else {
            self.problems.insert(place, vec![message.to_owned()]);
        }
    }
}

fn name(identity: &Identity) -> String {
    match identity.namespace.as_str() {
        "" => identity.name.clone(),
        namespace => format!("{namespace}/{}", identity.name),
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Namespaces => "Namespace",
        Kind::Nodes => "Node",
        Kind::Pods => "Pod",
        Kind::Policies => "NetworkPolicy",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Change;
    use policy_core::PolicyId;
    use std::time::Instant;

    fn batch(version: u64, event: Option<Event>, trouble: Trouble) -> Batch {
        let identity = Identity {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            generation: 2,
            ..Identity::default()
        };
        Batch {
            kind: Kind::Policies,
            changes: vec![Change {
                event,
                version,
                identity,
                trouble,
            }],
            is_complete: false,
            received: Instant::now(),
            ticket: 0,
        }
    }

    fn policy() -> Event {
        let object = serde_json::from_str(r#"{"metadata":{"name":"web","namespace":"shop"}}"#);
        let (policy, _) = policy_core::lower::policy(&object.unwrap(), &[]);
        Event::Policy(policy)
    }

    #[test]
    fn versions_come_with_their_objects_and_go_with_them() {
        let mut ledger = Ledger::default();
        ledger.take(Entries::of(&batch(7, Some(policy()), Trouble::None)));
        assert_eq!(ledger.newest[&Kind::Policies], 7);
        assert_eq!(ledger.policies["shop/web"].resource_version, 7);
        let unreadable = Trouble::Unreadable("odd".to_owned());
        ledger.take(Entries::of(&batch(8, None, unreadable)));
        assert_eq!(
            ledger.policies["shop/web"].resource_version, 7,
            "kept as it was"
        );
        assert!(ledger.problems["NetworkPolicy shop/web"][0].contains("odd"));
        let id = PolicyId {
            namespace: "shop".into(),
            name: "web".into(),
        };
        ledger.take(Entries::of(&batch(
            0,
            Some(Event::PolicyGone(id)),
            Trouble::None,
        )));
        assert_eq!(ledger.newest[&Kind::Policies], 8);
        assert!(ledger.policies.is_empty() && ledger.problems.is_empty());
    }
}
