//! Sending a batch, and what the kernel answers.
//!
//! The kernel works a batch off while it is being sent, and puts its answers into the socket's buffer before the call
//! returns. So nothing is waited for: the answers are read until there are no more. One to the last command says
//! that the batch was carried out, if no other says that something was refused; one refused message undoes all.

use nix::errno::Errno;

use super::batch::Batch;
use super::message::{Received, messages};
use super::socket::Socket;
use super::uapi::NLMSG_ERROR;

/// More than an answer takes: the header of the message that it is about and a line of text, or one set. The parts of a
/// dump begin with at most 8 KiB, and grow to what the reader has room for.
const BUFFER: usize = 16 * 1024;

/// Why a batch was not carried out, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The kernel refused it; nothing was changed.
    Refused(Refusal),
    /// Somebody changed nftables since the generation that the batch was written for, or the kernel wants it once more;
    /// nothing was changed.
    Stale,
    /// The kernel does not talk about it at all; nothing was changed.
    Unusable(Errno),
    /// The kernel's answer was lost, so it may have been carried out or not.
    Unknown(Errno),
}

/// What the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The index of the command; `None` when it was none of them, but the batch.
    pub(crate) command: Option<usize>,
    /// Why.
    pub(crate) errno: Errno,
    /// The kernel's own words, if it had any.
    pub(crate) message: Option<String>,
}

/// Sends a batch and tells what became of it.
pub(crate) fn carry_out(socket: &mut dyn Socket, batch: &Batch) -> Result<(), Failure> {
    let mut answers = Answers::default();
    send(socket, &batch.bytes, |socket| {
        answers.read_all(socket, batch);
        answers.has_any()
    })
    .map_err(Failure::Unusable)?;
    answers.read_all(socket, batch);
    answers.judge()
}

