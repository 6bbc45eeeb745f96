//! One instance for each table: a second one would take the table away from the first, change by change.
//!
//! The lock is an abstract unix socket, bound in the network namespace that holds the table. So it lives
//! and dies with the namespace and with the process that holds it, needs no file that could be left
//! behind, and works between containers that share a network namespace and nothing else.
//!
//! Any process of the namespace can bind such a name, also one that may not change tables. That must
//! not keep policies from being enforced, so a holder that is neither root nor of our own user is
//! reported and passed over.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;

use crate::names::Name;
use crate::namespace::in_namespace;
use crate::nft::Nft;

/// Between finding the name taken and asking by whom, the holder may end.
const TRIES: usize = 5;

/// A process that was killed while it started another one leaves the name to that one until it has become its program,
/// which has none of our files open. How long that is waited for, and how often it is looked meanwhile: seldom, because
/// nobody takes our question off the queue of a holder that has ended.
const PASSING: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// The right to change a table, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    /// Bound and never read; `None` when somebody who cannot change tables has the name.
    _socket: Option<UnixListener>,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The number of its process; `None` when it lives in another process namespace.
    pub pid: Option<u32>,
    /// The name of its program, where it can be told.
    pub name: Option<String>,
    /// Its user.
    pub user: u32,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another instance works on the table.
    #[error(
        "{holder} is at work on the table inet {table}; end it first, or wait until it has ended"
    )]
    Held {
        /// The table.
        table: Name,
        /// The other instance.
        holder: Holder,
    },
    /// The system did not let us try.
    #[error("cannot lock the table inet {table}: {source}")]
    System {
        /// The table.
        table: Name,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock of this table in the network namespace of `kernel`. It does not wait for another instance, but for
    /// what is left of one that has ended, at most two seconds.
    ///
    /// # Errors
    /// [`LockError::Held`] while another instance has it; [`LockError::System`] when there is no such
    /// namespace or we may not enter it.
    pub fn take(kernel: &Nft, table: &Name) -> Result<Self, LockError> {
        let address = format!("nopal/inet/{table}");
        let taken = in_namespace(kernel.namespace(), move || take(&address));
        match taken {
            Ok(Ok(socket)) => Ok(Self {
                _socket: Some(socket),
            }),
            Ok(Err(holder)) if holder.may_be_nopal() => Err(LockError::Held {
                table: table.clone(),
                holder,
            }),
            Ok(Err(holder)) => {
                tracing::warn!(%table, %holder, "somebody who cannot change tables has the name of our lock; going on without it");
                Ok(Self { _socket: None })
            }
            Err(source) => Err(LockError::System {
                table: table.clone(),
                source,
            }),
        }
    }
}

impl Holder {
    fn may_be_nopal(&self) -> bool {
        self.user == 0 || self.user == geteuid().as_raw()
    }

    /// Whether there is no such process any more, as far as it can be seen from here.
    fn has_ended(&self) -> bool {
        self.pid
            .is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.name) {
            (Some(pid), Some(name)) => write!(f, "process {pid} ({name})"),
            (Some(pid), None) => write!(f, "process {pid}"),
            (None, _) => write!(f, "a process of another container"),
        }?;
        if self.user != 0 {
            write!(f, " of user {}", self.user)?;
        }
        Ok(())
    }
}

/// The bound socket, or who has it.
fn take(address: &str) -> io::Result<Result<UnixListener, Holder>> {
    let address = SocketAddr::from_abstract_name(address)?;
    let begun = Instant::now();
    let mut refused = 0;
    while refused < TRIES {
        match UnixListener::bind_addr(&address) {
            Ok(socket) => return Ok(Ok(socket)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
        match UnixStream::connect_addr(&address) {
            Ok(stream) => {
                let holder = holder(&stream)?;
                if !holder.has_ended() || begun.elapsed() >= PASSING {
                    return Ok(Err(holder));
                }
                sleep(PAUSE);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => refused += 1,
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(
        "its lock is bound, and nobody answers there",
    ))
}

/// The kernel noted who called `listen`. A number of 0 stands for a process that we cannot see.
fn holder(stream: &UnixStream) -> io::Result<Holder> {
    let credentials = getsockopt(stream, PeerCredentials)?;
    let pid = u32::try_from(credentials.pid())
        .ok()
        .filter(|pid| *pid != 0);
    let name = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok());
    Ok(Holder {
        pid,
        name: name.map(|name| name.trim_end().to_owned()),
        user: credentials.uid(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_named_as_far_as_it_is_known() {
        let holder = |pid, name: Option<&str>, user| {
            let name = name.map(str::to_owned);
            Holder { pid, name, user }.to_string()
        };
        assert_eq!(holder(Some(7), Some("nopal"), 0), "process 7 (nopal)");
        assert_eq!(holder(Some(7), None, 1000), "process 7 of user 1000");
        assert_eq!(holder(None, None, 0), "a process of another container");
    }
}
