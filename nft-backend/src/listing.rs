//! Reads what `nft -j list table` prints.
//!
//! The parts that the kernel keeps in another form than we sent come back to ours: ranges that nft
//! prints as prefixes, and protocols by name or by number.

use std::net::IpAddr;

use serde_json::Value as Json;

use crate::class_counters::{self, ClassCounts};
use crate::element::{Element, PeerPorts, ProtocolPorts};
use crate::in_force::{Counted, InForce, ListedChain, ListedMap, ListedSet, Traffic};
use crate::kernel::ApplyError;
use crate::names::{AUDITED, DENIED, Name};
use crate::rule_counters::{self, RuleCounts};
use crate::value::{AddressRange, PortRange, Protocol};

/// Reads the whole document. An object without a name or a kind is an error, one of a kind that we
/// do not use is kept as foreign.
pub(crate) fn parse(document: &[u8]) -> Result<InForce, ApplyError> {
    let not_understood = |reason: String| ApplyError::NotUnderstood { reason };
    let document: Json =
        serde_json::from_slice(document).map_err(|error| not_understood(error.to_string()))?;
    let objects = document["nftables"].as_array();
    let objects = objects.ok_or_else(|| not_understood("no list of objects".to_owned()))?;
    let mut in_force = InForce::default();
    for object in objects {
        add(&mut in_force, object).ok_or_else(|| not_understood(object.to_string()))?;
    }
    Ok(in_force)
}

/// Reads our counters. A table that an older version loaded has only the first.
pub(crate) fn parse_counted(document: &[u8]) -> Result<Counted, ApplyError> {
    let not_understood = |reason: String| ApplyError::NotUnderstood { reason };
    let document: Json =
        serde_json::from_slice(document).map_err(|error| not_understood(error.to_string()))?;
    let objects = document["nftables"].as_array();
    let counters = objects.into_iter().flatten();
    let counters = counters.map(|object| &object["counter"]);
    let traffic = |name: &str| {
        let counter = counters.clone().find(|counter| counter["name"] == name)?;
        traffic_of(counter)
    };
    let denied = traffic(DENIED).ok_or_else(|| not_understood("no counter".to_owned()))?;
    let audited = traffic(AUDITED).unwrap_or_default();
    Ok(Counted { denied, audited })
}

/// Reads the counters of classes and those of rules.
pub(crate) fn parse_counts(document: &[u8]) -> Result<(ClassCounts, RuleCounts), ApplyError> {
    let not_understood = |reason: String| ApplyError::NotUnderstood { reason };
    let document: Json =
        serde_json::from_slice(document).map_err(|error| not_understood(error.to_string()))?;
    let objects = document["nftables"].as_array();
    let counters = objects.into_iter().flatten();
    let counters = counters.filter_map(|object| {
        let counter = &object["counter"];
        Some((counter["name"].as_str()?, traffic_of(counter)?))
    });
    Ok((
        class_counters::read(counters.clone()),
        rule_counters::read(counters),
    ))
}

fn traffic_of(counter: &Json) -> Option<Traffic> {
    Some(Traffic {
        packets: counter["packets"].as_u64()?,
        bytes: counter["bytes"].as_u64()?,
    })
}

/// `None` when the object is not written as nft writes it.
fn add(in_force: &mut InForce, object: &Json) -> Option<()> {
    let (kind, body) = object.as_object()?.iter().next()?;
    let text = |member: &str| body[member].as_str();
    match kind.as_str() {
        "metainfo" => {}
        // Ours has none. nft 1.0.6 writes the table's name in the place of the flag (`dormant`, under which
        // no rule is in force), so all that can be told is that there is one.
        "table" => {
            if !body["flags"].is_null() {
                in_force.others.insert("flag of the table".to_owned());
            }
        }
        "counter" => {
            in_force.counters.insert(Name::listed(text("name")?));
        }
        "set" => {
            in_force.sets.insert(Name::listed(text("name")?), set(body));
        }
        "map" => {
            in_force.maps.insert(Name::listed(text("name")?), map(body));
        }
        "chain" => {
            let hook = text("hook").map(|hook| (hook.to_owned(), priority(&body["prio"])));
            let chain: &mut ListedChain = in_force
                .chains
                .entry(Name::listed(text("name")?))
                .or_default();
            chain.hook = hook;
            chain.drops = text("policy") == Some("drop");
        }
        "rule" => {
            let chain: &mut ListedChain = in_force
                .chains
                .entry(Name::listed(text("chain")?))
                .or_default();
            chain.rules.push(text("comment").map(str::to_owned));
        }
        other => {
            in_force.others.insert(format!("{other} {}", text("name")?));
        }
    }
    Some(())
}