/// Asks for one object and reads its message with `read`; `None` when there is no such object.
pub(crate) fn ask<T>(
    socket: &mut dyn Socket,
    request: &[u8],
    sequence: u32,
    read: impl Fn(&Received<'_>) -> Option<T>,
) -> Result<Option<T>, Errno> {
    send(socket, request, |_| false)?;
    let mut answer = Err(Errno::ENOMSG);
    receive(socket, |message| {
        if message.sequence() != sequence {
            return;
        }
        match message.error() {
            Some(0) => {}
            Some(number) if number == Errno::ENOENT as i32 => answer = Ok(None),
            Some(number) => answer = Err(Errno::from_raw(number)),
            None => answer = read(message).map(Some).ok_or(Errno::EBADMSG),
        }
    })?;
    answer
}

/// Sends a datagram. When a signal comes in between, it is sent again unless `answered` finds answers to it already.
pub(crate) fn send(
    socket: &mut dyn Socket,
    datagram: &[u8],
    mut answered: impl FnMut(&mut dyn Socket) -> bool,
) -> Result<(), Errno> {
    let mut grown = false;
    loop {
        match socket.send(datagram) {
            Ok(()) => return Ok(()),
            Err(Errno::EINTR) => {
                if answered(socket) {
                    return Ok(());
                }
            }
            Err(Errno::EMSGSIZE) if !grown => {
                grown = true;
                socket.make_room(datagram.len())?;
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// Reads all messages that are there. The error is that some were lost.
pub(crate) fn receive(
    socket: &mut dyn Socket,
    mut each: impl FnMut(&Received<'_>),
) -> Result<(), Errno> {
    let mut buffer = [0; BUFFER];
    let mut lost = Ok(());
    loop {
        match socket.receive(&mut buffer) {
            Ok(length) => messages(&buffer[..length]).for_each(|message| each(&message)),
            Err(Errno::EAGAIN) => return lost,
            Err(Errno::EINTR) => {}
            Err(Errno::ENOBUFS) => lost = Err(Errno::ENOBUFS),
            Err(errno) => return Err(errno),
        }
    }
}

/// What the kernel answered to a batch.
#[derive(Default)]
struct Answers {
    /// The first refusal in the order of commands; those behind it often follow from it.
    refused: Option<(u32, Refusal)>,
    /// Whether the last command was answered without an error.
    confirmed: bool,
    lost: Option<Errno>,
}

impl Answers {
    fn has_any(&self) -> bool {
        self.refused.is_some() || self.confirmed
    }

    fn read_all(&mut self, socket: &mut dyn Socket, batch: &Batch) {
        let lost = receive(socket, |message| self.read(message, batch));
        self.lost = self.lost.or(lost.err());
    }

    fn read(&mut self, message: &Received<'_>, batch: &Batch) {
        // 0 is the batch as a whole.
        let number = message.sequence().wrapping_sub(batch.first);
        let last = batch.last.wrapping_sub(batch.first);
        if message.kind() != NLMSG_ERROR || number > last + 1 {
            return;
        }
        match message.error() {
            Some(0) => self.confirmed |= number == last,
            Some(errno)
                if self
                    .refused
                    .as_ref()
                    .is_none_or(|(first, _)| number < *first) =>
            {
                let refusal = Refusal {
                    command: usize::try_from(number).ok().and_then(|n| n.checked_sub(1)),
                    errno: Errno::from_raw(errno),
                    message: message.error_message(),
                };
                self.refused = Some((number, refusal));
            }
            _ => {}
        }
    }

    fn judge(self) -> Result<(), Failure> {
        match (self.refused, self.lost) {
            (Some((_, refusal)), _) => Err(explain(refusal)),
            (None, Some(lost)) => Err(Failure::Unknown(lost)),
            (None, None) if self.confirmed => Ok(()),
            (None, None) => Err(Failure::Unknown(Errno::ENOMSG)),
        }
    }
}

fn explain(refusal: Refusal) -> Failure {
    match (refusal.command, refusal.errno) {
        (_, Errno::ERESTART | Errno::EAGAIN | Errno::EINTR) => Failure::Stale,
        (
            None,
            errno @ (Errno::EPERM
            | Errno::EACCES
            | Errno::EOPNOTSUPP
            | Errno::EPROTONOSUPPORT
            | Errno::EINVAL),
        ) => Failure::Unusable(errno),
        _ => Failure::Refused(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::script::{Reply, Script, answer};

    /// A batch of two commands with the numbers 11 and 12.
    fn batch() -> Batch {
        Batch {
            bytes: vec![0; 100],
            first: 10,
            last: 12,
        }
    }

    fn outcome(answers: Vec<Result<Vec<u8>, Errno>>) -> Result<(), Failure> {
        let mut answers = Some(answers);
        let kernel = move |_: &[_]| (Ok(()), answers.take().unwrap_or_default());
        carry_out(&mut Script::new(kernel), &batch())
    }

    fn refused(command: Option<usize>, errno: Errno, message: Option<&str>) -> Failure {
        Failure::Refused(Refusal {
            command,
            errno,
            message: message.map(str::to_owned),
        })
    }

    #[test]
    fn an_answer_to_the_last_command_confirms_all() {
        assert_eq!(outcome(vec![Ok(answer(12, 0, ""))]), Ok(()));
        let late = Ok(answer(7, Errno::EEXIST as i32, ""));
        assert_eq!(outcome(vec![late, Ok(answer(12, 0, ""))]), Ok(()));
    }

    #[test]
    fn one_refused_command_refuses_all_and_the_first_one_is_named() {
        let answers = vec![
            Ok(answer(12, Errno::ENOENT as i32, "")),
            Ok(answer(11, Errno::EEXIST as i32, "in the kernel's words")),
            Ok(answer(12, 0, "")),
        ];
        let words = Some("in the kernel's words");
        assert_eq!(
            outcome(answers),
            Err(refused(Some(0), Errno::EEXIST, words))
        );
        let memory = vec![
            Ok(answer(10, Errno::ENOMEM as i32, "")),
            Ok(answer(12, 0, "")),
        ];
        assert_eq!(outcome(memory), Err(refused(None, Errno::ENOMEM, None)));
    }

    #[test]
    fn without_an_answer_the_outcome_is_unknown() {
        assert_eq!(outcome(vec![]), Err(Failure::Unknown(Errno::ENOMSG)));
        let lost = Err(Errno::ENOBUFS);
        assert_eq!(
            outcome(vec![lost.clone()]),
            Err(Failure::Unknown(Errno::ENOBUFS))
        );
        let confirmed = vec![lost.clone(), Ok(answer(12, 0, ""))];
        assert_eq!(outcome(confirmed), Err(Failure::Unknown(Errno::ENOBUFS)));
        let refusal = vec![lost, Ok(answer(11, Errno::EBUSY as i32, ""))];
        assert_eq!(outcome(refusal), Err(refused(Some(0), Errno::EBUSY, None)));
    }

    #[test]
    fn a_batch_that_the_kernel_wants_again_is_stale() {
        for errno in [Errno::ERESTART, Errno::EAGAIN, Errno::EINTR] {
            assert_eq!(
                outcome(vec![Ok(answer(10, errno as i32, ""))]),
                Err(Failure::Stale)
            );
        }
        for errno in [Errno::EPERM, Errno::EOPNOTSUPP] {
            let failure = outcome(vec![Ok(answer(10, errno as i32, ""))]);
            assert_eq!(failure, Err(Failure::Unusable(errno)));
        }
    }

    /// Interrupted sending is begun again, unless the kernel has worked the batch off.
    #[test]
    fn a_signal_neither_loses_nor_doubles_a_batch() {
        for answered_at in [0, 1] {
            let mut calls = 0;
            let kernel = move |_: &[_]| -> Reply {
                calls += 1;
                assert!(calls <= answered_at + 1, "sent after it was answered");
                let answers = if calls == answered_at + 1 {
                    vec![Ok(answer(12, 0, ""))]
                } else {
                    Vec::new()
                };
                let interrupted = if calls == 1 {
                    Err(Errno::EINTR)
                } else {
                    Ok(())
                };
                (interrupted, answers)
            };
            assert_eq!(carry_out(&mut Script::new(kernel), &batch()), Ok(()));
        }
        assert_eq!(
            outcome(vec![Err(Errno::EINTR), Ok(answer(12, 0, ""))]),
            Ok(())
        );
    }

    #[test]
    fn a_batch_that_is_too_large_gets_more_room() {
        let confirming = || Script::new(|_: &[_]| (Ok(()), vec![Ok(answer(12, 0, ""))]));
        assert_eq!(carry_out(&mut confirming().with_room(50), &batch()), Ok(()));
        let failure = carry_out(&mut confirming().with_room(0), &batch());
        assert_eq!(failure, Err(Failure::Unusable(Errno::EPERM)));
    }

    #[test]
    fn what_is_not_there_is_no_error_of_a_question() {
        let asked = |answers: Vec<Result<Vec<u8>, Errno>>| {
            let mut answers = Some(answers);
            let kernel = move |_: &[_]| (Ok(()), answers.take().unwrap_or_default());
            ask(&mut Script::new(kernel), &[0; 20], 5, |message| {
                message.number(1)
            })
        };
        let generation = crate::netlink::script::generation;
        assert_eq!(
            asked(vec![Ok(generation(4, 8)), Ok(generation(5, 9))]),
            Ok(Some(9))
        );
        assert_eq!(
            asked(vec![Ok(answer(5, Errno::ENOENT as i32, ""))]),
            Ok(None)
        );
        assert_eq!(
            asked(vec![Ok(answer(5, Errno::EPERM as i32, ""))]),
            Err(Errno::EPERM)
        );
        assert_eq!(asked(vec![]), Err(Errno::ENOMSG));
    }
}
