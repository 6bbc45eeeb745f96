//! Clears our bits in the marks of conntrack entries, by netlink, and finds out whether that can be done.
//!
//! Not by the `conntrack` program: version 1.4.7 cannot update marks on kernel 6.18 ("Operation not
//! supported"), and `-D` would take the address translation of Service flows away. By netlink the
//! kernel changes the bits of a mask alone, so those of other programs stay as they are.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use crate::generation::MarkBits;
use crate::kernel::ApplyError;
use crate::netlink::{self, Message, Received, Socket};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW`; without `NLM_F_CREATE` it changes an entry.
const CHANGE: u16 = 0x0100;
/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`
const GET: u16 = 0x0101;
/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS`
const STATISTICS: u16 = 0x0105;
const TUPLE_ORIGINAL: u16 = 1;
const MARK: u16 = 8;
const ZONE: u16 = 18;
const MARK_MASK: u16 = 21;
/// What the kernel says of an entry that has ended.
const NOT_THERE: i32 = Errno::ENOENT as i32;
/// Changes sent at once; their errors must fit into the socket's buffer.
const BATCH: usize = 64;

/// What the kernel has against talking about its entries; `None` when it does.
pub(crate) fn refusal(namespace: Option<&Path>) -> Result<Option<String>, ApplyError> {
    let opened = netlink::open(namespace);
    let refusal = opened.and_then(|mut socket| refusal_on(socket.as_mut()));
    refusal.map_err(|error| explain(&error, "asking the connection tracker"))
}

/// Asks how many entries there are. Without `CONFIG_NF_CT_NETLINK` the kernel does not know the question.
fn refusal_on(socket: &mut dyn Socket) -> io::Result<Option<String>> {
    let mut question = Message::request(STATISTICS, 0);
    question.ask_for_answer();
    match exchange(socket, question.bytes(), |_| {}) {
        Ok(()) => Ok(None),
        Err(errno @ (Errno::EPERM | Errno::EACCES)) => Err(errno.into()),
        Err(errno) => Ok(Some(errno.desc().to_owned())),
    }
}

/// Sets these bits to zero in the mark of every entry of the namespace.
pub(crate) fn clear_marks(namespace: Option<&Path>, bits: MarkBits) -> Result<(), ApplyError> {
    let opened = netlink::open(namespace);
    let cleared = opened.and_then(|mut socket| Ok(clear_all(socket.as_mut(), bits)?));
    cleared.map_err(|error| explain(&error, "clearing conntrack marks"))
}

fn explain(error: &io::Error, doing: &'static str) -> ApplyError {
    let reason = error.to_string();
    match error.kind() {
        io::ErrorKind::PermissionDenied => ApplyError::NotPermitted { stderr: reason },
        _ => ApplyError::System { doing, reason },
    }
}

fn clear_all(socket: &mut dyn Socket, bits: MarkBits) -> Result<(), Errno> {
    let marked = marked_entries(socket, bits)?;
    let mut batches = marked.chunks(BATCH);
    batches.try_for_each(|entries| clear(socket, entries, bits))
}

/// What identifies an entry.
struct Entry {
    family: u8,
    tuple: Vec<u8>,
    zone: Option<Vec<u8>>,
}

/// All entries with one of the bits in their mark.
///
/// The kernel never calls this dump interrupted (`NLM_F_DUMP_INTR`): it counts no changes of its table. None are needed:
/// an entry stays in its bucket while it lives, a bucket is held while it is read, and one that did not fit into a message
/// is begun anew where its entry has gone meanwhile. What begins behind the reader has the mark of the generation in force.
/// Only who changes the number of buckets (`nf_conntrack_buckets`) in between can hide entries from it.
fn marked_entries(socket: &mut dyn Socket, bits: MarkBits) -> Result<Vec<Entry>, Errno> {
    let mut entries = Vec::new();
    exchange(socket, Message::dump(GET).bytes(), |message| {
        let mark = message.number(MARK).unwrap_or_default();
        if mark & bits.mask() == 0 {
            return;
        }
        if let Some(tuple) = message.attribute(TUPLE_ORIGINAL) {
            let zone = message.attribute(ZONE).map(<[u8]>::to_vec);
            entries.push(Entry {
                family: message.family(),
                tuple: tuple.to_vec(),
                zone,
            });
        }
    })?;
    Ok(entries)
}

/// Clears some entries. One that has ended meanwhile carries no mark any more.
fn clear(socket: &mut dyn Socket, entries: &[Entry], bits: MarkBits) -> Result<(), Errno> {
    let mut batch = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let mut message = Message::request(CHANGE, entry.family);
        message.put_nested(TUPLE_ORIGINAL, &entry.tuple);
        if let Some(zone) = &entry.zone {
            message.put(ZONE, zone);
        }
        message.put(MARK, &0_u32.to_be_bytes());
        message.put(MARK_MASK, &bits.mask().to_be_bytes());
        if index + 1 == entries.len() {
            message.ask_for_answer();
        }
        batch.extend_from_slice(message.bytes());
    }
    exchange(socket, &batch, |_| {})
}

/// Sends requests and reads what the kernel says to them, to the end of a dump or the answer that was asked for. It has
/// put an answer, or the next part of a dump, into the socket's buffer whenever it gives control back, so nothing is
/// waited for. What is sent twice because of a signal is done twice, and does no harm.
fn exchange(
    socket: &mut dyn Socket,
    requests: &[u8],
    mut each: impl FnMut(&Received<'_>),
) -> Result<(), Errno> {
    let (mut ended, mut refused) = (false, None);
    netlink::send(socket, requests, |_| false)?;
    netlink::receive(socket, |message| {
        let end = message.end_of_dump();
        ended |= end.is_some() || message.is_last();
        match end.or_else(|| message.error()) {
            None => each(message),
            Some(0 | NOT_THERE) => {}
            Some(number) => refused = refused.or(Some(Errno::from_raw(number))),
        }
    })?;
    match refused {
        Some(errno) => Err(errno),
        None if ended => Ok(()),
        None => Err(Errno::ENOMSG),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::netlink::script::{Reply, Script, answer};

    const DONE: u16 = 3;

    /// An entry with this mark, as a dump tells it.
    fn entry(mark: u32) -> Vec<u8> {
        let mut message = Message::request(CHANGE, 2);
        message.put_nested(TUPLE_ORIGINAL, &mark.to_be_bytes());
        message.put(MARK, &mark.to_be_bytes());
        message.bytes().to_vec()
    }

    /// The end of a dump.
    fn done(errno: i32) -> Vec<u8> {
        let mut end = answer(0, errno, "");
        end[4..6].copy_from_slice(&DONE.to_ne_bytes());
        end
    }

    /// What comes of clearing where the kernel answers so to each datagram in turn, and how many datagrams there were.
    fn cleared(replies: Vec<Reply>) -> (Result<(), Errno>, usize) {
        let sent = Arc::new(AtomicUsize::new(0));
        let (counted, mut replies) = (Arc::clone(&sent), replies.into_iter());
        let kernel = move |_: &[_]| {
            counted.fetch_add(1, Ordering::Relaxed);
            replies.next().unwrap_or((Ok(()), Vec::new()))
        };
        let bits = MarkBits::from_mask(0xff00_0000).unwrap();
        let cleared = clear_all(&mut Script::new(kernel), bits);
        (cleared, sent.load(Ordering::Relaxed))
    }

    fn answers(answers: Vec<Result<Vec<u8>, Errno>>) -> Reply {
        (Ok(()), answers)
    }

    #[test]
    fn a_signal_neither_ends_nor_shortens_the_clearing() {
        let marked = || Ok(entry(0x0100_0000));
        let begun_again = (Err(Errno::EINTR), Vec::new());
        let interrupted = || Err(Errno::EINTR);
        let dump = answers(vec![
            marked(),
            interrupted(),
            Ok(entry(0x0000_0001)),
            marked(),
            interrupted(),
            Ok(done(0)),
        ]);
        let change = answers(vec![interrupted(), Ok(answer(1, 0, ""))]);
        assert_eq!(cleared(vec![begun_again, dump, change]), (Ok(()), 3));
    }

    #[test]
    fn what_has_ended_is_clear_and_what_is_refused_is_told() {
        let dump = || answers(vec![Ok(entry(0x0100_0000)), Ok(done(0))]);
        for (errno, outcome) in [(Errno::ENOENT, Ok(())), (Errno::EBUSY, Err(Errno::EBUSY))] {
            let change = answers(vec![Ok(answer(1, errno as i32, ""))]);
            assert_eq!(cleared(vec![dump(), change]), (outcome, 2));
        }
        let refused = answers(vec![Ok(answer(0, Errno::EPERM as i32, ""))]);
        assert_eq!(cleared(vec![refused]), (Err(Errno::EPERM), 1));
    }

    #[test]
    fn a_kernel_that_does_not_know_the_question_says_so() {
        let refusal = |errno: Errno| {
            let replies = vec![Ok(answer(1, errno as i32, ""))];
            let kernel = move |_: &[_]| answers(replies.clone());
            refusal_on(&mut Script::new(kernel)).map_err(|error| error.kind())
        };
        assert_eq!(refusal(Errno::UnknownErrno), Ok(None));
        let unknown = Errno::EINVAL.desc().to_owned();
        assert_eq!(refusal(Errno::EINVAL), Ok(Some(unknown)));
        assert_eq!(refusal(Errno::EPERM), Err(io::ErrorKind::PermissionDenied));
    }

    #[test]
    fn half_a_dump_is_none() {
        let marked = || Ok(entry(0x0100_0000));
        for (end, outcome) in [
            (Ok(done(Errno::ENOMEM as i32)), Errno::ENOMEM),
            (Err(Errno::ENOBUFS), Errno::ENOBUFS),
            (marked(), Errno::ENOMSG),
        ] {
            let dump = answers(vec![marked(), end]);
            assert_eq!(cleared(vec![dump]), (Err(outcome), 1));
        }
    }
}
