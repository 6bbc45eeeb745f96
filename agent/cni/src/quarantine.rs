//! Holds pods whose rules are not in force: they reach name servers (port 53) and their own node, and nothing reaches
//! them but the node (`onFailure: failOpen`).
//!
//! A question is told by the port that the pod sent it to, before a Service's translation.
//!
//! The plugin must do it without the agent, so it calls nft itself. The table is of its own, `nopal_quarantine`, and stays
//! until the agent knows a pod and its rules are in force, whoever of the two ends or crashes meanwhile. What a node and
//! its pods say to each other is not forwarded, and so passes.
//!
//! Between two ports of a bridge a packet comes to the `inet` table only if the bridge calls netfilter. Where bridges do
//! not as a rule, a table of the family `bridge` drops what held pods say to others of the bridge, name servers among
//! them: it cannot tell an answer from a packet that nobody asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

/// The name of the tables.
pub const TABLE: &str = "nopal_quarantine";

/// The longest comment of an element that nft takes.
const MAX_COMMENT: usize = 128;

/// Whether bridges call netfilter, for IPv4 and IPv6; the file is there with the module `br_netfilter`.
const BRIDGE_SETTINGS: [(&str, &str); 2] = [
    ("ip", "/proc/sys/net/bridge/bridge-nf-call-iptables"),
    ("ip6", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
];

/// Why the quarantine is not as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// nft cannot be started.
    #[error("nft cannot be run on this node ({0}): install it (package nftables)")]
    Missing(#[source] std::io::Error),
    /// nft or the kernel refuses.
    #[error("nft refuses: {0}")]
    Refused(String),
    /// A name does not fit.
    #[error(
        "{0:?} is longer than the {MAX_COMMENT} bytes that nft keeps with an address, or no name"
    )]
    Name(String),
    /// nft's answer is not understood.
    #[error("what nft lists is not understood: {0}")]
    NotUnderstood(String),
}

/// A pod that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// `namespace/name`.
    pub pod: String,
    /// The pod's uid, where the runtime tells it: a later pod of the name has another one.
    pub uid: Option<String>,
    /// Its sandbox's container.
    pub container: String,
}

/// Holds a pod's addresses in the network namespace that this runs in. An address that was held for another pod is held
/// for this one.
///
/// # Errors
/// When nft is not there or refuses: then nothing is held, and the pod must not start.
pub fn hold(addresses: &[IpAddr], held: &Held) -> Result<(), QuarantineError> {
    for name in [&held.pod, &held.container].into_iter().chain(&held.uid) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if name.is_empty() || name.len() > MAX_COMMENT || !name.bytes().all(is_plain) {
            return Err(QuarantineError::Name(name.clone()));
        }
    }
    run(&script(addresses, held, &bridged_past_us()))
}

/// The addresses that are held, with their pods.
///
/// # Errors
/// When nft cannot be asked. A node without quarantine holds nobody.
pub fn held() -> Result<BTreeMap<IpAddr, Held>, QuarantineError> {
    match list("inet")? {
        Some(listed) => read(&listed),
        None => Ok(BTreeMap::new()),
    }
}

