//! Elements of sets and entries of verdict maps.
//!
//! Three forms, by the set that they are for: a hash set has keys; an interval set of concatenations has keys with both
//! their ends, inclusive; an interval set of single addresses is a tree of points, where a range is the point where
//! it begins and the point after its last address, marked as an end. A range that goes up to the last address has no
//! end. Fields of a concatenation begin at multiples of four.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::batch::Unencodable;
use super::set::{Shape, number};
use super::uapi::{
    NFT_GOTO, NFT_SET_ELEM_INTERVAL_END, NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_LIST_ELEM,
    NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_FLAGS, NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_KEY_END,
    NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_TABLE,
    NFTA_SET_ELEM_USERDATA, NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE,
};
use super::writer::{Header, Writer};
use crate::element::{Element, Key};
use crate::names::Name;
use crate::value::{AddressRange, Family};

/// Elements in one message. More than 2,700 concatenations failed with a misleading `ENOENT` (kernel 6.18).
const MOST: usize = 1000;
/// A message's list of elements is one attribute, whose length has 16 bits; this is more than an element takes, with a
/// chain's name of 255 bytes.
const ROOM: usize = u16::MAX as usize - 1024;

/// nft's own record that a range has no end (`NFTNL_UDATA_SET_ELEM_FLAGS`, `NFTNL_SET_ELEM_F_INTERVAL_OPEN`).
const OPEN_RANGE: [u8; 2] = [1, 4];
const OPEN_RANGE_VALUE: u32 = 1;

/// Where elements go: the table, the set, and how that keeps them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) table: &'a Name,
    pub(crate) set: &'a Name,
    pub(crate) shape: Shape,
}

/// Writes the elements of a set into as many messages as they need.
///
/// # Errors
/// When the set has no such elements.
pub(crate) fn write_elements(
    writer: &mut Writer,
    header: Header,
    place: Place<'_>,
    elements: &BTreeSet<Element>,
) -> Result<(), Unencodable> {
    let Shape { key, interval, map } = place.shape;
    let fits = |element: &&Element| {
        !map && number(element.key()) == key && (interval || element.is_exact())
    };
    if let Some(element) = elements.iter().find(|element| !fits(element)) {
        let (set, element) = (place.set.clone(), element.to_string());
        return Err(Unencodable::Element { set, element });
    }
    split(
        writer,
        header,
        place,
        elements.iter(),
        |writer, element| match (element, interval) {
            (Element::Address(range), true) => write_points(writer, *range),
            (element, true) => write_box(writer, element),
            (element, false) => write_one(writer, |writer| write_key(writer, element, End::First)),
        },
    );
    Ok(())
}

/// Writes entries of a verdict map. To delete one, its address is enough.
///
/// # Errors
/// When it is no verdict map, or one of other addresses.
pub(crate) fn write_entries(
    writer: &mut Writer,
    header: Header,
    place: Place<'_>,
    entries: &BTreeMap<IpAddr, Name>,
    to: Entries,
) -> Result<(), Unencodable> {
    let fits = |address: &&IpAddr| {
        let key = Key::Address(Family::of(**address));
        place.shape.map && !place.shape.interval && place.shape.key == number(key)
    };
    if let Some(address) = entries.keys().find(|address| !fits(address)) {
        let (set, element) = (place.set.clone(), address.to_string());
        return Err(Unencodable::Element { set, element });
    }
    split(
        writer,
        header,
        place,
        entries.iter(),
        |writer, (address, chain)| {
            writer.nested(NFTA_LIST_ELEM, |writer| {
                write_address_key(writer, *address);
                if to == Entries::Add {
                    writer.nested(NFTA_SET_ELEM_DATA, |writer| {
                        write_verdict(writer, NFT_GOTO, Some(chain));
                    });
                }
            });
        },
    );
    Ok(())
}

/// What becomes of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entries {
    Add,
    Delete,
}

/// Writes a verdict, as data of a map's entry or of a rule's last expression.
pub(crate) fn write_verdict(writer: &mut Writer, code: u32, chain: Option<&Name>) {
    writer.nested(NFTA_DATA_VERDICT, |writer| {
        writer.put_u32(NFTA_VERDICT_CODE, code);
        if let Some(chain) = chain {
            writer.put_text(NFTA_VERDICT_CHAIN, chain.as_str());
        }
    });
}

