//! Datagrams between network namespaces, over IPv4 and IPv6.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nopal_lab::patient;

/// The port of name servers.
pub(crate) const DNS: u16 = 53;

/// Works in a network namespace.
pub(crate) fn inside<T: Send>(namespace: &Path, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            setns(File::open(namespace).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        work.join().unwrap()
    })
}

/// A socket at a port of a namespace, for datagrams from and to addresses like this one.
fn socket(namespace: &Path, like: IpAddr, port: u16) -> UdpSocket {
    let any: IpAddr = match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = inside(namespace, || UdpSocket::bind((any, port)).unwrap());
    let patience = Some(Duration::from_millis(50));
    socket.set_read_timeout(patience).unwrap();
    socket
}

/// Whether a datagram from one namespace and port gets to an address and port in the other, of several that are sent.
pub(crate) fn arrives(from: (&Path, u16), to: (&Path, IpAddr, u16)) -> bool {
    let (sender, receiver) = (socket(from.0, to.1, from.1), socket(to.0, to.1, to.2));
    sends(&sender, &receiver, SocketAddr::new(to.1, to.2)).is_some()
}

/// Sends until it arrives or enough was sent; gives who is seen to have sent it.
pub(crate) fn sends(
    sender: &UdpSocket,
    receiver: &UdpSocket,
    to: SocketAddr,
) -> Option<SocketAddr> {
    let begun = Instant::now();
    let mut sent = 0;
    while sent < 5 || begun.elapsed() < patient(Duration::from_millis(500)) {
        // What the node refuses to route is not sent.
        let _ = sender.send_to(b"x", to);
        sent += 1;
        if let Ok((_, from)) = receiver.recv_from(&mut [0; 4]) {
            return Some(from);
        }
    }
    None
}

/// Whether a question at port 53 gets its answer.
pub(crate) fn resolves(pod: &Path, server: &Path, at: IpAddr) -> bool {
    let (client, server) = (socket(pod, at, 0), socket(server, at, DNS));
    let Some(from) = sends(&client, &server, SocketAddr::new(at, DNS)) else {
        return false;
    };
    (0..5).any(|_| {
        server.send_to(b"y", from).unwrap();
        client.recv_from(&mut [0; 4]).is_ok()
    })
}