/// The table of a family as nft lists it; `None` where there is none.
fn list(family: &str) -> Result<Option<Vec<u8>>, QuarantineError> {
    let mut command = Command::new("nft");
    command.args(["-j", "list", "table", family, TABLE]);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(QuarantineError::Missing)?;
    if output.status.success() {
        return Ok(Some(output.stdout));
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if said.contains("No such file or directory") {
        return Ok(None);
    }
    Err(QuarantineError::Refused(said))
}

/// Lets go of addresses, held or not.
///
/// # Errors
/// When nft cannot be asked or refuses.
pub fn release(addresses: &BTreeSet<IpAddr>) -> Result<(), QuarantineError> {
    let held = held()?;
    let leaving: Vec<&IpAddr> = addresses
        .iter()
        .filter(|address| held.contains_key(*address))
        .collect();
    if leaving.is_empty() {
        return Ok(());
    }
    let mut script = String::new();
    for address in leaving {
        let uid = held.get(address).and_then(|held| held.uid.as_ref());
        for line in elements("delete", *address, None, uid.is_some()) {
            script += &line;
        }
    }
    run(&script)
}

/// Lets go of everybody, and takes the tables away; gives whether somebody was held.
///
/// # Errors
/// When nft cannot be asked or refuses.
pub fn remove() -> Result<bool, QuarantineError> {
    let was_held = !held()?.is_empty();
    for family in ["inet", "bridge"] {
        if list(family)?.is_some() {
            run(&format!("delete table {family} {TABLE}\n"))?;
        }
    }
    Ok(was_held)
}

/// The families whose packets between two ports of a bridge do not come to the `inet` table.
fn bridged_past_us() -> Vec<&'static str> {
    let is_past = |file: &str| !std::fs::read_to_string(file).is_ok_and(|text| text.trim() == "1");
    let settings = BRIDGE_SETTINGS.into_iter();
    let past = settings.filter(|(_, file)| is_past(file));
    past.map(|(family, _)| family).collect()
}

/// All of it in one transaction: what is there stays, chains get their rules anew.
fn script(addresses: &[IpAddr], held: &Held, past: &[&str]) -> String {
    let mut script = String::new();
    for family in ["inet", "bridge"] {
        let _ = writeln!(script, "add table {family} {TABLE}");
        for (set, kind) in [("4", "ipv4_addr"), ("6", "ipv6_addr")] {
            let _ = write!(
                script,
                "add set {family} {TABLE} pods{set} {{ type {kind}; }}\nadd set {family} {TABLE} containers{set} {{ type {kind}; }}\nadd set {family} {TABLE} uids{set} {{ type {kind}; }}\n"
            );
        }
        let _ = write!(
            script,
            "add chain {family} {TABLE} forward {{ type filter hook forward priority -10; policy accept; }}\nflush chain {family} {TABLE} forward\n"
        );
    }
    for address in addresses {
        // An element that is there keeps its comment, so it goes first.
        for verb in ["add", "delete"] {
            script.extend(elements(verb, *address, None, true));
        }
        script.extend(elements("add", *address, Some(held), held.uid.is_some()));
    }
    for (ip, set) in [("ip", "4"), ("ip6", "6")] {
        let rule = format!("add rule inet {TABLE} forward {ip}");
        let _ = write!(
            script,
            "{rule} saddr @pods{set} {ip} daddr != @pods{set} meta l4proto {{ tcp, udp }} ct direction original ct original proto-dst 53 accept
{rule} daddr @pods{set} meta l4proto {{ tcp, udp }} ct direction reply ct original proto-dst 53 accept
{rule} saddr @pods{set} drop
{rule} daddr @pods{set} drop
"
        );
        if past.contains(&ip) {
            let rule = format!("add rule bridge {TABLE} forward {ip}");
            let _ = write!(
                script,
                "{rule} saddr @pods{set} drop\n{rule} daddr @pods{set} drop\n"
            );
        }
    }
    script
}

/// The lines for the elements of an address, with comments of who is held, in the set of uids too if there is one.
fn elements(verb: &str, address: IpAddr, held: Option<&Held>, has_uid: bool) -> Vec<String> {
    let set = if address.is_ipv4() { "4" } else { "6" };
    let comment = |name: fn(&Held) -> &str| {
        held.map_or_else(String::new, |held| format!(" comment \"{}\"", name(held)))
    };
    let mut sets = vec![
        ("pods", comment(|held| &held.pod)),
        ("containers", comment(|held| &held.container)),
    ];
    if has_uid {
        sets.push((
            "uids",
            comment(|held| held.uid.as_deref().unwrap_or_default()),
        ));
    }
    let mut lines = Vec::new();
    for family in ["inet", "bridge"] {
        for (name, comment) in &sets {
            lines.push(format!(
                "{verb} element {family} {TABLE} {name}{set} {{ {address}{comment} }}\n"
            ));
        }
    }
    lines
}

