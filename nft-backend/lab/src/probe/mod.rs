//! Probes: does a packet of this flow arrive, and does its answer come back?

mod echo;
mod sctp;
mod socket;
mod stream;
mod udp;
mod wave;

use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use self::wave::{Pace, attempt};
use crate::listener::{Listeners, Places, Service};
use crate::{Lab, LabError, limit};

/// The first attempt: as fast as it goes, and a short wait.
const FAST: Pace = Pace {
    burst: 128,
    pause: Duration::ZERO,
    quiet: Duration::from_millis(400),
};

/// The second attempt, for those that did not answer: small steps, and a wait in which TCP repeats
/// its first packet (after one second).
const CALM: Pace = Pace {
    burst: 32,
    pause: Duration::from_millis(2),
    quiet: Duration::from_millis(1_300),
};

/// The most probes that are under way together.
const MAX_GROUP: usize = 1 << sctp::INDEX_BITS;

/// One flow to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probe {
    /// The source: an address of the lab.
    pub from: IpAddr,
    /// The destination: an address of the lab, of the same family. If it is the source, the packet
    /// stays on the machine's loopback.
    pub to: IpAddr,
    /// Protocol and destination port.
    pub kind: ProbeKind,
}

/// Protocol and destination port of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// A connection is made.
    Tcp(u16),
    /// A datagram gets there and one comes back.
    Udp(u16),
    /// An association is made; if the kernel has no SCTP, an INIT chunk gets there.
    Sctp(u16),
    /// An ICMP echo request, of the addresses' family, is replied to. It stands for all protocols without ports.
    Echo,
}

/// What became of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seen {
    /// The packets got through.
    Passed,
    /// Two attempts found nothing, or a refusal.
    Blocked,
}

/// Marks the packet of one probe in one attempt, so that no other can be taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    attempt: u32,
    /// The probe's position in its group.
    index: usize,
}

impl Stamp {
    const LENGTH: usize = 8;

    fn to_bytes(self) -> [u8; Self::LENGTH] {
        let index = u32::try_from(self.index).expect("a group is small");
        let mut bytes = [0; Self::LENGTH];
        bytes[..4].copy_from_slice(&self.attempt.to_be_bytes());
        bytes[4..].copy_from_slice(&index.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (attempt, index) = bytes.split_at_checked(4)?;
        let attempt = u32::from_be_bytes(attempt.try_into().ok()?);
        let index = u32::from_be_bytes(index.try_into().ok()?);
        Some(Self {
            attempt,
            index: index as usize,
        })
    }
}

/// Tries all probes; see [`Lab::probe`].
pub(crate) fn run(lab: &Lab, probes: &[Probe], stop: &AtomicBool) -> Result<Vec<Seen>, LabError> {
    for probe in probes {
        lab.position_of(probe.from)?;
        lab.position_of(probe.to)?;
        if probe.from.is_ipv4() != probe.to.is_ipv4() {
            return Err(LabError::MixedFamilies {
                from: probe.from,
                to: probe.to,
            });
        }
    }
    let size = group_size(limit::raise_open_files()?);
    let mut seen = Vec::with_capacity(probes.len());
    for group in probes.chunks(size) {
        // Sockets are made inside of the namespaces, by a thread that then ends.
        seen.extend(
            lab.world_namespace()
                .run(|| run_group(lab, group, stop))??,
        );
    }
    Ok(seen)
}

/// Every probe needs two sockets at most, and the process has others.
fn group_size(open_files: u64) -> usize {
    let share = usize::try_from(open_files / 3).unwrap_or(usize::MAX);
    share.saturating_sub(64).clamp(32, MAX_GROUP)
}

fn run_group(lab: &Lab, group: &[Probe], stop: &AtomicBool) -> Result<Vec<Seen>, LabError> {
    let real_sctp = kernel_has_sctp();
    let _listeners = Listeners::open(places(lab, group, real_sctp)?)?;
    let mut passed = vec![false; group.len()];
    for pace in [&FAST, &CALM] {
        let open: Vec<usize> = (0..group.len()).filter(|&index| !passed[index]).collect();
        for index in attempt(lab, group, &open, real_sctp, pace, stop)? {
            passed[index] = true;
        }
    }
    let seen = |passed| if passed { Seen::Passed } else { Seen::Blocked };
    Ok(passed.into_iter().map(seen).collect())
}

fn places(lab: &Lab, group: &[Probe], real_sctp: bool) -> Result<Places, LabError> {
    let mut places = Places::new();
    for probe in group {
        let (port, service) = match probe.kind {
            ProbeKind::Tcp(port) => (port, Service::Tcp),
            ProbeKind::Udp(port) => (port, Service::Udp),
            ProbeKind::Sctp(port) if real_sctp => (port, Service::Sctp),
            ProbeKind::Sctp(_) | ProbeKind::Echo => continue,
        };
        let place = (lab.position_of(probe.to)?, probe.to, port, service);
        places.insert(place, lab.namespace_of(probe.to)?.clone());
    }
    Ok(places)
}

fn kernel_has_sctp() -> bool {
    Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::SCTP)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_wire() {
        let stamp = Stamp {
            attempt: 77,
            index: 4_999,
        };
        assert_eq!(Stamp::from_bytes(&stamp.to_bytes()), Some(stamp));
        assert_eq!(Stamp::from_bytes(&[1, 2, 3]), None);
    }

    #[test]
    fn few_open_files_make_small_groups_and_many_make_bounded_ones() {
        assert_eq!(group_size(1_024), 277);
        assert_eq!(group_size(64), 32);
        assert_eq!(group_size(u64::MAX), MAX_GROUP);
    }
}
