//! Whether the packets of a node's pods come to its rules.

use std::fmt::Write;

use nft_backend::topology::{Enforced, Enforcement, Placed, Report, TopologyError};
use serde_json::{Value, json};

/// What `apply` tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What was done, or would be; a line for each bridge.
    pub done: String,
    /// The addresses that policies do not hold for; a line for each.
    pub open: String,
}

/// What was done after the rules came into force.
pub fn enforced(enforced: &Enforced) -> Told {
    let mut told = Told::default();
    for bridge in &enforced.switched {
        let _ = writeln!(
            told.done,
            "bridge {bridge}: calls netfilter now (nf_call_iptables and nf_call_ip6tables)"
        );
    }
    for (placed, reason) in enforced.open() {
        told.open += &open(placed, &reason);
    }
    told
}

/// What `apply` would do. Nothing was changed.
pub fn would_be(report: &Report) -> Told {
    let mut told = Told::default();
    for bridge in report.bridges_to_switch() {
        let _ = writeln!(
            told.done,
            "bridge {bridge}: would be made to call netfilter (nf_call_iptables and nf_call_ip6tables)"
        );
    }
    for placed in report.impossible() {
        if let Enforcement::Impossible { reason, way_out } = placed.path.enforcement() {
            told.open += &open(placed, &format!("{reason}; {way_out}"));
        }
    }
    told
}

/// What is told when nothing could be found out.
pub fn unknown(error: &TopologyError) -> Told {
    Told {
        open: format!("it is not known whether policies hold for the pods of this node: {error}\n"),
        ..Told::default()
    }
}

fn open(placed: &Placed, reason: &str) -> String {
    let Placed { pod, address, path } = placed;
    format!("policies do not hold for {pod} ({address}), {path}: {reason}\n")
}

/// The wiring for people: the addresses that rules do not hold for, and how many there are.
pub fn text(found: &Result<Report, TopologyError>) -> String {
    let report = match found {
        Ok(report) => report,
        Err(error) => return format!("how the pods are wired is not known: {error}\n"),
    };
    let addresses = match report.placed.len() {
        1 => "1 address".to_owned(),
        count => format!("{count} addresses"),
    };
    let is_open = |placed: &&Placed| !is_enforced(placed);
    let open: Vec<&Placed> = report.placed.iter().filter(is_open).collect();
    if open.is_empty() {
        return format!("wiring: {addresses} of pods, and the rules see the packets of each\n");
    }
    let mut text = format!(
        "wiring: {addresses} of pods, and the rules do not see all packets of {}:\n",
        open.len()
    );
    for placed in open {
        let _ = writeln!(text, "  {placed}");
    }
    text
}

/// The wiring for programs.
pub fn json(found: &Result<Report, TopologyError>) -> Value {
    let report = match found {
        Ok(report) => report,
        Err(error) => return json!({ "error": error.to_string() }),
    };
    let addresses = report.placed.iter().map(|placed| {
        let enforcement = placed.path.enforcement();
        let (bridge, reason, way_out) = match &enforcement {
            Enforcement::AtForward | Enforcement::NotASubject => (None, None, None),
            Enforcement::AfterSwitch { bridge } => (Some(bridge), None, None),
            Enforcement::Impossible { reason, way_out } => (None, Some(reason), Some(way_out)),
        };
        json!({
            "pod": placed.pod,
            "address": placed.address,
            "path": placed.path.to_string(),
            "enforced": is_enforced(placed),
            "bridgeToSwitch": bridge,
            "reason": reason,
            "wayOut": way_out,
        })
    });
    json!({ "addresses": addresses.collect::<Vec<_>>() })
}

/// Whether rules hold for all that they should hold for.
fn is_enforced(placed: &Placed) -> bool {
    matches!(
        placed.path.enforcement(),
        Enforcement::AtForward | Enforcement::NotASubject
    )
}
