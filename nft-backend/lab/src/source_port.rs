//! Source ports that were not used lately.
//!
//! A connection tracker remembers a flow for up to two minutes and lets it pass as established, even
//! if a new flow would not. So a probe's source port is one that no recent probe had.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::Socket;

/// The first port, which is where Linux's own range for source ports begins.
const FIRST: u16 = 32_768;

/// So many ports are given out before the first comes again.
const COUNT: u16 = 28_000;

/// Gives out source ports in turn.
#[derive(Debug, Default)]
pub(crate) struct SourcePorts(AtomicU32);

impl SourcePorts {
    /// The port that was given out longest ago.
    pub(crate) fn next(&self) -> u16 {
        let taken = self.0.fetch_add(1, Ordering::Relaxed) % u32::from(COUNT);
        FIRST + u16::try_from(taken).expect("less than `COUNT`")
    }

    /// Binds the socket to `port`, or to the next one that the address has free.
    pub(crate) fn bind(&self, socket: &Socket, address: IpAddr, port: u16) -> io::Result<()> {
        let mut result = socket.bind(&SocketAddr::new(address, port).into());
        for _ in 0..COUNT {
            match result {
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    result = socket.bind(&SocketAddr::new(address, self.next()).into());
                }
                other => return other,
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_again_only_after_all_others() {
        let ports = SourcePorts::default();
        let round: Vec<u16> = (0..COUNT).map(|_| ports.next()).collect();
        assert!(round.is_sorted() && round[0] == FIRST);
        assert_eq!(ports.next(), FIRST);
    }
}
