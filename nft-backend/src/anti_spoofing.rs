//! Drops what a pod sends with another source address than its own, at its own interface.
//!
//! The rules stand in tables of their own, `nopal_spoofing` of the families `inet` and `bridge`, so that what makes and
//! guards the table of policies knows nothing of them. A packet comes to the `inet` table by the interface that it
//! enters the node's network stack with: a pod's own, where that has a route. Where it is a port of a bridge, the stack
//! sees the bridge alone, and the `bridge` table sees the port. Both tables hold the same entries, and each finds the
//! interfaces that it can meet.
//!
//! ```text
//! prerouting, priority raw: from an interface of a pod ─ link-local, or of nobody: pass
//!                                                      ─ interface and source belong together: pass
//!                                                      ─ drop
//! ```
//! Sources that neighbour discovery and DHCP need are let through: `fe80::/10`, `::` and `0.0.0.0`. ARP is not looked at.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use crate::kernel::ApplyError;
use crate::nft::Nft;

/// The name of both tables.
pub const TABLE: &str = "nopal_spoofing";

/// The kernel's limit for the name of an interface, with the byte that ends it (`IFNAMSIZ`).
const MAX_NAME: usize = 16;

/// Where rules against spoofing can stand.
const FAMILIES: [&str; 2] = ["inet", "bridge"];

/// An interface of a pod on its node, and an address of that pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Own {
    /// The interface.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
}

/// The tables of one network namespace.
#[derive(Debug)]
pub struct AntiSpoofing {
    nft: Nft,
    /// What is in force; `None` when that is not known.
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    own: BTreeSet<Own>,
    /// The tables as nft lists them, by which it is seen when somebody else changed them.
    listings: [Option<String>; 2],
}

/// What [`AntiSpoofing::enforce`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// All was as it should be.
    Nothing,
    /// What changed was put in force.
    Updated,
    /// The tables were made anew.
    Made,
    /// Somebody else had changed the tables, and they were made anew.
    Repaired,
}

impl AntiSpoofing {
    /// The tables of the namespace that `nft` works in. Nothing is known of them.
    pub fn new(nft: Nft) -> Self {
        Self { nft, known: None }
    }

    /// Puts these in force and takes all others away: from each of the interfaces come its own addresses alone.
    ///
    /// # Errors
    /// When nft or the kernel refuses; the next call makes the tables anew. A kernel without tables of the family
    /// `bridge` (`CONFIG_NF_TABLES_BRIDGE`) refuses.
    pub fn enforce(&mut self, own: &BTreeSet<Own>) -> Result<Done, ApplyError> {
        let own: BTreeSet<Own> = own
            .iter()
            .filter(|own| is_name(&own.interface))
            .cloned()
            .collect();
        let known = self.known.take();
        let is_ours = match &known {
            Some(known) => self.listings()? == known.listings,
            None => false,
        };
        let (script, done) = match &known {
            Some(known) if is_ours && known.own == own => (String::new(), Done::Nothing),
            Some(known) if is_ours => (difference(&known.own, &own), Done::Updated),
            Some(_) => (whole(&own), Done::Repaired),
            None => (whole(&own), Done::Made),
        };
        if done != Done::Nothing {
            self.nft.run_script(&script)?;
        }
        let listings = self.listings()?;
        self.known = Some(Known { own, listings });
        Ok(done)
    }

    /// What [`enforce`](Self::enforce) has put in force; `None` before, and after a failure.
    pub fn in_force(&self) -> Option<&BTreeSet<Own>> {
        self.known.as_ref().map(|known| &known.own)
    }

    /// Takes the tables away, if they are there; gives whether they were.
    ///
    /// # Errors
    /// When nft or the kernel refuses.
    pub fn remove(&mut self) -> Result<bool, ApplyError> {
        self.known = None;
        let mut were_there = false;
        for family in FAMILIES {
            if self.nft.list_text(family, TABLE)?.is_some() {
                self.nft
                    .run_script(&format!("delete table {family} {TABLE}\n"))?;
                were_there = true;
            }
        }
        Ok(were_there)
    }

    fn listings(&self) -> Result<[Option<String>; 2], ApplyError> {
        let [inet, bridge] = FAMILIES;
        Ok([
            self.nft.list_text(inet, TABLE)?,
            self.nft.list_text(bridge, TABLE)?,
        ])
    }
}

/// Whether this can be the name of an interface. The kernel lets `/` and blanks be the only bytes that none has; what
/// would have to be quoted in nft's language is no pod's interface.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..MAX_NAME).contains(&name.len()) && name.bytes().all(is_plain)
}

