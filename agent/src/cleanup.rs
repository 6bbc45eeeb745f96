//! `nopal-agent cleanup`: leaves the node as if nopal had never been there.

use anyhow::Context;
use nft_backend::lock::Lock;
use nft_backend::nft::Nft;

use crate::args::Cleanup;
use crate::dataplane::remove;
use crate::state::Store;

/// Takes away the table of the network namespace that this runs in, and the saved state.
///
/// # Errors
/// When an agent is at work on the table: nothing is taken away. When table or state cannot be taken away; what can be is.
pub fn run(options: &Cleanup) -> anyhow::Result<()> {
    let place = &options.place;
    let config = place.config()?;
    let mut nft = Nft::new();
    let _lock = Lock::take(&nft, &config.table)?;
    // The state first: whoever starts in between must not put it in force again.
    let state = Store::new(&place.state_dir).remove();
    let table = remove(&mut nft, &config);
    let had_table =
        table.with_context(|| format!("cannot take away table inet {}", config.table))?;
    let had_state = state?;
    tracing::info!(table = %config.table, had_table, had_state, "cleaned up; no policy is in force");
    Ok(())
}
