//! One attempt at many probes: send everything, then wait once for all answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use socket2::{Protocol, Socket};

use super::echo::Echo;
use super::socket::is_refusal;
use super::{Probe, ProbeKind, Stamp, sctp, stream, udp};
use crate::patience::patient;
use crate::poll::Poll;
use crate::{Lab, LabError};

/// The longest that an attempt waits, however slowly answers come.
const LIMIT: Duration = Duration::from_secs(20);

/// How often the stop flag is looked at.
const TICK: Duration = Duration::from_millis(50);

/// How an attempt spreads its packets.
pub(super) struct Pace {
    /// So many probes are sent together.
    pub(super) burst: usize,
    /// So long answers are listened for before the next burst.
    pub(super) pause: Duration,
    /// What did not answer when so long nothing came has failed.
    pub(super) quiet: Duration,
}

/// Tries the probes of `group` at the positions `open` and gives the positions of those that passed.
/// The calling thread ends up in some namespace of the lab.
pub(super) fn attempt(
    lab: &Lab,
    group: &[Probe],
    open: &[usize],
    real_sctp: bool,
    pace: &Pace,
    stop: &AtomicBool,
) -> Result<BTreeSet<usize>, LabError> {
    let mut wave = Wave {
        lab,
        group,
        stop,
        real_sctp,
        attempt: lab.next_attempt(),
        source_port: lab.datagram_ports.next(),
        poll: Poll::new()?,
        ears: Vec::new(),
        senders: BTreeMap::new(),
        waiting: open.iter().copied().collect(),
        passed: BTreeSet::new(),
    };
    wave.open_init_sinks()?;
    wave.send_all(open, pace)?;
    wave.wait(pace.quiet)?;
    Ok(wave.passed)
}

/// A socket on which answers arrive.
enum Ear {
    /// A connection of the probe at this position.
    Stream(usize, Socket),
    /// The echoes for one source address.
    Udp(UdpSocket),
    /// The echo replies for one source address.
    Echo(Echo),
    /// The INIT chunks that one destination address sees.
    InitSink(IpAddr, Socket),
    /// INIT chunks go out here; nothing is expected.
    InitSource(Socket),
    /// A connection that is decided and closed.
    Closed,
}

/// Sockets that many probes of one source address share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sender {
    Udp,
    Echo,
    Init,
}

struct Wave<'a> {
    lab: &'a Lab,
    group: &'a [Probe],
    stop: &'a AtomicBool,
    real_sctp: bool,
    attempt: u32,
    source_port: u16,
    poll: Poll,
    ears: Vec<Ear>,
    /// Positions in `ears`.
    senders: BTreeMap<(IpAddr, Sender), usize>,
    /// Probes that neither passed nor were refused yet.
    waiting: BTreeSet<usize>,
    passed: BTreeSet<usize>,
}

