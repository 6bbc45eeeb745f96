//! The far ends of probes: listeners in the destinations' namespaces, served by one thread.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::patience::patient;
use crate::poll::Poll;
use crate::{LabError, Namespace};

/// Connections that wait to be accepted. The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Room for what arrives while the serving thread does not run.
pub(crate) const BUFFER: usize = 8 << 20;

/// How often the serving thread looks whether it is to end.
const TICK: Duration = Duration::from_millis(20);

/// The longest time that a process that is being started keeps copies of our sockets, on a machine under load.
const COPIES_ARE_CLOSED: Duration = Duration::from_secs(2);

/// What a listener understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    /// Takes connections of TCP.
    Tcp,
    /// Takes connections of SCTP, where the kernel has it.
    Sctp,
    /// Sends every datagram back.
    Udp,
}

/// Where to listen: in each namespace, on these addresses and ports.
pub(crate) type Places = BTreeMap<(usize, IpAddr, u16, Service), Namespace>;

/// Listeners that answer until they are dropped.
pub(crate) struct Listeners {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listeners {
    /// Opens a listener at every place; when this returns, all of them answer.
    pub(crate) fn open(places: Places) -> Result<Self, LabError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::channel();
        let stop_thread = Arc::clone(&stop);
        let thread = thread::spawn(move || serve(&places, &ready, &stop_thread));
        let listeners = Self {
            stop,
            thread: Some(thread),
        };
        is_ready
            .recv()
            .expect("the serving thread reports before it ends")?;
        Ok(listeners)
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the serving thread does not panic");
        }
    }
}

enum Listener {
    Connections(Socket),
    Datagrams(UdpSocket),
}

fn serve(places: &Places, ready: &Sender<Result<(), LabError>>, stop: &AtomicBool) {
    let (poll, listeners) = match open_all(places) {
        Ok(open) => open,
        Err(error) => return ready.send(Err(error)).unwrap_or(()),
    };
    if ready.send(Ok(())).is_err() {
        return;
    }
    while !stop.load(Ordering::Relaxed) {
        // Without a working epoll nothing is answered any more, and the probes show it.
        let Ok(numbers) = poll.wait(TICK) else { return };
        for number in numbers {
            match &listeners[number] {
                Listener::Connections(socket) => accept_all(socket),
                Listener::Datagrams(socket) => send_all_back(socket),
            }
        }
    }
}

fn open_all(places: &Places) -> Result<(Poll, Vec<Listener>), LabError> {
    let poll = Poll::new()?;
    let mut listeners = Vec::with_capacity(places.len());
    let mut inside = None;
    for (&(position, address, port, service), namespace) in places {
        if inside != Some(position) {
            namespace.enter()?;
            inside = Some(position);
        }
        let name = namespace.name();
        let action = format!("listen on {address} port {port} ({service:?}) in `{name}`");
        let socket = listen(address, port, service).map_err(LabError::io(action))?;
        poll.add_readable(&socket, listeners.len())?;
        listeners.push(match service {
            Service::Tcp | Service::Sctp => Listener::Connections(socket),
            Service::Udp => Listener::Datagrams(socket.into()),
        });
    }
    Ok((poll, listeners))
}

/// A listening socket that does not block.
///
/// A process that another thread is just starting holds a copy of every socket until it runs its own
/// program, so a port that was closed a moment ago can still be in use: then this waits a little.
pub(crate) fn listen(address: IpAddr, port: u16, service: Service) -> std::io::Result<Socket> {
    let end = Instant::now() + patient(COPIES_ARE_CLOSED);
    loop {
        match try_to_listen(address, port, service) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < end => {
                thread::sleep(Duration::from_millis(1));
            }
            result => return result,
        }
    }
}

fn try_to_listen(address: IpAddr, port: u16, service: Service) -> std::io::Result<Socket> {
    let at = SocketAddr::new(address, port);
    let (kind, protocol) = match service {
        Service::Tcp => (Type::STREAM, Protocol::TCP),
        Service::Sctp => (Type::STREAM, Protocol::SCTP),
        Service::Udp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(at), kind.nonblocking(), Some(protocol))?;
    if service == Service::Udp {
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
    } else {
        // A connection that lasts, or one that is being forgotten, does not keep the port.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&at.into())?;
    if service != Service::Udp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

/// An accepted connection has proved itself and can be closed.
fn accept_all(socket: &Socket) {
    loop {
        match socket.accept() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(_) => return,
        }
    }
}

fn send_all_back(socket: &UdpSocket) {
    let mut buffer = [0; 64];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        // A reply that is refused is one that a filter blocks: the probe sees silence.
        let _ = socket.send_to(&buffer[..length], peer);
    }
}