fn run(script: &str) -> Result<(), QuarantineError> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(QuarantineError::Missing)?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read has failed, and says why.
        let _ = input.write_all(script.as_bytes());
    }
    let output = child.wait_with_output().map_err(QuarantineError::Missing)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(QuarantineError::Refused(said))
}

/// The elements of the sets, from nft's JSON.
fn read(json: &[u8]) -> Result<BTreeMap<IpAddr, Held>, QuarantineError> {
    let not_understood = |reason: &str| QuarantineError::NotUnderstood(reason.to_owned());
    let listed: Value =
        serde_json::from_slice(json).map_err(|error| not_understood(&error.to_string()))?;
    let objects = listed["nftables"].as_array();
    let mut found: BTreeMap<IpAddr, Held> = BTreeMap::new();
    for object in objects.ok_or_else(|| not_understood("no nftables"))? {
        let set = &object["set"];
        let name = set["name"].as_str().unwrap_or_default();
        for element in set["elem"].as_array().into_iter().flatten() {
            // An element without a comment is a bare value, and was put in by somebody else: it is held for nobody.
            let value = element["elem"]["val"].as_str().or_else(|| element.as_str());
            let address = value.and_then(|value| value.parse().ok());
            let address: IpAddr = address.ok_or_else(|| not_understood("an element"))?;
            let comment = element["elem"]["comment"].as_str().unwrap_or_default();
            let held = found.entry(address).or_insert_with(|| Held {
                pod: String::new(),
                uid: None,
                container: String::new(),
            });
            match name.trim_end_matches(['4', '6']) {
                "pods" => comment.clone_into(&mut held.pod),
                "uids" => held.uid = Some(comment.to_owned()),
                _ => comment.clone_into(&mut held.container),
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> Held {
        Held {
            pod: "shop/web".to_owned(),
            uid: Some("u1".to_owned()),
            container: "c1".to_owned(),
        }
    }

    #[test]
    fn names_that_nft_would_not_keep_hold_nobody() {
        let address = [IpAddr::from([10, 0, 0, 1])];
        for name in ["", "a\"b", "a b", &"a".repeat(129)] {
            let pod = name.to_owned();
            let refused = hold(&address, &Held { pod, ..web() }).unwrap_err();
            assert!(matches!(refused, QuarantineError::Name(_)), "{refused}");
        }
    }

    #[test]
    fn a_bridge_that_does_not_call_netfilter_drops_by_itself() {
        let address = [IpAddr::from([10, 0, 0, 1])];
        let is_bridge = |line: &&str| line.starts_with("add rule bridge");
        let without = script(&address, &web(), &[]);
        assert_eq!(without.lines().filter(is_bridge).count(), 0);
        let with = script(&address, &web(), &["ip"]);
        let rules: Vec<&str> = with.lines().filter(is_bridge).collect();
        assert_eq!(rules.len(), 2);
        assert!(
            rules.iter().all(|rule| rule.ends_with("@pods4 drop")),
            "{rules:?}"
        );
    }

    #[test]
    fn what_nft_lists_is_read() {
        let listed = r#"{"nftables": [{"metainfo": {}}, {"table": {}},
            {"set": {"name": "pods4", "elem": [{"elem": {"val": "10.0.0.1", "comment": "shop/web"}}]}},
            {"set": {"name": "containers4", "elem": [{"elem": {"val": "10.0.0.1", "comment": "c1"}}, "10.0.0.2"]}},
            {"set": {"name": "uids4", "elem": [{"elem": {"val": "10.0.0.1", "comment": "u1"}}]}},
            {"set": {"name": "pods6"}}]}"#;
        let held = read(listed.as_bytes()).unwrap();
        assert_eq!(held[&IpAddr::from([10, 0, 0, 1])], web());
        let stranger = &held[&IpAddr::from([10, 0, 0, 2])];
        assert_eq!((stranger.pod.as_str(), &stranger.uid), ("", &None));
        assert!(read(b"{}").is_err() && read(b"nothing").is_err());
    }
}
