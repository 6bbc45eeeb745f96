//! `nopal-agent cleanup`: leaves the node as if nopal had never been there.

use anyhow::Context;
use nft_backend::anti_spoofing::AntiSpoofing;
use nft_backend::lock::Lock;
use nft_backend::nft::Nft;

use crate::args::Cleanup;
use crate::cni::leases::Leases;
use crate::dataplane::{Removed, remove};
use crate::install;
use crate::state::Store;

/// Takes away the CNI plugin, the table of the network namespace that this runs in, and the saved state.
///
/// # Errors
/// When an agent is at work on the table: nothing is taken away. When table or state cannot be taken away; what can be is.
pub fn run(options: &Cleanup) -> anyhow::Result<()> {
    let place = &options.place;
    let config = place.config()?;
    let mut nft = Nft::new();
    let _lock = Lock::take(&nft, &config.table)?;
    // The plugin first, so that pods can start without an agent.
    let had_plugin = match &options.cni.cni_conf_dir {
        Some(conf_dir) => install::remove(conf_dir, &options.cni.cni_bin_dir),
        None => Ok(Vec::new()),
    };
    let had_attachments = Leases::new(&place.state_dir).remove();
    // The state before the table: whoever starts in between must not put it in force again.
    let state = Store::new(&place.state_dir).remove();
    let held = nopal_cni::quarantine::remove();
    let guards = AntiSpoofing::new(Nft::new()).remove();
    let table = remove(&mut nft, &config);
    let table = table.with_context(|| format!("cannot take away table inet {}", config.table))?;
    if let Removed::OfOthers { found } = &table {
        tracing::warn!(table = %config.table, found, "somebody else has made the table of this name; it stays as it is");
    }
    let had_table = table == Removed::Gone;
    let had_state = state? | had_attachments?;
    if held.context("the quarantine is still there")? {
        tracing::info!("pods that were in quarantine are let go");
    }
    if guards.context("the tables against forged sources are still there")? {
        tracing::info!("the tables against forged sources are taken away");
    }
    tracing::info!(table = %config.table, had_table, had_state, "cleaned up; no policy is in force");
    for path in had_plugin.context("the CNI plugin is still installed")? {
        tracing::info!(path = %path.display(), "the CNI plugin is taken away");
    }
    Ok(())
}
