//! Netlink messages and attributes, written one behind the other into one buffer.
//!
//! Lengths are written when a message or a nested attribute ends, so nothing is copied and nothing is allocated per
//! attribute. All numbers of nftables are in network byte order.

use super::uapi::NLM_F_REQUEST;

const NESTED: u16 = 0x8000;

/// What stands in a message's header besides its length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    /// The type of the message.
    pub(crate) kind: u16,
    /// Flags besides `NLM_F_REQUEST`, which every message has.
    pub(crate) flags: u16,
    /// The number that the kernel's answer carries.
    pub(crate) sequence: u32,
    /// The address family.
    pub(crate) family: u8,
    /// The subsystem, in the two messages that embrace a batch.
    pub(crate) resource: u16,
}

/// A buffer that messages are written to.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    last_message: usize,
    overflowed: bool,
}

impl Writer {
    /// A buffer that can hold so many bytes before it grows.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Writes a message with the attributes that `contents` writes.
    pub(crate) fn message(&mut self, header: Header, contents: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.last_message = start;
        self.bytes.extend([0; 4]);
        self.bytes.extend(header.kind.to_ne_bytes());
        self.bytes
            .extend((header.flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend(header.sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([header.family, 0]);
        self.bytes.extend(header.resource.to_be_bytes());
        contents(self);
        match u32::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.overflowed = true,
        }
    }

    /// Writes an attribute with the attributes that `contents` writes.
    pub(crate) fn nested(&mut self, kind: u16, contents: impl FnOnce(&mut Self)) {
        self.attribute(kind | NESTED, contents);
    }

    /// Writes an attribute of bytes.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |writer| writer.raw(value));
    }

    /// Writes an attribute of one byte.
    pub(crate) fn put_u8(&mut self, kind: u16, value: u8) {
        self.put(kind, &[value]);
    }

    /// Writes a number.
    pub(crate) fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    /// Writes a number.
    pub(crate) fn put_u64(&mut self, kind: u16, value: u64) {
        self.put(kind, &value.to_be_bytes());
    }

    /// Writes a text, which ends with a zero byte.
    pub(crate) fn put_text(&mut self, kind: u16, text: &str) {
        self.attribute(kind, |writer| {
            writer.raw(text.as_bytes());
            writer.raw(&[0]);
        });
    }

    /// Writes an attribute whose value `contents` writes.
    pub(crate) fn attribute(&mut self, kind: u16, contents: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        contents(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.overflowed = true,
        }
        self.pad();
    }

    /// Writes bytes of a value.
    pub(crate) fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    /// Fills up to the next multiple of four, where attributes and the fields of a concatenation begin.
    pub(crate) fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds flags to the message that was written last.
    pub(crate) fn add_flags(&mut self, flags: u16) {
        let at = self.last_message + 6;
        debug_assert!(at + 2 <= self.bytes.len(), "there is a message");
        for (byte, flag) in self.bytes[at..].iter_mut().zip(flags.to_ne_bytes()) {
            *byte |= flag;
        }
    }

    /// The messages; `None` when something did not fit: an attribute holds 65,535 bytes with its header, because its
    /// length has 16 bits.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        (!self.overflowed).then_some(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::messages;

    const PLAIN: Header = Header {
        kind: 0x0a00,
        flags: 0x400,
        sequence: 7,
        family: 1,
        resource: 0,
    };

    #[test]
    fn lengths_and_padding_are_written_when_an_attribute_ends() {
        let mut writer = Writer::default();
        writer.message(PLAIN, |w| {
            w.nested(3, |w| {
                w.put_text(1, "ab");
                w.put_u32(2, 5);
            });
            w.put_u8(4, 9);
        });
        writer.add_flags(0x4);
        let bytes = writer.finish().unwrap();
        let header = [48, 0, 0, 0, 0x00, 0x0a, 0x05, 0x04, 7, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(bytes[..16], header);
        assert_eq!(bytes[16..20], [1, 0, 0, 0]);
        let nested = [
            20, 0, 3, 0x80, 7, 0, 1, 0, b'a', b'b', 0, 0, 8, 0, 2, 0, 0, 0, 0, 5,
        ];
        assert_eq!(bytes[20..40], nested);
        assert_eq!(bytes[40..], [5, 0, 4, 0, 9, 0, 0, 0]);
        assert_eq!(
            messages(&bytes).next().unwrap().attribute(3),
            Some(&nested[4..])
        );
    }

    #[test]
    fn an_attribute_that_is_too_long_is_noticed() {
        let written = |length: usize| {
            let mut writer = Writer::default();
            writer.message(PLAIN, |w| w.put(1, &vec![0; length]));
            writer.finish().is_some()
        };
        assert!(written(65_531));
        assert!(!written(65_532));
    }
}
