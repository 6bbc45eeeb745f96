//! A TCP connection that lasts, to see whether a change of the filter cuts it.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::listener::{Service, listen};
use crate::patience::patient;
use crate::{Lab, LabError};

/// An open connection, both ends of which are held here.
#[derive(Debug)]
pub struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// The last byte that was sent, so that a late one is not taken for the present one.
    last: u8,
}

impl Connection {
    /// Connects `from` to a listener on `to` and `port`, which is closed again at once.
    /// [`LabError::NotConnected`] says that this took longer than `patience` or was refused.
    pub fn open(
        lab: &Lab,
        from: IpAddr,
        to: IpAddr,
        port: u16,
        patience: Duration,
    ) -> Result<Self, LabError> {
        let server = SocketAddr::new(to, port);
        Self::open_through(lab, from, server, server, patience)
    }

    /// The same with a Service between: connects to `at`, which is translated to `server` on the way.
    pub fn open_through(
        lab: &Lab,
        from: IpAddr,
        at: SocketAddr,
        server: SocketAddr,
        patience: Duration,
    ) -> Result<Self, LabError> {
        let patience = patient(patience);
        let listener = lab
            .namespace_of(server.ip())?
            .run(|| listen(server.ip(), server.port(), Service::Tcp))?
            .map_err(LabError::io(format!("listen on {server}")))?;
        let (to, port) = (at.ip(), at.port());
        let refused = || LabError::NotConnected { from, to, port };
        let client = lab
            .namespace_of(from)?
            .run(|| connect(from, at, patience))?
            .map_err(|error| match error.kind() {
                ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable => {
                    LabError::io(format!("use the address {from}"))(error)
                }
                _ => refused(),
            })?;
        let server = accept(&listener, patience).ok_or_else(refused)?;
        Ok(Self {
            client,
            server,
            last: 0,
        })
    }

    /// Whether a byte of the client gets to the server and one of the server's comes back, all
    /// within `patience`.
    pub fn exchange(&mut self, patience: Duration) -> bool {
        self.last = self.last.wrapping_add(1);
        round_trip(&self.client, &self.server, self.last, patience)
    }

    /// The same with the server writing first, as when it pushes data on a connection that the
    /// client opened long ago.
    pub fn push(&mut self, patience: Duration) -> bool {
        self.last = self.last.wrapping_add(1);
        round_trip(&self.server, &self.client, self.last, patience)
    }
}

fn connect(from: IpAddr, to: SocketAddr, patience: Duration) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    // Nothing remembers the connection once it is dropped.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), patience)?;
    Ok(socket.into())
}

/// The handshake's last packet may still be on its way.
fn accept(listener: &Socket, patience: Duration) -> Option<TcpStream> {
    let end = Instant::now() + patience;
    loop {
        match listener.accept() {
            Ok((server, _)) => {
                server.set_nonblocking(false).ok()?;
                server.set_linger(Some(Duration::ZERO)).ok()?;
                server.set_tcp_nodelay(true).ok()?;
                return Some(server.into());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(_) => return None,
        }
    }
}

fn round_trip(first: &TcpStream, second: &TcpStream, byte: u8, patience: Duration) -> bool {
    let end = Instant::now() + patient(patience);
    send(first, byte)
        && arrives(second, byte, end)
        && send(second, byte)
        && arrives(first, byte, end)
}

fn send(mut stream: &TcpStream, byte: u8) -> bool {
    stream.write_all(&[byte]).is_ok()
}

/// Reads until the byte comes; those before it are late ones of exchanges that failed.
fn arrives(mut stream: &TcpStream, byte: u8, end: Instant) -> bool {
    let mut buffer = [0];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        match stream.read(&mut buffer) {
            Ok(1) if buffer[0] == byte => return true,
            Ok(1) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return false,
        }
    }
}
