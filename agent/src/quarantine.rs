//! Lets go of the pods that the CNI plugin holds in quarantine, once their rules are in force.
//!
//! What is held stands in the kernel, so it outlives plugin and agent. An address is let go when rules are in force for
//! it, for the very pod that it is held for; whatever else is the case, it stays held. The very pod is the one of the uid
//! that the runtime told: a pod of its name that came after it, or was before it, is another one. A runtime that tells
//! no uid is believed the name.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use nopal_cni::quarantine::{Held, QuarantineError, held, release};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::args::OnFailure;
use crate::status::Shared;
use crate::topology::{Addresses, Holder};

/// How often is looked for pods that the plugin came to hold, beside each change of the node's pods.
const WHERE_PODS_ARE_HELD: Duration = Duration::from_secs(5);

/// The same where the plugin holds none: some may be left of a time when it did.
const ELSEWHERE: Duration = Duration::from_secs(60);

/// After a look, changes are gathered so long: each look runs nft, and most pods that start are not held.
const PAUSE: Duration = Duration::from_millis(250);

/// Lets go of the pods that have rules in force, in the network namespace that this runs in; gives those that stay.
///
/// # Errors
/// When nft cannot be asked or refuses.
pub fn lift(in_force: &Addresses) -> Result<BTreeSet<String>, QuarantineError> {
    let held = held()?;
    let is_done = |address: &IpAddr, held: &Held| {
        let holder = in_force.get(address);
        holder.is_some_and(|holder| is_for(held, holder))
    };
    let (done, stay): (Vec<_>, Vec<_>) = held
        .into_iter()
        .partition(|(address, held)| is_done(address, held));
    if !done.is_empty() {
        release(&done.iter().map(|(address, _)| *address).collect())?;
        for (address, held) in done {
            tracing::info!(pod = held.pod, %address, "its rules are in force; it leaves quarantine");
        }
    }
    Ok(stay.into_iter().map(|(_, held)| held.pod).collect())
}

/// Whether what is held is this pod. One whose uid the API has not told is not taken for a pod of that uid.
fn is_for(held: &Held, holder: &Holder) -> bool {
    let is_same = held.uid.as_ref().is_none_or(|uid| *uid == holder.uid);
    held.pod == holder.pod && is_same
}

/// Does it again and again, for as long as somebody tells for which addresses rules are in force.
/// `on_failure` is what the plugin does without an agent.
pub async fn look_after(
    mut in_force: watch::Receiver<Addresses>,
    on_failure: OnFailure,
    shared: Shared,
) {
    let interval = match on_failure {
        OnFailure::Open => WHERE_PODS_ARE_HELD,
        OnFailure::Closed => ELSEWHERE,
    };
    let mut failure = None;
    loop {
        let told = timeout(interval, in_force.changed()).await;
        if matches!(told, Ok(Err(_))) {
            return;
        }
        let known = in_force.borrow_and_update().clone();
        match spawn_blocking(move || lift(&known)).await {
            Ok(Ok(stay)) => {
                shared.quarantined(stay);
                failure = None;
            }
            Ok(Err(error)) => {
                let error = error.to_string();
                if failure.as_ref() != Some(&error) {
                    tracing::warn!(error, "cannot tell who is in quarantine");
                }
                failure = Some(error);
            }
            Err(error) => tracing::warn!(%error, "cannot tell who is in quarantine"),
        }
        sleep(PAUSE).await;
    }
}
