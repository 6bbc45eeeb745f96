//! Waiting for many sockets at once: epoll, with one number for each socket.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::LabError;

/// How many sockets one wait reports at most.
const EVENTS: usize = 256;

/// A set of sockets that are waited for. Closing a socket takes it out.
pub(crate) struct Poll {
    epoll: Epoll,
}

impl Poll {
    pub(crate) fn new() -> Result<Self, LabError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC);
        Ok(Self {
            epoll: epoll.map_err(LabError::io("make an epoll instance"))?,
        })
    }

    /// Reports `number` while there is something to read.
    pub(crate) fn add_readable(&self, socket: impl AsFd, number: usize) -> Result<(), LabError> {
        self.add(socket, EpollFlags::EPOLLIN, number)
    }

    /// Reports `number` when a connection is made or has failed.
    pub(crate) fn add_connecting(&self, socket: impl AsFd, number: usize) -> Result<(), LabError> {
        self.add(socket, EpollFlags::EPOLLOUT, number)
    }

    /// The numbers of the sockets with news; empty when `patience` ended without any.
    pub(crate) fn wait(&self, patience: Duration) -> Result<Vec<usize>, LabError> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let timeout = EpollTimeout::try_from(patience).unwrap_or(EpollTimeout::MAX);
        match self.epoll.wait(&mut events, timeout) {
            Ok(count) => {
                let numbers = events[..count]
                    .iter()
                    .map(|event| usize::try_from(event.data()));
                Ok(numbers
                    .map(|number| number.expect("a usize went in"))
                    .collect())
            }
            Err(Errno::EINTR) => Ok(vec![]),
            Err(error) => Err(LabError::io("wait for sockets")(error)),
        }
    }

    fn add(&self, socket: impl AsFd, flags: EpollFlags, number: usize) -> Result<(), LabError> {
        let event = EpollEvent::new(flags, number as u64);
        self.epoll
            .add(socket, event)
            .map_err(LabError::io("watch a socket"))
    }
}
