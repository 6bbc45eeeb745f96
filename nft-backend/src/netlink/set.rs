//! Sets and verdict maps as the kernel keeps them: the numbers of their types, their flags, and what nft wants to know
//! when it lists them.

use super::uapi::{
    NFT_DATA_VERDICT, NFT_SET_CONCAT, NFT_SET_INTERVAL, NFT_SET_MAP, NFTA_LIST_ELEM,
    NFTA_SET_DATA_LEN, NFTA_SET_DATA_TYPE, NFTA_SET_DESC, NFTA_SET_DESC_CONCAT, NFTA_SET_DESC_SIZE,
    NFTA_SET_FIELD_LEN, NFTA_SET_FLAGS, NFTA_SET_ID, NFTA_SET_KEY_LEN, NFTA_SET_KEY_TYPE,
    NFTA_SET_NAME, NFTA_SET_TABLE, NFTA_SET_USERDATA,
};
use super::writer::Writer;
use crate::element::Key;
use crate::names::Name;
use crate::value::Family;

/// One of nft's data types: the kernel stores the number for it and knows the length alone.
struct DataType {
    number: u32,
    length: u32,
}

const IPV4_ADDR: DataType = DataType {
    number: 7,
    length: 4,
};
const IPV6_ADDR: DataType = DataType {
    number: 8,
    length: 16,
};
const INET_PROTO: DataType = DataType {
    number: 12,
    length: 1,
};
const INET_SERVICE: DataType = DataType {
    number: 13,
    length: 2,
};
const MARK: DataType = DataType {
    number: 19,
    length: 4,
};
/// In a concatenation the numbers of the types stand side by side in so many bits each.
const TYPE_BITS: u32 = 6;

/// The tag of nft's own record of the byte order of a set's key (libnftnl: `NFTNL_UDATA_SET_KEYBYTEORDER`).
const KEY_BYTE_ORDER: u8 = 0;
/// The order of marks: the machine's own.
const HOST_ENDIAN: u32 = 1;
/// The order of addresses, ports and single bytes.
pub(crate) const BIG_ENDIAN: u32 = 2;
/// Each field of a concatenation has a byte order of its own.
const MIXED: u32 = 0;

/// What decides how the elements of a set or map are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The number of the key's type.
    pub(crate) key: u32,
    /// Whether elements may be ranges.
    pub(crate) interval: bool,
    /// Whether elements lead to chains.
    pub(crate) map: bool,
}

impl Shape {
    /// The shape of a set.
    pub(crate) fn set(key: Key, interval: bool) -> Self {
        Self {
            key: number(key),
            interval,
            map: false,
        }
    }

    /// The shape of a verdict map.
    pub(crate) fn map(family: Family) -> Self {
        Self {
            key: number(Key::Address(family)),
            interval: false,
            map: true,
        }
    }

    /// The shape that the kernel tells by a set's type and flags.
    pub(crate) const fn listed(key: u32, flags: u32) -> Self {
        Self {
            key,
            interval: flags & NFT_SET_INTERVAL != 0,
            map: flags & NFT_SET_MAP != 0,
        }
    }
}

/// Writes the attributes of a new set. The kernel wants a number for it that no other set of the batch has.
pub(crate) fn write_set(
    writer: &mut Writer,
    [table, name]: [&Name; 2],
    key: Key,
    interval: bool,
    id: u32,
) {
    let types = types(key);
    let concatenated = types.len() > 1;
    let flags = match (interval, concatenated) {
        (false, _) => 0,
        (true, false) => NFT_SET_INTERVAL,
        (true, true) => NFT_SET_INTERVAL | NFT_SET_CONCAT,
    };
    write_key(writer, [table, name], key, flags);
    writer.put_u32(NFTA_SET_ID, id);
    if interval && concatenated {
        writer.nested(NFTA_SET_DESC, |writer| {
            writer.nested(NFTA_SET_DESC_CONCAT, |writer| {
                for data_type in types {
                    writer.nested(NFTA_LIST_ELEM, |writer| {
                        writer.put_u32(NFTA_SET_FIELD_LEN, data_type.length);
                    });
                }
            });
        });
    }
    if let Some(room) = key.room() {
        writer.nested(NFTA_SET_DESC, |writer| {
            writer.put_u32(NFTA_SET_DESC_SIZE, room);
        });
    }
    let order = match key {
        Key::Mark => HOST_ENDIAN,
        _ if concatenated => MIXED,
        _ => BIG_ENDIAN,
    };
    write_byte_order(writer, order);
}

/// Writes the attributes of a new verdict map.
pub(crate) fn write_map(writer: &mut Writer, [table, name]: [&Name; 2], family: Family, id: u32) {
    write_key(writer, [table, name], Key::Address(family), NFT_SET_MAP);
    writer.put_u32(NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
    writer.put_u32(NFTA_SET_DATA_LEN, 0);
    writer.put_u32(NFTA_SET_ID, id);
    write_byte_order(writer, BIG_ENDIAN);
}

/// Writes the record without which nft prints the elements of a set in the wrong byte order.
pub(crate) fn write_byte_order(writer: &mut Writer, order: u32) {
    writer.attribute(NFTA_SET_USERDATA, |writer| {
        writer.raw(&[KEY_BYTE_ORDER, 4]);
        writer.raw(&order.to_ne_bytes());
    });
}

fn write_key(writer: &mut Writer, [table, name]: [&Name; 2], key: Key, flags: u32) {
    // Each field of a concatenation begins at a multiple of four.
    let length: u32 = types(key)
        .iter()
        .map(|data_type| data_type.length.next_multiple_of(4))
        .sum();
    writer.put_text(NFTA_SET_TABLE, table.as_str());
    writer.put_text(NFTA_SET_NAME, name.as_str());
    writer.put_u32(NFTA_SET_FLAGS, flags);
    writer.put_u32(NFTA_SET_KEY_TYPE, number(key));
    writer.put_u32(NFTA_SET_KEY_LEN, length);
}

/// The number of a key's type, which for a concatenation holds those of all its fields.
pub(crate) fn number(key: Key) -> u32 {
    types(key).iter().fold(0, |number, data_type| {
        number << TYPE_BITS | data_type.number
    })
}

fn types(key: Key) -> &'static [DataType] {
    match key {
        Key::Address(Family::V4) => &[IPV4_ADDR],
        Key::Address(Family::V6) => &[IPV6_ADDR],
        Key::Pair(Family::V4) => &[IPV4_ADDR, IPV4_ADDR],
        Key::Pair(Family::V6) => &[IPV6_ADDR, IPV6_ADDR],
        Key::Port => &[INET_PROTO, INET_SERVICE],
        Key::PeerPort(Family::V4) => &[IPV4_ADDR, INET_PROTO, INET_SERVICE],
        Key::PeerPort(Family::V6) => &[IPV6_ADDR, INET_PROTO, INET_SERVICE],
        Key::Mark => &[MARK],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nft 1.0.6 sends them (`nft --debug=mnl`).
    #[test]
    fn types_have_the_numbers_of_nft() {
        for (key, expected) in [
            (Key::Address(Family::V4), 7),
            (Key::Address(Family::V6), 8),
            (Key::Pair(Family::V6), 0x208),
            (Key::Port, 0x30d),
            (Key::PeerPort(Family::V4), 0x730d),
            (Key::PeerPort(Family::V6), 0x830d),
            (Key::Mark, 19),
        ] {
            assert_eq!(number(key), expected, "{key}");
        }
    }
}
