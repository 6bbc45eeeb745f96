//! Steady numbered datagrams over several flows, to see what a change of the filter loses or leaks.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::listener::{Service, listen};
use crate::patience::patient;
use crate::poll::Poll;
use crate::{Lab, LabError, Namespace};

/// Room for a second of traffic while the receiving thread does not run. An item of that room
/// is a datagram with all of the kernel's bookkeeping, about 800 bytes.
const BUFFER: usize = 64 << 20;

/// The sender wakes up so often.
const STEP: Duration = Duration::from_millis(1);

/// The receiver ends when nothing has come for so long after the last datagram was sent.
const QUIET: Duration = Duration::from_millis(200);

/// The flow's position and the datagram's number, both big-endian.
const LENGTH: usize = 4 + 8;

/// One flow of datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// The source: an address of the lab.
    pub from: IpAddr,
    /// The destination: an address of the lab, of the same family.
    pub to: IpAddr,
    /// The destination port.
    pub port: u16,
}

/// What became of one flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Datagrams that were sent.
    pub sent: u64,
    /// Different datagrams that arrived. On a flow that a filter denies each is a leak; on one that
    /// it allows, each that is missing is a loss.
    pub received: u64,
}

/// Datagrams under way, until [`Traffic::stop`].
#[derive(Debug)]
pub struct Traffic {
    sender: Worker<Vec<u64>>,
    receiver: Worker<Vec<u64>>,
}

impl Traffic {
    /// Sends over all streams in turn, `rate` datagrams a second in total. The receivers listen
    /// before the first one is sent. Nothing answers, so to a connection tracker no flow ever is
    /// established.
    pub fn start(lab: &Lab, streams: &[Stream], rate: u32) -> Result<Self, LabError> {
        let mut sources = Vec::new();
        let mut sinks = BTreeMap::new();
        for &stream in streams {
            if stream.from.is_ipv4() != stream.to.is_ipv4() {
                return Err(LabError::MixedFamilies {
                    from: stream.from,
                    to: stream.to,
                });
            }
            sources.push((lab.namespace_of(stream.from)?.clone(), stream));
            sinks.insert(
                (stream.to, stream.port),
                lab.namespace_of(stream.to)?.clone(),
            );
        }
        let flows = streams.len();
        let receiver = Worker::start(
            move || open_sinks(&sinks),
            move |(poll, sockets), stop| receive(&poll, &sockets, flows, stop),
        )?;
        let sender = Worker::start(
            move || open_sources(&sources),
            move |sources, stop| send(&sources, rate, stop),
        )?;
        Ok(Self { sender, receiver })
    }

    /// Stops sending, waits for what is under way, and gives the counts in the streams' order.
    pub fn stop(mut self) -> Vec<Counted> {
        let sent = self.sender.finish();
        let received = self.receiver.finish();
        let count = |(sent, received)| Counted { sent, received };
        sent.into_iter().zip(received).map(count).collect()
    }
}

/// A thread that opens its sockets, says so, and works until it is told to stop.
#[derive(Debug)]
struct Worker<T> {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<T>>,
}

impl<T: Default + Send + 'static> Worker<T> {
    fn start<S>(
        open: impl FnOnce() -> Result<S, LabError> + Send + 'static,
        work: impl FnOnce(S, &AtomicBool) -> T + Send + 'static,
    ) -> Result<Self, LabError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::channel();
        let stop_thread = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let Some(sockets) = report(open(), &ready) else {
                return T::default();
            };
            work(sockets, &stop_thread)
        });
        let worker = Self {
            stop,
            thread: Some(thread),
        };
        is_ready
            .recv()
            .expect("the thread reports before it works")?;
        Ok(worker)
    }

    fn finish(&mut self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread.map_or_else(T::default, |thread| {
            thread.join().expect("the thread does not panic")
        })
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its counts are not wanted any more, only its end.
            let _ = thread.join();
        }
    }
}

fn report<S>(opened: Result<S, LabError>, ready: &Sender<Result<(), LabError>>) -> Option<S> {
    let (report, sockets) = match opened {
        Ok(sockets) => (Ok(()), Some(sockets)),
        Err(error) => (Err(error), None),
    };
    ready.send(report).ok().and(sockets)
}