/// Writes no message for no elements: one that deletes would delete all.
fn split<T>(
    writer: &mut Writer,
    header: Header,
    place: Place<'_>,
    elements: impl Iterator<Item = T>,
    write: impl Fn(&mut Writer, T),
) {
    let mut elements = elements.peekable();
    while elements.peek().is_some() {
        writer.message(header, |writer| {
            writer.put_text(NFTA_SET_ELEM_LIST_TABLE, place.table.as_str());
            writer.put_text(NFTA_SET_ELEM_LIST_SET, place.set.as_str());
            writer.nested(NFTA_SET_ELEM_LIST_ELEMENTS, |writer| {
                let start = writer.len();
                for element in elements.by_ref().take(MOST) {
                    write(writer, element);
                    if writer.len() - start > ROOM {
                        break;
                    }
                }
            });
        });
    }
}

fn write_one(writer: &mut Writer, key: impl FnOnce(&mut Writer)) {
    writer.nested(NFTA_LIST_ELEM, |writer| {
        write_value(writer, NFTA_SET_ELEM_KEY, key);
    });
}

fn write_box(writer: &mut Writer, element: &Element) {
    writer.nested(NFTA_LIST_ELEM, |writer| {
        for (attribute, end) in [
            (NFTA_SET_ELEM_KEY, End::First),
            (NFTA_SET_ELEM_KEY_END, End::Last),
        ] {
            write_value(writer, attribute, |writer| write_key(writer, element, end));
        }
    });
}

fn write_points(writer: &mut Writer, range: AddressRange) {
    let after = successor(range.last());
    writer.nested(NFTA_LIST_ELEM, |writer| {
        write_address_key(writer, range.first());
        if after.is_none() {
            writer.attribute(NFTA_SET_ELEM_USERDATA, |writer| {
                writer.raw(&OPEN_RANGE);
                writer.raw(&OPEN_RANGE_VALUE.to_ne_bytes());
            });
        }
    });
    if let Some(after) = after {
        writer.nested(NFTA_LIST_ELEM, |writer| {
            writer.put_u32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
            write_address_key(writer, after);
        });
    }
}

fn write_address_key(writer: &mut Writer, address: IpAddr) {
    write_value(writer, NFTA_SET_ELEM_KEY, |writer| {
        write_address(writer, address);
    });
}

fn write_value(writer: &mut Writer, attribute: u16, value: impl FnOnce(&mut Writer)) {
    writer.nested(attribute, |writer| {
        writer.attribute(NFTA_DATA_VALUE, value);
    });
}

/// One end of a range.
#[derive(Debug, Clone, Copy)]
enum End {
    First,
    Last,
}

fn write_key(writer: &mut Writer, element: &Element, end: End) {
    let address = |range: &AddressRange| match end {
        End::First => range.first(),
        End::Last => range.last(),
    };
    let (protocol, ports) = match element {
        Element::Address(range) => return write_address(writer, address(range)),
        Element::Pair(first, second) => {
            write_address(writer, *first);
            return write_address(writer, *second);
        }
        Element::Mark(mark) => return writer.raw(&mark.to_ne_bytes()),
        Element::Port(part) => (part.protocol, part.ports),
        Element::PeerPort(part) => {
            write_address(writer, address(&part.peer));
            (part.protocol, part.ports)
        }
    };
    let port = match end {
        End::First => ports.first(),
        End::Last => ports.last(),
    };
    let [high, low] = port.to_be_bytes();
    writer.raw(&[protocol.number(), 0, 0, 0, high, low, 0, 0]);
}

fn write_address(writer: &mut Writer, address: IpAddr) {
    match address {
        IpAddr::V4(address) => writer.raw(&address.octets()),
        IpAddr::V6(address) => writer.raw(&address.octets()),
    }
}

fn successor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let next = address.to_bits().checked_add(1)?;
            Some(Ipv4Addr::from_bits(next).into())
        }
        IpAddr::V6(address) => {
            let next = address.to_bits().checked_add(1)?;
            Some(Ipv6Addr::from_bits(next).into())
        }
    }
}