fn priority(value: &Json) -> i32 {
    value
        .as_i64()
        .and_then(|number| i32::try_from(number).ok())
        .unwrap_or_default()
}

fn set(body: &Json) -> ListedSet {
    let mut set = ListedSet {
        types: types(body),
        interval: is_interval(body),
        ..<_>::default()
    };
    for item in items(body) {
        match element(item) {
            Some(element) => {
                set.elements.insert(element);
            }
            None => set.unread.push(item.to_string()),
        }
    }
    set
}

fn map(body: &Json) -> ListedMap {
    let mut map = ListedMap {
        types: types(body),
        ..ListedMap::default()
    };
    for item in items(body) {
        match entry(item) {
            Some((address, chain)) => {
                map.entries.insert(address, chain);
            }
            None => map.unread.push(item.to_string()),
        }
    }
    map
}

fn types(body: &Json) -> Vec<String> {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    match &body["type"] {
        Json::Array(types) => types.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

fn is_interval(body: &Json) -> bool {
    body["flags"]
        .as_array()
        .is_some_and(|flags| flags.iter().any(|flag| flag == "interval"))
}

fn items(body: &Json) -> &[Json] {
    body["elem"].as_array().map_or(&[], Vec::as_slice)
}

fn entry(item: &Json) -> Option<(IpAddr, Name)> {
    let address = item[0].as_str()?.parse().ok()?;
    Some((address, Name::listed(item[1]["goto"]["target"].as_str()?)))
}

fn element(item: &Json) -> Option<Element> {
    let Some(concatenation) = item["concat"].as_array() else {
        if let Some(number) = item.as_u64() {
            return u32::try_from(number).ok().map(Element::Mark);
        }
        return address_range(item).map(Element::Address);
    };
    match concatenation.as_slice() {
        [first, second] => match protocol(first) {
            Some(protocol) => {
                let ports = port_range(second)?;
                Some(Element::Port(ProtocolPorts { protocol, ports }))
            }
            None => Some(Element::Pair(address(first)?, address(second)?)),
        },
        [first, second, third] => Some(Element::PeerPort(PeerPorts {
            peer: address_range(first)?,
            protocol: protocol(second)?,
            ports: port_range(third)?,
        })),
        _ => None,
    }
}

fn address(item: &Json) -> Option<IpAddr> {
    item.as_str()?.parse().ok()
}

fn address_range(item: &Json) -> Option<AddressRange> {
    if let Some(single) = address(item) {
        return Some(AddressRange::single(single));
    }
    if let Some(prefix) = item.get("prefix") {
        let length = u8::try_from(prefix["len"].as_u64()?).ok()?;
        return AddressRange::prefix(address(&prefix["addr"])?, length);
    }
    let range = item.get("range")?;
    AddressRange::new(address(&range[0])?, address(&range[1])?)
}

fn port_range(item: &Json) -> Option<PortRange> {
    let port = |item: &Json| u16::try_from(item.as_u64()?).ok();
    if let Some(single) = port(item) {
        return Some(PortRange::single(single));
    }
    let range = item.get("range")?;
    PortRange::new(port(&range[0])?, port(&range[1])?)
}

fn protocol(item: &Json) -> Option<Protocol> {
    match item {
        Json::String(name) => [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
            .into_iter()
            .find(|protocol| protocol.to_string() == *name),
        number => Protocol::from_number(u8::try_from(number.as_u64()?).ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_back_in_our_form() {
        let element = |text| {
            element(&serde_json::from_str(text).unwrap())
                .unwrap()
                .to_string()
        };
        assert_eq!(element(r#""10.0.0.1""#), "10.0.0.1");
        assert_eq!(
            element(r#"{"prefix": {"addr": "10.0.0.0", "len": 8}}"#),
            "10.0.0.0/8"
        );
        assert_eq!(
            element(r#"{"range": ["10.0.0.1", "10.0.0.2"]}"#),
            "10.0.0.1-10.0.0.2"
        );
        assert_eq!(element(r#"{"concat": ["::1", "::1"]}"#), "::1 . ::1");
        assert_eq!(element(r#"{"concat": ["udp", 53]}"#), "udp . 53");
        assert_eq!(element("16777216"), "0x01000000");
        assert_eq!(
            element(
                r#"{"concat": [{"prefix": {"addr": "::", "len": 0}}, 132, {"range": [1, 2]}]}"#
            ),
            "::/0 . sctp . 1-2"
        );
    }

    #[test]
    fn what_is_not_a_listing_is_an_error() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"nftables": [{}]}"#,
            r#"{"nftables": [{"set": {}}]}"#,
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(matches!(error, ApplyError::NotUnderstood { .. }), "{text}");
        }
    }
}
