//! Tells whose addresses are to be looked after, when they may be others than before.
//!
//! Collecting them costs a pass over all that is known of the cluster's pods, and most changes are about pods of other
//! nodes.

use std::collections::BTreeSet;

use policy_core::{Event, Pod, PodId};
use tokio::sync::watch::Sender;

use crate::topology::{Addresses, Uids, addresses};
use crate::watch::Change;

/// The way to whoever looks how the node's pods are wired.
#[derive(Debug)]
pub struct Wiring {
    node: String,
    told: Sender<Addresses>,
    /// The pods that were collected last.
    pods: BTreeSet<PodId>,
    uids: Uids,
    /// Whether something came since that may concern them.
    is_stale: bool,
}

impl Wiring {
    /// Nothing is told yet.
    pub fn new(node: &str, told: Sender<Addresses>) -> Self {
        Self {
            node: node.to_owned(),
            told,
            pods: BTreeSet::new(),
            uids: Uids::default(),
            is_stale: false,
        }
    }

    /// Hears of changes, before they are in force.
    pub fn hear(&mut self, changes: &[Change]) {
        for change in changes {
            self.uids.note(&self.node, change);
            self.is_stale |= change
                .event
                .as_ref()
                .is_some_and(|event| self.concerns(event));
        }
    }

    fn concerns(&self, event: &Event) -> bool {
        match event {
            Event::Pod(pod) => {
                pod.node.as_deref() == Some(self.node.as_str()) || self.pods.contains(&pod.id)
            }
            Event::PodGone(id) => self.pods.contains(id),
            _ => false,
        }
    }

    /// Tells the addresses of the node's pods, now that all that was heard is in force, if they are others than before.
    pub fn tell<'p, P: Iterator<Item = &'p Pod>>(&mut self, pods: impl FnOnce() -> P) {
        if !self.is_stale {
            return;
        }
        let pods: Vec<&Pod> = pods().collect();
        let now = addresses(pods.iter().map(|pod| (*pod, self.uids.of(pod))));
        self.pods = pods.into_iter().map(|pod| pod.id.clone()).collect();
        self.is_stale = false;
        self.told.send_if_modified(|told| {
            let is_news = *told != now;
            *told = now;
            is_news
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Identity, Trouble};
    use policy_core::lower;
    use serde_json::json;

    fn pod(name: &str, node: &str) -> Pod {
        let object = json!({
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"nodeName": node, "containers": []},
        });
        lower::pod(&serde_json::from_value(object).unwrap()).0
    }

    fn change(event: &Event) -> Change {
        Change {
            event: Some(event.clone()),
            version: 1,
            identity: Identity::default(),
            trouble: Trouble::None,
        }
    }

    /// Whether pods are collected after these events.
    fn collects(wiring: &mut Wiring, events: &[Event], pods: &[Pod]) -> bool {
        let mut is_asked = false;
        wiring.hear(&events.iter().map(change).collect::<Vec<_>>());
        wiring.tell(|| {
            is_asked = true;
            pods.iter()
        });
        is_asked
    }

    #[test]
    fn pods_are_collected_when_one_of_the_node_comes_changes_goes_or_moves() {
        let mut wiring = Wiring::new("node-a", Sender::new(Addresses::new()));
        let (here, there) = (pod("web", "node-a"), pod("db", "node-b"));
        let here = [here];
        let is = |pod: &Pod| Event::Pod(pod.clone());
        assert!(!collects(&mut wiring, &[is(&there)], &[]));
        assert!(!collects(
            &mut wiring,
            &[Event::PodGone(there.id.clone())],
            &[]
        ));
        assert!(collects(&mut wiring, &[is(&here[0])], &here));
        assert!(!collects(&mut wiring, &[is(&there)], &here));
        assert!(collects(&mut wiring, &[is(&here[0])], &here));
        assert!(collects(&mut wiring, &[is(&pod("web", "node-b"))], &[]));
        assert!(!collects(
            &mut wiring,
            &[Event::PodGone(here[0].id.clone())],
            &[]
        ));
        assert!(collects(&mut wiring, &[is(&here[0])], &here));
        assert!(collects(
            &mut wiring,
            &[Event::PodGone(here[0].id.clone())],
            &[]
        ));
    }

    #[test]
    fn what_was_heard_and_failed_is_told_with_the_next_success() {
        let mut wiring = Wiring::new("node-a", Sender::new(Addresses::new()));
        let here = [pod("web", "node-a")];
        wiring.hear(&[change(&Event::Pod(here[0].clone()))]);
        assert!(collects(&mut wiring, &[], &here));
    }
}
