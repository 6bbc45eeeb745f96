//! Refused packets as lines for people and for programs.

use std::net::IpAddr;

use nft_backend::log_prefix::Refusal;
use nft_backend::nflog::Content;
use policy_core::PodId;
use serde_json::{Value, json};

use crate::denials::Denial;

/// A line for people: when, what becomes of the packet, whose pod it concerns, the other end, the port, and the policies
/// or, where they are not known, the class.
pub fn text(denial: &Denial) -> String {
    let refused = &denial.refused;
    let preposition = match refused.by.direction {
        nft_backend::Direction::Ingress => "from",
        nft_backend::Direction::Egress => "to",
    };
    let reply = if refused.by.is_reply {
        " (a reply)"
    } else {
        ""
    };
    format!(
        "{} {} {} of {} {preposition} {} on {}{reply} by {}\n",
        time(denial),
        verdict(refused.by.refusal),
        refused.by.direction,
        end(denial.pod.as_ref(), refused.pod()),
        end(denial.peer.as_ref(), refused.peer()),
        what(denial),
        whom(denial),
    )
}

/// A line for programs.
pub fn json(denial: &Denial) -> String {
    let refused = &denial.refused;
    let end = |pod: &Option<PodId>, address: IpAddr| {
        let name = pod.as_ref().map(ToString::to_string);
        json!({ "address": address.to_string(), "name": name })
    };
    let policies = denial.policies.iter().map(ToString::to_string);
    let mut value = json!({
        "time": time(denial),
        "verdict": verdict(refused.by.refusal),
        "direction": refused.by.direction.to_string(),
        "reply": refused.by.is_reply,
        "pod": end(&denial.pod, refused.pod()),
        "peer": end(&denial.peer, refused.peer()),
        "protocol": protocol(refused.packet.content),
        "port": refused.port(),
        "class": refused.by.class,
        "policies": policies.collect::<Vec<_>>(),
    });
    if let Content::Icmp { kind, code } = refused.packet.content {
        value["icmp"] = json!({ "type": kind, "code": code });
    }
    format!("{value}\n")
}

/// To the millisecond, in UTC.
fn time(denial: &Denial) -> String {
    format!("{:.3}", denial.time)
}

fn verdict(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Denied => "denied",
        Refusal::Audited => "audited",
    }
}

fn end(pod: Option<&PodId>, address: IpAddr) -> String {
    match pod {
        Some(pod) => format!("{pod} ({address})"),
        None => address.to_string(),
    }
}

fn what(denial: &Denial) -> String {
    match (denial.refused.port(), denial.refused.packet.content) {
        (Some(port), Content::Transport { protocol, .. }) => {
            format!("{port}/{}", protocol.to_string().to_uppercase())
        }
        (_, Content::Icmp { kind, code }) => format!("ICMP type {kind} code {code}"),
        (_, Content::Other(number)) => format!("IP protocol {number}"),
        (None, Content::Transport { protocol, .. }) => protocol.to_string().to_uppercase(),
    }
}

/// The name, or the number of a protocol that policies cannot name.
fn protocol(content: Content) -> Value {
    match content {
        Content::Transport { protocol, .. } => json!(protocol.to_string().to_uppercase()),
        Content::Icmp { .. } => json!("ICMP"),
        Content::Other(number) => json!(number),
    }
}

fn whom(denial: &Denial) -> String {
    if denial.policies.is_empty() {
        return format!("class {}", denial.refused.by.class);
    }
    let policies = denial.policies.iter().map(ToString::to_string);
    policies.collect::<Vec<_>>().join(", ")
}
