//! The plugin's end of the conversation with the agent.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::protocol::{Order, ProtocolError, Reply, converse};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error(
        "the agent cannot be reached at {socket}: {source}; is nopal-agent running on this node?"
    )]
    Unreachable {
        /// Where it was looked for.
        socket: String,
        /// Why.
        source: std::io::Error,
    },
    /// It said nothing in time.
    #[error("the agent did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// What it said cannot be used.
    #[error("the agent's answer cannot be used: {0}")]
    Garbled(#[from] ProtocolError),
}

/// Asks the agent, and waits no longer than `patience` in all.
pub(crate) fn ask(socket: &Path, order: Order, patience: Duration) -> Result<Reply, ClientError> {
    let (sender, answer) = mpsc::channel();
    let path = socket.to_owned();
    // On a thread of its own, since connecting to a Unix socket whose queue is full blocks without a limit. It ends
    // with the process.
    thread::spawn(move || {
        // Nobody listens once patience has ended.
        let _ = sender.send(talk(&path, &order));
    });
    answer
        .recv_timeout(patience)
        .unwrap_or(Err(ClientError::Silent(patience)))
}

fn talk(socket: &Path, order: &Order) -> Result<Reply, ClientError> {
    let mut stream = UnixStream::connect(socket).map_err(|source| ClientError::Unreachable {
        socket: socket.display().to_string(),
        source,
    })?;
    Ok(converse(&mut stream, order)?)
}