impl Wave<'_> {
    /// Opens the sockets that will see raw INITs, before any is sent.
    fn open_init_sinks(&mut self) -> Result<(), LabError> {
        if self.real_sctp {
            return Ok(());
        }
        let is_init = |probe: &&Probe| matches!(probe.kind, ProbeKind::Sctp(_));
        let probes = self.waiting.iter().map(|&index| &self.group[index]);
        let addresses: BTreeSet<IpAddr> = probes.filter(is_init).map(|probe| probe.to).collect();
        for address in addresses {
            self.lab.namespace_of(address)?.enter()?;
            let socket = sctp::open(address)
                .map_err(LabError::io(format!("listen for SCTP on {address}")))?;
            self.poll.add_readable(&socket, self.ears.len())?;
            self.ears.push(Ear::InitSink(address, socket));
        }
        Ok(())
    }

    fn send_all(&mut self, open: &[usize], pace: &Pace) -> Result<(), LabError> {
        let mut by_source: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &index in open {
            let position = self.lab.position_of(self.group[index].from)?;
            by_source.entry(position).or_default().push(index);
        }
        for (position, members) in by_source {
            self.lab.namespaces()[position].enter()?;
            for burst in members.chunks(pace.burst) {
                burst.iter().try_for_each(|&index| self.send(index))?;
                self.listen(pace.pause)?;
            }
        }
        Ok(())
    }

    /// Sends the packet of one probe; the thread is in the source's namespace.
    fn send(&mut self, index: usize) -> Result<(), LabError> {
        let probe = self.group[index];
        let sent = match probe.kind {
            ProbeKind::Tcp(port) => self.connect(index, port, Protocol::TCP),
            ProbeKind::Sctp(port) if self.real_sctp => self.connect(index, port, Protocol::SCTP),
            ProbeKind::Sctp(port) => self.send_stamped(index, Sender::Init, port),
            ProbeKind::Udp(port) => self.send_stamped(index, Sender::Udp, port),
            ProbeKind::Echo => self.send_stamped(index, Sender::Echo, 0),
        };
        let is_sent = sent.map_err(|error| {
            let Probe { from, to, kind } = probe;
            LabError::io(format!("send a probe from {from} to {to} ({kind:?})"))(error)
        })?;
        if !is_sent {
            self.waiting.remove(&index);
        }
        Ok(())
    }

    /// Gives false if the connection was refused at once.
    fn connect(&mut self, index: usize, port: u16, protocol: Protocol) -> io::Result<bool> {
        let probe = self.group[index];
        let to = SocketAddr::new(probe.to, port);
        let Some(socket) = stream::begin(probe.from, to, protocol, &self.lab.stream_ports)? else {
            return Ok(false);
        };
        self.poll
            .add_connecting(&socket, self.ears.len())
            .map_err(io::Error::other)?;
        self.ears.push(Ear::Stream(index, socket));
        Ok(true)
    }

    /// Gives false if the packet was refused at once.
    fn send_stamped(&mut self, index: usize, sender: Sender, port: u16) -> io::Result<bool> {
        let probe = self.group[index];
        let stamp = Stamp {
            attempt: self.attempt,
            index,
        };
        let to = SocketAddr::new(probe.to, port);
        let position = self.sender(probe.from, sender)?;
        let sent = match &self.ears[position] {
            Ear::Udp(socket) => udp::send(socket, to, stamp),
            Ear::Echo(echo) => echo.send(probe.to, stamp),
            Ear::InitSource(socket) => sctp::send(socket, self.source_port, to, stamp),
            Ear::Stream(..) | Ear::InitSink(..) | Ear::Closed => unreachable!("not a sender"),
        };
        match sent {
            Ok(()) => Ok(true),
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The position of the socket that sends for this address, which is opened if need be.
    fn sender(&mut self, from: IpAddr, sender: Sender) -> io::Result<usize> {
        if let Some(&position) = self.senders.get(&(from, sender)) {
            return Ok(position);
        }
        let position = self.ears.len();
        let ear = match sender {
            Sender::Udp => {
                let ports = &self.lab.datagram_ports;
                Ear::Udp(udp::open(from, self.source_port, ports)?)
            }
            Sender::Echo => Ear::Echo(Echo::open(from, self.source_port)?),
            Sender::Init => Ear::InitSource(sctp::open(from)?),
        };
        let watched = match &ear {
            Ear::Udp(socket) => Some(socket.as_fd()),
            Ear::Echo(echo) => Some(echo.socket.as_fd()),
            _ => None,
        };
        if let Some(socket) = watched {
            self.poll
                .add_readable(socket, position)
                .map_err(io::Error::other)?;
        }
        self.ears.push(ear);
        self.senders.insert((from, sender), position);
        Ok(position)
    }

    /// Waits until all is decided or nothing has come for `quiet`.
    fn wait(&mut self, quiet: Duration) -> Result<(), LabError> {
        let (quiet, limit) = (patient(quiet), patient(LIMIT));
        let start = Instant::now();
        let mut last_news = start;
        while !self.waiting.is_empty() && last_news.elapsed() < quiet && start.elapsed() < limit {
            let before = self.waiting.len();
            self.listen(TICK)?;
            if self.waiting.len() < before {
                last_news = Instant::now();
            }
        }
        Ok(())
    }

    /// Takes in answers for the given time, or less if all is decided.
    fn listen(&mut self, time: Duration) -> Result<(), LabError> {
        let end = Instant::now() + time;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(LabError::Interrupted);
            }
            let numbers = self
                .poll
                .wait(end.saturating_duration_since(Instant::now()))?;
            let is_silent = numbers.is_empty();
            for number in numbers {
                self.hear(number);
            }
            if is_silent || self.waiting.is_empty() || Instant::now() >= end {
                return Ok(());
            }
        }
    }

    fn hear(&mut self, number: usize) {
        match &self.ears[number] {
            Ear::Stream(index, socket) => {
                let (index, is_made) = (*index, stream::is_made(socket));
                self.ears[number] = Ear::Closed;
                self.waiting.remove(&index);
                if is_made {
                    self.passed.insert(index);
                }
            }
            Ear::Udp(socket) => self.take_answers(udp::answers(socket)),
            Ear::Echo(echo) => self.take_answers(echo.answers()),
            Ear::InitSink(address, socket) => {
                let address = *address;
                let arrivals = sctp::arrivals(socket, address.is_ipv6());
                self.take_inits(address, arrivals);
            }
            Ear::InitSource(_) | Ear::Closed => {}
        }
    }

    fn take_answers(&mut self, stamps: Vec<Stamp>) {
        for stamp in stamps {
            // A number that is not waited for is a stray packet.
            if stamp.attempt == self.attempt && self.waiting.remove(&stamp.index) {
                self.passed.insert(stamp.index);
            }
        }
    }

    fn take_inits(&mut self, address: IpAddr, arrivals: Vec<(u16, u32)>) {
        for (port, tag) in arrivals {
            let index = (tag & ((1 << sctp::INDEX_BITS) - 1)) as usize;
            let stamp = Stamp {
                attempt: self.attempt,
                index,
            };
            let is_expected = self
                .group
                .get(index)
                .is_some_and(|probe| probe.to == address && probe.kind == ProbeKind::Sctp(port));
            if is_expected && sctp::tag(stamp) == tag && self.waiting.remove(&index) {
                self.passed.insert(index);
            }
        }
    }
}
