//! A flow of datagrams that lasts, to see whether a change of the filter cuts it or loses any of them.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::listener::{Service, listen};
use crate::patience::patient;
use crate::{Lab, LabError};

/// Two sockets that know each other, both of which are held here. Each datagram is sent once, so one that is lost is
/// noticed.
#[derive(Debug)]
pub struct Dialogue {
    client: UdpSocket,
    server: UdpSocket,
    /// The number of the last datagram, so that a late one is not taken for the present one.
    last: u32,
}

impl Dialogue {
    /// Sends a datagram from a free port of `from` to `at`, which is `server` or a Service's address that is translated
    /// to it. Nothing has been answered then, so to a connection tracker the flow is not established.
    /// [`LabError::NotConnected`] says that it did not arrive within `patience`.
    pub fn open(
        lab: &Lab,
        from: IpAddr,
        at: SocketAddr,
        server: SocketAddr,
        patience: Duration,
    ) -> Result<Self, LabError> {
        let listening = lab
            .namespace_of(server.ip())?
            .run(|| listen(server.ip(), server.port(), Service::Udp))?
            .map_err(LabError::io(format!("listen on {server}")))?;
        let listening: UdpSocket = listening.into();
        let blocking = |socket: &UdpSocket| socket.set_nonblocking(false);
        blocking(&listening).map_err(LabError::io(format!("wait at {server}")))?;
        let client = lab
            .namespace_of(from)?
            .run(|| {
                let socket = UdpSocket::bind((from, 0))?;
                socket.connect(at)?;
                Ok(socket)
            })?
            .map_err(LabError::io::<std::io::Error>(format!(
                "open a socket on {from}"
            )))?;
        let mut dialogue = Self {
            client,
            server: listening,
            last: 0,
        };
        match dialogue.first(patience) {
            Some(client) => {
                let connected = dialogue.server.connect(client);
                connected.map_err(LabError::io(format!("answer {client}")))?;
                Ok(dialogue)
            }
            None => Err(LabError::NotConnected {
                from,
                to: at.ip(),
                port: at.port(),
            }),
        }
    }

    /// Whether a datagram of the client gets to the server and one of the server's comes back, each within `patience`.
    pub fn exchange(&mut self, patience: Duration) -> bool {
        self.tell(patience) && self.pushes(patience)
    }

    /// The same with the server sending first, as when it pushes what the client asked for long ago.
    pub fn push(&mut self, patience: Duration) -> bool {
        self.pushes(patience) && self.tell(patience)
    }

    /// Whether a datagram of the client gets to the server, which does not answer.
    pub fn tell(&mut self, patience: Duration) -> bool {
        self.last = self.last.wrapping_add(1);
        passes(&self.client, &self.server, self.last, patience)
    }

    fn pushes(&mut self, patience: Duration) -> bool {
        self.last = self.last.wrapping_add(1);
        passes(&self.server, &self.client, self.last, patience)
    }

    /// Where the first datagram comes from, as the server sees it.
    fn first(&mut self, patience: Duration) -> Option<SocketAddr> {
        self.client.send(&self.last.to_be_bytes()).ok()?;
        self.server.set_read_timeout(Some(patient(patience))).ok()?;
        let (_, client) = self.server.recv_from(&mut [0; 4]).ok()?;
        Some(client)
    }
}

fn passes(from: &UdpSocket, to: &UdpSocket, number: u32, patience: Duration) -> bool {
    let end = Instant::now() + patient(patience);
    let mut buffer = [0; 4];
    if from.send(&number.to_be_bytes()).is_err() {
        return false;
    }
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || to.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        match to.recv(&mut buffer) {
            Ok(_) if buffer == number.to_be_bytes() => return true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}
