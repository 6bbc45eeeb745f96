//! The agent's side of the CNI plugin: pods of this node are known by what the runtime says before the API shows it.
//!
//! [`overlay`] is what is known, as a value; [`desk`] keeps it between the watches and the sync; [`leases`] has it on
//! disk for the next process; [`server`] listens to the plugin.

pub mod desk;
pub mod leases;
pub mod overlay;
pub mod server;

use std::path::Path;

use anyhow::Context;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinSet;

use crate::watch::Batch;
use desk::Desk;

/// Starts serving the plugin at `socket`; gives where the watches are to send to, of which `queue` may wait.
///
/// # Errors
/// When the socket cannot be made.
pub fn start(
    socket: &Path,
    desk: Desk,
    queue: usize,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Sender<Batch>> {
    let listener = server::bind(socket);
    let listener =
        listener.with_context(|| format!("cannot serve the CNI plugin at {}", socket.display()))?;
    let (sender, batches) = mpsc::channel(queue);
    tasks.spawn(desk.clone().relay(batches));
    tasks.spawn(desk.clone().sweep());
    tasks.spawn(server::serve(listener, desk));
    Ok(sender)
}