fn open_sinks(
    sinks: &BTreeMap<(IpAddr, u16), Namespace>,
) -> Result<(Poll, Vec<UdpSocket>), LabError> {
    let poll = Poll::new()?;
    let mut sockets = Vec::new();
    for (&(address, port), namespace) in sinks {
        namespace.enter()?;
        let socket = open_sink(address, port)
            .map_err(LabError::io(format!("listen on {address} port {port}")))?;
        poll.add_readable(&socket, sockets.len())?;
        sockets.push(socket);
    }
    Ok((poll, sockets))
}

fn open_sink(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = listen(address, port, Service::Udp)?;
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
    Ok(socket.into())
}

fn open_sources(sources: &[(Namespace, Stream)]) -> Result<Vec<(UdpSocket, SocketAddr)>, LabError> {
    let mut sockets = Vec::new();
    for (namespace, stream) in sources {
        namespace.enter()?;
        let socket = open_source(stream.from)
            .map_err(LabError::io(format!("open a socket on {}", stream.from)))?;
        sockets.push((socket, SocketAddr::new(stream.to, stream.port)));
    }
    Ok(sockets)
}

fn open_source(address: IpAddr) -> io::Result<UdpSocket> {
    let at = SocketAddr::new(address, 0);
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::for_address(at), kind, Some(Protocol::UDP))?;
    socket.bind(&at.into())?;
    Ok(socket.into())
}

/// Gives the number of datagrams that were sent on each flow.
fn send(sources: &[(UdpSocket, SocketAddr)], rate: u32, stop: &AtomicBool) -> Vec<u64> {
    let mut sent = vec![0; sources.len()];
    if sources.is_empty() {
        return sent;
    }
    // After a delay the sender catches up at four times the rate, which no queue on the way minds.
    let burst = (rate / 250).max(4);
    let start = Instant::now();
    let mut total: u64 = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = start.elapsed().as_millis() * u128::from(rate) / 1_000;
        for _ in 0..burst {
            if u128::from(total) >= due {
                break;
            }
            let flow = usize::try_from(total).expect("64 bits") % sources.len();
            let (socket, to) = &sources[flow];
            if !send_one(socket, *to, flow, sent[flow]) {
                break;
            }
            sent[flow] += 1;
            total += 1;
        }
        thread::sleep(STEP);
    }
    sent
}

/// Gives false if the machine had no room for the datagram. One that a filter refuses is sent: it
/// counts, and does not arrive.
fn send_one(socket: &UdpSocket, to: SocketAddr, flow: usize, number: u64) -> bool {
    let mut datagram = [0; LENGTH];
    let flow = u32::try_from(flow).expect("few flows");
    datagram[..4].copy_from_slice(&flow.to_be_bytes());
    datagram[4..].copy_from_slice(&number.to_be_bytes());
    match socket.send_to(&datagram, to) {
        Ok(_) => true,
        Err(error) => {
            let is_full = error.raw_os_error() == Some(Errno::ENOBUFS as i32);
            !is_full && !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
        }
    }
}

/// Gives the number of different datagrams that arrived of each flow.
fn receive(poll: &Poll, sockets: &[UdpSocket], flows: usize, stop: &AtomicBool) -> Vec<u64> {
    let mut arrived: Vec<Vec<bool>> = vec![vec![]; flows];
    loop {
        let is_last = stop.load(Ordering::Relaxed);
        // Without a working epoll nothing is counted any more, and the counts show it.
        let Ok(numbers) = poll.wait(patient(QUIET)) else {
            break;
        };
        if is_last && numbers.is_empty() {
            break;
        }
        for number in numbers {
            note_arrivals(&sockets[number], &mut arrived);
        }
    }
    let count = |numbers: &Vec<bool>| numbers.iter().filter(|&&is_here| is_here).count() as u64;
    arrived.iter().map(count).collect()
}

fn note_arrivals(socket: &UdpSocket, arrived: &mut [Vec<bool>]) {
    let mut buffer = [0; LENGTH + 1];
    while let Ok((length, _)) = socket.recv_from(&mut buffer) {
        let Some((flow, number)) = parse(&buffer[..length]) else {
            continue;
        };
        let Some(numbers) = arrived.get_mut(flow) else {
            continue;
        };
        if numbers.len() <= number {
            numbers.resize(number + 1, false);
        }
        numbers[number] = true;
    }
}

fn parse(datagram: &[u8]) -> Option<(usize, usize)> {
    let datagram: &[u8; LENGTH] = datagram.try_into().ok()?;
    let (flow, number) = datagram.split_at(4);
    let flow = u32::from_be_bytes(flow.try_into().ok()?);
    let number = u64::from_be_bytes(number.try_into().ok()?);
    Some((flow as usize, usize::try_from(number).ok()?))
}
