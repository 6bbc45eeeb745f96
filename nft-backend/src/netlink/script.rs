//! A socket for tests: a function answers in the kernel's place.

use std::collections::VecDeque;

use nix::errno::Errno;

use super::message::messages;
use super::socket::Socket;
use super::uapi::{
    NFPROTO_INET, NFT_MSG_NEWGEN, NFTA_GEN_ID, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_ERROR,
    NLMSGERR_ATTR_MSG,
};
use super::writer::{Header, Writer};

/// What a call for a datagram comes to, and what there is to read then.
pub(crate) type Reply = (Result<(), Errno>, Vec<Result<Vec<u8>, Errno>>);

/// Answers a datagram: the types and numbers of its messages are given.
type Kernel = Box<dyn FnMut(&[(u16, u32)]) -> Reply + Send>;

pub(crate) struct Script {
    kernel: Kernel,
    room: usize,
    answers: VecDeque<Result<Vec<u8>, Errno>>,
}

impl Script {
    /// A socket with room for datagrams of any size.
    pub(crate) fn new(kernel: impl FnMut(&[(u16, u32)]) -> Reply + Send + 'static) -> Self {
        Self {
            kernel: Box::new(kernel),
            room: usize::MAX,
            answers: VecDeque::new(),
        }
    }

    /// One with less room.
    pub(crate) fn with_room(self, room: usize) -> Self {
        Self { room, ..self }
    }
}

/// The port of a scripted socket.
pub(crate) const PORT: u32 = 4711;

impl Socket for Script {
    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno> {
        if datagram.len() > self.room {
            return Err(Errno::EMSGSIZE);
        }
        let sent: Vec<_> = messages(datagram)
            .map(|message| (message.kind(), message.sequence()))
            .collect();
        let (result, answers) = (self.kernel)(&sent);
        self.answers.extend(answers);
        result
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let answer = self.answers.pop_front().unwrap_or(Err(Errno::EAGAIN))?;
        buffer[..answer.len()].copy_from_slice(&answer);
        Ok(answer.len())
    }

    fn make_room(&mut self, size: usize) -> Result<(), Errno> {
        if self.room == 0 {
            return Err(Errno::EPERM);
        }
        self.room = size;
        Ok(())
    }

    fn port(&self) -> u32 {
        PORT
    }
}

/// The answer to the message with this number, without an error when `errno` is 0.
pub(crate) fn answer(sequence: u32, errno: i32, text: &str) -> Vec<u8> {
    let tlvs = if text.is_empty() { 0 } else { NLM_F_ACK_TLVS };
    let mut bytes = vec![0; 36];
    bytes[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(NLM_F_CAPPED | tlvs).to_ne_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    bytes[16..20].copy_from_slice(&(-errno).to_ne_bytes());
    bytes[28..32].copy_from_slice(&sequence.to_ne_bytes());
    if !text.is_empty() {
        bytes.extend(u16::try_from(text.len() + 5).unwrap().to_ne_bytes());
        bytes.extend(NLMSGERR_ATTR_MSG.to_ne_bytes());
        bytes.extend(text.bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes
}

/// The answer to the question for the generation.
pub(crate) fn generation(sequence: u32, generation: u32) -> Vec<u8> {
    let mut writer = Writer::default();
    let header = Header {
        kind: NFT_MSG_NEWGEN,
        flags: 0,
        sequence,
        family: NFPROTO_INET,
        resource: 0,
    };
    writer.message(header, |writer| writer.put_u32(NFTA_GEN_ID, generation));
    writer.finish().unwrap()
}
