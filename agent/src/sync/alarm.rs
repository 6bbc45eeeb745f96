//! Tells when somebody changed nftables, without asking.

use std::future::pending;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that becomes readable when there is something to look at.
#[derive(Debug)]
pub struct Alarm(Option<OwnedFd>);

/// An alarm that a runtime waits for.
#[derive(Debug)]
pub(super) struct Listening(Option<AsyncFd<OwnedFd>>);

impl Alarm {
    /// The alarm of this descriptor, which does not block and stays with its owner.
    ///
    /// # Errors
    /// When the process may have no more descriptors.
    pub fn of(source: &impl AsFd) -> io::Result<Self> {
        Ok(Self(Some(source.as_fd().try_clone_to_owned()?)))
    }

    /// One that never rings, where nobody tells of changes.
    pub const fn silent() -> Self {
        Self(None)
    }

    /// Has the runtime of the calling task wait for it.
    ///
    /// # Errors
    /// When the system does not wait for such a descriptor.
    #[expect(
        deprecated,
        reason = "it is unsound for a descriptor that is closed too early; this one is owned, and the other way is unsafe code"
    )]
    pub(super) fn listen(self) -> io::Result<Listening> {
        let readable = |descriptor| AsyncFd::with_interest(descriptor, Interest::READABLE);
        Ok(Listening(self.0.map(readable).transpose()?))
    }
}

impl Listening {
    /// Waits until it rings. Whoever waited reads everything there is then: it rings again only for what comes later, and
    /// not for what somebody has read before.
    pub(super) async fn rings(&self) {
        let Some(descriptor) = &self.0 else {
            return pending().await;
        };
        loop {
            match descriptor.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                // The runtime comes to its end.
                Err(_) => return pending().await,
            }
            // Whatever comes from here on makes it ready again, so nothing is missed.
            if is_readable(descriptor.get_ref()) {
                return;
            }
        }
    }
}

/// Whether there is anything to read, or nobody can tell. After each update of ours the kernel has told it and the sync
/// has read it, so mostly there is not.
fn is_readable(descriptor: &OwnedFd) -> bool {
    let mut asked = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    poll(&mut asked, PollTimeout::ZERO) != Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const A_MOMENT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn it_rings_for_what_comes_and_not_for_what_was_read() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let alarm = Alarm::of(&near).unwrap().listen().unwrap();
        assert!(timeout(A_MOMENT, alarm.rings()).await.is_err());
        for _ in 0..2 {
            far.write_all(b"x").unwrap();
            alarm.rings().await;
            near.read_exact(&mut [0]).unwrap();
            assert!(timeout(A_MOMENT, alarm.rings()).await.is_err());
            // Read by somebody else before anybody waits.
            far.write_all(b"x").unwrap();
            near.read_exact(&mut [0]).unwrap();
            assert!(timeout(A_MOMENT, alarm.rings()).await.is_err());
        }
        assert!(
            timeout(A_MOMENT, Alarm::silent().listen().unwrap().rings())
                .await
                .is_err()
        );
    }
}
