//! Looks how the node's pods are wired, and sees to it that their packets come to the rules.
//!
//! It is told of the node's pods after rules are in force for them. Asking takes a few runs of `ip`, so it is done beside
//! the sync and at most once a second.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use nft_backend::topology::{LocalPod, NodeNetwork, Report, TopologyError};
use policy_core::{Event, Pod, PodId};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::spoofing::Spoofing;
use crate::status::Shared;
use crate::watch::Change;

/// The pause after each look.
const PAUSE: Duration = Duration::from_secs(1);

/// How often is looked when no pod changes: an administrator may change a bridge.
const INTERVAL: Duration = Duration::from_secs(300);

/// How often is looked while it cannot be told how pods are wired.
const AGAIN: Duration = Duration::from_secs(10);

/// The addresses of the node's pods, with the pods.
pub type Addresses = BTreeMap<IpAddr, Holder>;

/// The pod that has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// `namespace/name`.
    pub pod: String,
    /// Its uid; empty where the API has not told it.
    pub uid: String,
}

/// The uids of the node's pods, as the API told them last.
#[derive(Debug, Default)]
pub struct Uids(BTreeMap<PodId, String>);

impl Uids {
    /// Takes over what a change tells of a pod of `node`. What the runtime alone tells has no uid and changes none.
    pub fn note(&mut self, node: &str, change: &Change) {
        match &change.event {
            Some(Event::Pod(pod)) if pod.node.as_deref() == Some(node) => {
                let uid = &change.identity.uid;
                if !uid.is_empty() && self.of(pod) != uid {
                    self.0.insert(pod.id.clone(), uid.clone());
                }
            }
            Some(Event::PodGone(id)) => drop(self.0.remove(id)),
            _ => {}
        }
    }

    /// A pod's uid; empty where none was told.
    pub fn of(&self, pod: &Pod) -> &str {
        self.0.get(&pod.id).map_or("", String::as_str)
    }
}

/// An address whose packets do not come to the rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unenforceable {
    /// The pod.
    pub pod: String,
    /// Its address.
    pub address: IpAddr,
    /// Why, and what can be done about it.
    pub reason: String,
}

/// The addresses to look after, of pods with their uids. A pod that is being deleted stays as it was found: its interface
/// may be gone before it.
pub fn addresses<'a>(pods: impl IntoIterator<Item = (&'a Pod, &'a str)>) -> Addresses {
    let pods = pods.into_iter().filter(|(pod, _)| !pod.terminating);
    pods.flat_map(|(pod, uid)| {
        let holder = Holder {
            pod: pod.id.to_string(),
            uid: uid.to_owned(),
        };
        let addresses = pod.addresses.iter();
        addresses.map(move |address| (*address, holder.clone()))
    })
    .collect()
}

/// Looks after the wiring of the node's pods in the network namespace that this runs in, for as long as somebody tells
/// of them.
pub async fn look_after(
    mut addresses: watch::Receiver<Addresses>,
    shared: Shared,
    spoofing: Option<Spoofing>,
) {
    let mut known = BTreeSet::new();
    let mut known_open = BTreeSet::new();
    let mut interval = INTERVAL;
    loop {
        // Not before the first sync, since a bridge is switched after the rules are in force.
        let changed = timeout(interval, addresses.changed()).await;
        if matches!(changed, Ok(Err(_))) {
            return;
        }
        let asked = addresses.borrow_and_update().clone();
        let (guard, pods) = (spoofing.clone(), asked.clone());
        let found = spawn_blocking(move || {
            let (found, report) = look(&NodeNetwork::new(), &pods)?;
            Ok::<_, TopologyError>((found, guard.map(|guard| forged(&guard, &report))))
        });
        let found = match found.await {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        interval = if found.is_ok() { INTERVAL } else { AGAIN };
        let (found, open) = found.unwrap_or_else(|error| {
            tracing::warn!(error, "cannot tell how pods are wired");
            (unknown(&asked, &error), None)
        });
        if let Some(open) = open {
            for unguarded in open.difference(&known_open) {
                let Unenforceable {
                    pod,
                    address,
                    reason,
                } = unguarded;
                tracing::warn!(pod, %address, reason, "its sources are not checked");
            }
            shared.unguarded(&open);
            known_open = open;
        }
        for unenforceable in found.difference(&known) {
            let Unenforceable {
                pod,
                address,
                reason,
            } = unenforceable;
            tracing::error!(pod, %address, reason, "policies do not hold for this pod");
        }
        shared.surveyed(&found);
        known = found;
        sleep(PAUSE).await;
    }
}

/// Puts in force what is known against forged sources; gives the addresses that it cannot hold for.
fn forged(guard: &Spoofing, report: &Report) -> BTreeSet<Unenforceable> {
    let open = guard.surveyed(report);
    let Err(error) = guard.enforce() else {
        return open;
    };
    tracing::error!(%error, "sources of pods are not checked");
    let all = report.placed.iter().map(|placed| Unenforceable {
        pod: placed.pod.clone(),
        address: placed.address,
        reason: error.to_string(),
    });
    all.collect()
}

/// All of these addresses: of whose packets nobody can tell whether they come to the rules, that is told.
fn unknown(addresses: &Addresses, error: &str) -> BTreeSet<Unenforceable> {
    let told = addresses.iter().map(|(address, holder)| Unenforceable {
        pod: holder.pod.clone(),
        address: *address,
        reason: format!("nobody can tell how its packets go: {error}"),
    });
    told.collect()
}

/// Makes bridges call netfilter where that is needed, and gives the addresses that rules cannot hold for, and how all are
/// wired.
///
/// # Errors
/// When `ip` cannot be asked.
pub fn look(
    network: &NodeNetwork,
    addresses: &Addresses,
) -> Result<(BTreeSet<Unenforceable>, Report), TopologyError> {
    if addresses.is_empty() {
        return Ok((BTreeSet::new(), Report::default()));
    }
    let pod = |(address, holder): (&IpAddr, &Holder)| LocalPod {
        name: holder.pod.clone(),
        addresses: vec![*address],
        namespace: None,
    };
    let pods: Vec<LocalPod> = addresses.iter().map(pod).collect();
    let enforced = network.enforce(&pods)?;
    for bridge in &enforced.switched {
        tracing::info!(bridge, "the bridge calls netfilter now");
    }
    let open = enforced.open().map(|(placed, reason)| Unenforceable {
        pod: placed.pod.clone(),
        address: placed.address,
        reason,
    });
    Ok((open.collect(), enforced.report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_wiring_is_not_known_every_address_is_told() {
        let holder = |pod: &str| Holder {
            pod: pod.to_owned(),
            uid: String::new(),
        };
        let addresses = [("10.0.0.1", "shop/web"), ("fd00::1", "shop/db")];
        let addresses = addresses.map(|(address, pod)| (address.parse().unwrap(), holder(pod)));
        let told = unknown(&addresses.into_iter().collect(), "`ip` was not found");
        let pods: Vec<&str> = told.iter().map(|one| one.pod.as_str()).collect();
        assert_eq!(pods, ["shop/db", "shop/web"]);
        assert!(
            told.iter()
                .all(|one| one.reason.contains("`ip` was not found"))
        );
    }
}