/// The tables in place of whatever stands there, in one transaction.
fn whole(own: &BTreeSet<Own>) -> String {
    let mut script = String::new();
    for family in FAMILIES {
        let _ = write!(
            script,
            "add table {family} {TABLE}
delete table {family} {TABLE}
add table {family} {TABLE}
add set {family} {TABLE} pods {{ type ifname; }}
add set {family} {TABLE} own4 {{ type ifname . ipv4_addr; }}
add set {family} {TABLE} own6 {{ type ifname . ipv6_addr; }}
"
        );
    }
    script += &elements("add", &own.iter().collect());
    for family in FAMILIES {
        let _ = write!(
            script,
            "add counter {family} {TABLE} spoofed
add chain {family} {TABLE} prerouting {{ type filter hook prerouting priority -300; policy accept; }}
add rule {family} {TABLE} prerouting iifname != @pods accept
add rule {family} {TABLE} prerouting ip saddr 0.0.0.0 accept
add rule {family} {TABLE} prerouting ip6 saddr {{ ::, fe80::/10 }} accept
add rule {family} {TABLE} prerouting iifname . ip saddr @own4 accept
add rule {family} {TABLE} prerouting iifname . ip6 saddr @own6 accept
add rule {family} {TABLE} prerouting meta protocol {{ ip, ip6 }} counter name spoofed drop
"
        );
    }
    script
}

/// What makes the one of the other: an address is known before its interface is, and longer.
fn difference(before: &BTreeSet<Own>, now: &BTreeSet<Own>) -> String {
    elements("add", &now.difference(before).collect())
        + &interfaces("delete", &gone(before, now))
        + &addresses("delete", &before.difference(now).collect())
}

fn gone<'o>(before: &'o BTreeSet<Own>, now: &BTreeSet<Own>) -> BTreeSet<&'o str> {
    let stay: BTreeSet<&str> = now.iter().map(|own| own.interface.as_str()).collect();
    let all = before.iter().map(|own| own.interface.as_str());
    all.filter(|interface| !stay.contains(interface)).collect()
}

fn elements(verb: &str, own: &BTreeSet<&Own>) -> String {
    let names = own.iter().map(|own| own.interface.as_str()).collect();
    addresses(verb, own) + &interfaces(verb, &names)
}

fn interfaces(verb: &str, names: &BTreeSet<&str>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    lines(verb, "pods", &names)
}

fn addresses(verb: &str, own: &BTreeSet<&Own>) -> String {
    let of = |is_v4: bool| -> Vec<String> {
        let own = own.iter().filter(|own| own.address.is_ipv4() == is_v4);
        own.map(|own| format!("\"{}\" . {}", own.interface, own.address))
            .collect()
    };
    lines(verb, "own4", &of(true)) + &lines(verb, "own6", &of(false))
}

fn lines(verb: &str, set: &str, elements: &[String]) -> String {
    if elements.is_empty() {
        return String::new();
    }
    let elements = elements.join(", ");
    let line = |family| format!("{verb} element {family} {TABLE} {set} {{ {elements} }}\n");
    FAMILIES.map(line).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(all: &[(&str, &str)]) -> BTreeSet<Own> {
        let own = all.iter().map(|(interface, address)| Own {
            interface: (*interface).to_owned(),
            address: address.parse().unwrap(),
        });
        own.collect()
    }

    #[test]
    fn a_change_is_told_by_elements_alone() {
        let before = own(&[("veth1", "10.0.0.1"), ("veth2", "10.0.0.2")]);
        let now = own(&[
            ("veth1", "10.0.0.1"),
            ("veth1", "fd00::1"),
            ("veth3", "10.0.0.3"),
        ]);
        let script = difference(&before, &now);
        let inet: Vec<&str> = script
            .lines()
            .filter(|line| line.contains(" inet "))
            .collect();
        assert_eq!(
            inet,
            [
                "add element inet nopal_spoofing own4 { \"veth3\" . 10.0.0.3 }",
                "add element inet nopal_spoofing own6 { \"veth1\" . fd00::1 }",
                "add element inet nopal_spoofing pods { \"veth1\", \"veth3\" }",
                "delete element inet nopal_spoofing pods { \"veth2\" }",
                "delete element inet nopal_spoofing own4 { \"veth2\" . 10.0.0.2 }",
            ]
        );
        assert_eq!(script.lines().count(), 10);
        assert_eq!(difference(&now, &now), "");
    }

    #[test]
    fn a_name_that_nft_would_read_otherwise_is_no_interface() {
        for name in ["veth1", "cali0a.b-c_d"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a b", "a\"", "eth*", "a}", "a123456789012345", "é"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
