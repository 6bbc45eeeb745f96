//! Single netlink messages of netfilter: requests, and what the kernel sends.

use super::uapi::{NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_DONE, NLMSG_ERROR, NLMSGERR_ATTR_MSG};

const HEADER: usize = 16;
/// Family, version and resource id, which follow the header in every netfilter message.
const NETFILTER_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;
/// The number that an error begins with; the header of the message that it is about follows.
const ERROR_NUMBER: usize = 4;
const NESTED: u16 = 0x8000;
/// The upper two bits of an attribute's type are flags.
const TYPE: u16 = 0x3fff;

const REQUEST: u16 = 0x01;
const ACK: u16 = 0x04;
const DUMP: u16 = 0x0300;

/// The sequence number of a message whose answer is waited for; the others have 0.
const ANSWERED: u32 = 1;

/// A message to the kernel.
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// A request about an object of this address family.
    pub(crate) fn request(kind: u16, family: u8) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&REQUEST.to_ne_bytes());
        bytes.extend([family, 0, 0, 0]);
        let mut message = Self(bytes);
        message.write_length();
        message
    }

    /// A request for all objects of all families.
    pub(crate) fn dump(kind: u16) -> Self {
        let mut message = Self::request(kind, 0);
        message.set_flags(REQUEST | DUMP);
        message
    }

    /// The message about this resource of its subsystem, such as an nflog group.
    pub(crate) fn about(mut self, resource: u16) -> Self {
        self.0[HEADER + 2..HEADER + NETFILTER_HEADER].copy_from_slice(&resource.to_be_bytes());
        self
    }

    /// Makes the kernel answer the message, also when all is well.
    pub(crate) fn ask_for_answer(&mut self) {
        self.set_flags(REQUEST | ACK);
        self.0[8..12].copy_from_slice(&ANSWERED.to_ne_bytes());
    }

    /// Adds an attribute.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(ATTRIBUTE_HEADER + value.len())
            .expect("attributes here are tuples and numbers of a few bytes");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.write_length();
    }

    /// Adds an attribute that consists of attributes.
    pub(crate) fn put_nested(&mut self, kind: u16, value: &[u8]) {
        self.put(kind | NESTED, value);
    }

    /// The message as it is sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn set_flags(&mut self, flags: u16) {
        self.0[6..8].copy_from_slice(&flags.to_ne_bytes());
    }

    fn write_length(&mut self) {
        let length = u32::try_from(self.0.len()).expect("a message has a few hundred bytes");
        self.0[0..4].copy_from_slice(&length.to_ne_bytes());
    }
}

/// A message from the kernel.
pub(crate) struct Received<'a>(&'a [u8]);

/// The messages of one datagram.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*datagram.first_chunk()?)).ok()?;
        let message = datagram
            .get(..length)
            .filter(|message| message.len() >= HEADER)?;
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
        Some(Received(message))
    })
}

impl<'a> Received<'a> {
    /// The error number of an answer; 0 says that all is well.
    pub(crate) fn error(&self) -> Option<i32> {
        if self.kind() != NLMSG_ERROR {
            return None;
        }
        self.answer()
    }

    /// The error number that follows the header.
    fn answer(&self) -> Option<i32> {
        let number = i32::from_ne_bytes(*self.0.get(HEADER..)?.first_chunk()?);
        Some(number.wrapping_neg())
    }

    /// The error number that a dump ends with, where it ends; 0 says that it is complete.
    pub(crate) fn end_of_dump(&self) -> Option<i32> {
        (self.kind() == NLMSG_DONE).then(|| self.answer().unwrap_or_default())
    }

    /// Whether this answers the message that an answer was asked for.
    pub(crate) fn is_last(&self) -> bool {
        self.0[8..12] == ANSWERED.to_ne_bytes()
    }

    /// The address family.
    pub(crate) fn family(&self) -> u8 {
        self.0.get(HEADER).copied().unwrap_or_default()
    }

    /// The value of the first attribute of a kind.
    pub(crate) fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        find(self.0.get(HEADER + NETFILTER_HEADER..)?, kind)
    }

    /// The value of an attribute that is a number.
    pub(crate) fn number(&self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.attribute(kind)?.try_into().ok()?))
    }

    /// What the kernel said besides the number of an error, if the socket asked for it (`NETLINK_EXT_ACK`).
    pub(crate) fn error_message(&self) -> Option<String> {
        if self.error().is_none() || self.flags() & NLM_F_ACK_TLVS == 0 {
            return None;
        }
        let about = self.0.get(HEADER + ERROR_NUMBER..)?;
        let capped = self.flags() & NLM_F_CAPPED != 0;
        let length = if capped {
            HEADER
        } else {
            usize::try_from(u32::from_ne_bytes(*about.first_chunk()?)).ok()?
        };
        let attributes = about.get(length.next_multiple_of(4)..)?;
        let text = find(attributes, NLMSGERR_ATTR_MSG)?;
        let text = text.strip_suffix(&[0]).unwrap_or(text);
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// The number of the message that this answers.
    pub(crate) fn sequence(&self) -> u32 {
        u32::from_ne_bytes([self.0[8], self.0[9], self.0[10], self.0[11]])
    }

    /// What kind of message it is: the subsystem in the upper byte, its own number in the lower.
    pub(crate) fn kind(&self) -> u16 {
        u16::from_ne_bytes([self.0[4], self.0[5]])
    }

    /// The netlink port that it is an answer to; in a notification, the port that made the change.
    pub(crate) fn port(&self) -> u32 {
        u32::from_ne_bytes([self.0[12], self.0[13], self.0[14], self.0[15]])
    }

    fn flags(&self) -> u16 {
        u16::from_ne_bytes([self.0[6], self.0[7]])
    }
}

fn find(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*attributes.first_chunk()?));
        let found = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?) & TYPE;
        let value = attributes.get(ATTRIBUTE_HEADER..length)?;
        if found == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_was_written_can_be_read() {
        let mut first = Message::request(0x0100, 2);
        first.put_nested(1, &[1, 2, 3]);
        first.put(8, &7_u32.to_be_bytes());
        let mut second = Message::request(0x0101, 10);
        second.ask_for_answer();
        let datagram = [first.bytes(), second.bytes()].concat();
        let received: Vec<_> = messages(&datagram).collect();
        assert_eq!(received.len(), 2);
        assert_eq!(received[0].attribute(1), Some(&[1, 2, 3][..]));
        assert_eq!(received[0].attribute(8), Some(&[0, 0, 0, 7][..]));
        assert_eq!(received[0].attribute(9), None);
        assert_eq!((received[0].family(), received[1].family()), (2, 10));
        assert_eq!(
            (received[0].is_last(), received[1].is_last()),
            (false, true)
        );
    }

    /// The header of the 128th generation reads as the smallest number there is.
    #[test]
    fn only_an_error_has_an_error_number() {
        let mut message = Message::request(0x0a0f, 0);
        message.0[16..20].copy_from_slice(&i32::MIN.to_ne_bytes());
        assert_eq!(Received(message.bytes()).error(), None);
        message.0[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        assert_eq!(Received(message.bytes()).error(), Some(i32::MIN));
    }

    #[test]
    fn a_cut_datagram_ends_the_messages() {
        let message = Message::request(0x0100, 2);
        assert_eq!(messages(&message.bytes()[..18]).count(), 0);
        assert_eq!(messages(&[0; 16]).count(), 0);
    }
}
