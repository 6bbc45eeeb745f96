//! Listens to the plugin: a Unix socket for root alone, one request for each connection.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nopal_cni::protocol::{self, Order, ProtocolError, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::desk::Desk;

/// How many plugins are served at a time; others wait in the socket's queue.
const CLIENTS: usize = 64;

/// How long a client may take to say what it wants, or to take the answer.
const WORD: Duration = Duration::from_secs(5);

/// The longest that an order is worked on; the plugin gives up earlier.
const WORK: Duration = Duration::from_secs(150);

/// Listens at `path`, in place of an earlier process: whoever connects in between reaches one of the two.
///
/// The socket is made in a directory that only root may enter, and only root may write to it.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory)?;
    }
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
    fs::rename(&fresh, path)?;
    Ok(listener)
}

/// Serves clients until it is dropped.
pub async fn serve(listener: UnixListener, desk: Desk) {
    let clients = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(place) = clients.clone().acquire_owned().await else {
            // Nobody closes the semaphore.
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(attend(stream, desk.clone(), place));
            }
            Err(error) => {
                tracing::warn!(%error, "the CNI plugin cannot be listened to");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One client, from its request to the end of the connection.
async fn attend(mut stream: UnixStream, desk: Desk, _place: OwnedSemaphorePermit) {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 => {}
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), "a client that is not root is not served");
            return;
        }
        Err(error) => {
            tracing::warn!(%error, "a client that nobody knows is not served");
            return;
        }
    }
    let answer = match timeout(WORD, read(&mut stream)).await {
        Err(_) => {
            tracing::warn!("a client of the CNI socket said nothing and is dropped");
            return;
        }
        Ok(Err(ProtocolError::Io(_))) => return,
        Ok(Err(error)) => Some(Reply::Refused(error.to_string())),
        Ok(Ok(order)) => work(&mut stream, &desk, order).await,
    };
    let Some(answer) = answer else { return };
    if let Ok(bytes) = protocol::encode(&answer) {
        // Whoever does not wait for the answer asks again.
        let _ = timeout(WORD, stream.write_all(&bytes)).await;
    }
}

/// Does the work; nothing when the client went away meanwhile, or it took too long.
async fn work(stream: &mut UnixStream, desk: &Desk, order: Order) -> Option<Reply> {
    tracing::debug!(?order, "CNI");
    // A client sends one request: whatever comes after it, it is its end or nothing that is understood.
    let mut more = [0];
    tokio::select! {
        reply = timeout(WORK, desk.serve(order)) => reply.ok(),
        _ = stream.read(&mut more) => None,
    }
}

async fn read(stream: &mut UnixStream) -> Result<Order, ProtocolError> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await?;
    let length = protocol::length(header)?;
    let mut bytes = Vec::new();
    // The memory grows with what comes, not with what was announced.
    let limit = u64::try_from(length).unwrap_or(u64::MAX);
    stream.take(limit).read_to_end(&mut bytes).await?;
    protocol::order(&bytes)
}
