//! Two pods on a node, and the ways to load the path between them.

use std::io::{IoSlice, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use nopal_lab::{Lab, NodeSpec, PodSpec, Topology};
use socket2::{Domain, Socket, Type};

use crate::Failure;
use crate::policies::{CLIENT, NODE, PORT, SERVER};

/// Datagrams of one system call.
const BATCH: usize = 64;
/// So often a flow is begun, a second each.
const TRIES: usize = 20;

/// A node with its two pods, and sockets in them.
pub(crate) struct Bed {
    pub(crate) lab: Lab,
}

impl Bed {
    pub(crate) fn build() -> Result<Self, Failure> {
        let pod = |name: &str, address: &str| -> Result<PodSpec, Failure> {
            Ok(PodSpec {
                name: name.to_owned(),
                node: NODE.to_owned(),
                addresses: vec![address.parse()?],
            })
        };
        let topology = Topology {
            nodes: vec![NodeSpec {
                name: NODE.to_owned(),
                addresses: vec!["192.168.0.1".parse()?],
            }],
            pods: vec![pod("client", CLIENT)?, pod("server", SERVER)?],
            externals: Vec::new(),
        };
        let lab = Lab::build(&topology, "nopal-bench")?;
        Ok(Self { lab })
    }

    /// A flow of datagrams from the client to the server. Nobody reads them, so the last step of each is to find the
    /// server's buffer full. One that is answered once is established from then on, the other never is.
    pub(crate) fn flow(&self, is_answered: bool) -> Result<Flow, Failure> {
        let (client, server) = (address(CLIENT)?, address(SERVER)?);
        // Two flows to one port, from ports of their own.
        let server =
            self.lab
                .pod_namespace("server")?
                .run(|| -> std::io::Result<UdpSocket> {
                    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
                    socket.set_reuse_address(true)?;
                    socket.set_recv_buffer_size(4096)?;
                    socket.bind(&SocketAddr::from((server, PORT)).into())?;
                    Ok(socket.into())
                })??;
        let socket =
            self.lab
                .pod_namespace("client")?
                .run(|| -> std::io::Result<UdpSocket> {
                    let socket = UdpSocket::bind((client, 0))?;
                    socket.connect(SocketAddrV4::new(address(SERVER).unwrap_or(client), PORT))?;
                    Ok(socket)
                })??;
        if is_answered {
            let wait = Some(Duration::from_secs(1));
            server.set_read_timeout(wait)?;
            socket.set_read_timeout(wait)?;
            // On a busy machine the first datagram can be lost while neighbours are looked for.
            let answer = || -> std::io::Result<()> {
                socket.send(&[0])?;
                let (_, from) = server.recv_from(&mut [0])?;
                server.send_to(&[0], from)?;
                socket.recv(&mut [0]).map(|_| ())
            };
            let mut tries = (0..TRIES).map(|_| answer());
            if !tries.any(|answered| answered.is_ok()) {
                return Err("a datagram and its answer did not pass".into());
            }
            // A second datagram after the answer is the first that counts as established.
            socket.send(&[0])?;
        }
        Ok(Flow { socket, server })
    }

    /// Connections a second: connect, one byte each way, reset; one after the other for so long.
    pub(crate) fn connections(&self, time: Duration) -> Result<f64, Failure> {
        let at = SocketAddr::from((address(SERVER)?, PORT));
        let listener = self
            .lab
            .pod_namespace("server")?
            .run(|| TcpListener::bind(at))??;
        let serve = move || -> std::io::Result<()> {
            loop {
                let (mut stream, _) = listener.accept()?;
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                stream.write_all(&byte)?;
                if byte == [1] {
                    return Ok(());
                }
            }
        };
        let server = std::thread::spawn(serve);
        let rate = self.lab.pod_namespace("client")?.run(|| {
            let start = Instant::now();
            let mut connections = 0.0;
            while start.elapsed() < time {
                connect(at, 0)?;
                connections += 1.0;
            }
            let rate = connections / start.elapsed().as_secs_f64();
            connect(at, 1)?;
            Ok::<f64, std::io::Error>(rate)
        })??;
        server.join().map_err(|_| "the server panicked")??;
        Ok(rate)
    }

    /// IPv4 packets that the node has forwarded.
    pub(crate) fn forwarded(&self) -> Result<u64, Failure> {
        let read = || std::fs::read_to_string("/proc/thread-self/net/snmp");
        let text = self.lab.node_namespace(NODE)?.run(read)??;
        let mut lines = text.lines().filter(|line| line.starts_with("Ip: "));
        let (names, values) = (lines.next(), lines.next());
        let (names, values) = names.zip(values).ok_or("no IP statistics")?;
        let mut both = names.split(' ').zip(values.split(' '));
        let (_, count) = both
            .find(|(name, _)| *name == "ForwDatagrams")
            .ok_or("no count of forwarded packets")?;
        Ok(count.parse()?)
    }
}

/// The flow's sockets.
pub(crate) struct Flow {
    socket: UdpSocket,
    #[expect(dead_code, reason = "while it is open, datagrams have an end")]
    server: UdpSocket,
}

impl Flow {
    /// Sends for so long as fast as it goes; gives how many datagrams, and how long it took.
    pub(crate) fn flood(&self, time: Duration) -> Result<(u64, Duration), Failure> {
        let payload = [0; 16];
        let messages = [[IoSlice::new(&payload)]; BATCH];
        let addresses = [None::<SockaddrIn>; BATCH];
        let mut headers = MultiHeaders::preallocate(BATCH, None);
        let start = Instant::now();
        let mut sent = 0;
        while start.elapsed() < time {
            let results = sendmmsg(
                self.socket.as_raw_fd(),
                &mut headers,
                &messages,
                addresses,
                [],
                MsgFlags::empty(),
            )?;
            sent += results.count() as u64;
        }
        Ok((sent, start.elapsed()))
    }
}

fn connect(at: SocketAddr, byte: u8) -> std::io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_nodelay(true)?;
    socket.connect(&at.into())?;
    let mut stream: TcpStream = socket.into();
    stream.write_all(&[byte])?;
    stream.read_exact(&mut [0])
}

fn address(text: &str) -> Result<Ipv4Addr, std::net::AddrParseError> {
    text.parse()
}
