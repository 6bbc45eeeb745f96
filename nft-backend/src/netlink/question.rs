//! Questions for one object, and what the kernel answers.

use nix::errno::Errno;

use super::exchange::ask;
use super::message::Received;
use super::socket::Socket;
use super::uapi::{NFPROTO_INET, NFT_MSG_GETGEN, NFT_MSG_NEWGEN, NFTA_GEN_ID};
use super::writer::{Header, Writer};

/// Asks the question of this kind that `contents` writes, and reads the answer; `None` when there is no such object.
pub(super) fn question<T>(
    socket: &mut dyn Socket,
    kind: u16,
    sequence: u32,
    contents: impl FnOnce(&mut Writer),
    read: impl Fn(&Received<'_>) -> Option<T>,
) -> Result<Option<T>, Errno> {
    let header = Header {
        kind,
        flags: 0,
        sequence,
        family: NFPROTO_INET,
        resource: 0,
    };
    let mut writer = Writer::default();
    writer.message(header, contents);
    let request = writer.finish().ok_or(Errno::EMSGSIZE)?;
    ask(socket, &request, sequence, read)
}

/// The number of the generation of nftables that is in force: one more with each transaction of the namespace that is
/// carried out, whoever's it is, and never 0.
pub(crate) fn generation(socket: &mut dyn Socket, sequence: u32) -> Result<u32, Errno> {
    let read = |message: &Received<'_>| number(message, NFT_MSG_NEWGEN, NFTA_GEN_ID);
    let answer = question(socket, NFT_MSG_GETGEN, sequence, |_| {}, read)?;
    answer.ok_or(Errno::ENOENT)
}

/// A number in a message of this kind.
pub(super) fn number(message: &Received<'_>, kind: u16, attribute: u16) -> Option<u32> {
    (message.kind() == kind)
        .then(|| message.number(attribute))
        .flatten()
}
