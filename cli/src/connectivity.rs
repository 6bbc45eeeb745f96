//! `ConnectivityTest`s: what must be reachable and what must not, as files.

use policy_core::{Because, Flow, FlowPort, PodId, PortSet, Protocol, RuleGraph, Verdict};

use crate::inventory::{End, Family, Inventory, address_pairs};
use crate::manifest::{ConnectivityTest, WrittenEnd};

/// A test that ran.
#[derive(Debug)]
pub struct Outcome {
    /// Its name, or its number where it has none.
    pub name: String,
    /// The source.
    pub from: String,
    /// The destination.
    pub to: String,
    /// The port; `None` means any.
    pub port: Option<u16>,
    /// The protocol.
    pub protocol: Protocol,
    /// The address family.
    pub family: Family,
    /// What was expected.
    pub expect: Verdict,
    /// What is.
    pub actual: Verdict,
    /// Why.
    pub because: Vec<String>,
    /// The rules and policies that decided.
    pub decided: Vec<Because>,
    /// Whether it passes only because policies that would deny it are in audit mode.
    pub is_audited: bool,
}

impl Outcome {
    /// Whether the test passed.
    pub fn is_ok(&self) -> bool {
        self.expect == self.actual
    }
}

/// A test that could not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("test {name:?}: {message}")]
pub struct BadTest {
    /// Its name, or its number where it has none.
    pub name: String,
    /// Why it could not run.
    pub message: String,
}

/// Runs one test, the `number`th of all (counted from 1).
///
/// # Errors
/// A test that says something impossible, or speaks of an end that the input does not have. It is no pass.
pub fn run(
    inventory: &Inventory<'_>,
    graph: &RuleGraph,
    test: &ConnectivityTest,
    number: usize,
) -> Result<Outcome, BadTest> {
    let name = test
        .name
        .clone()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| number.to_string());
    check(inventory, graph, test, name.clone()).map_err(|message| BadTest { name, message })
}

fn check(
    inventory: &Inventory<'_>,
    graph: &RuleGraph,
    test: &ConnectivityTest,
    name: String,
) -> Result<Outcome, String> {
    let from = end(inventory, &test.from).map_err(|message| format!("from: {message}"))?;
    let to = end(inventory, &test.to).map_err(|message| format!("to: {message}"))?;
    let protocol = protocol(test.protocol.as_deref())?;
    let port = port(test.port)?;
    let expect = verdict(&test.expect)?;
    let family = family(test.family.as_deref())?;
    let pairs = address_pairs(&from, &to, family).map_err(|error| error.to_string())?;
    let (family, source, target) = pairs[0];
    let flow = |port| Flow {
        from: source,
        to: target,
        port: FlowPort::Port(protocol, port),
    };
    let (actual, decided, unexpected, is_audited) = if let Some(port) = port {
        let decision = graph.evaluate(&flow(port));
        let is_audited = decision.is_audited();
        (decision.verdict, decision.because, None, is_audited)
    } else {
        let allowed = graph.allowed(source, target);
        let decided = |port| graph.evaluate(&flow(port)).because;
        let (actual, decided, unexpected) = any_port(&allowed, protocol, expect, decided);
        let all = PortSet::range(protocol, 1, u16::MAX);
        let is_admitted = graph.admitted(source, target).contains_all(&all);
        let is_audited = actual == Verdict::Allow && !is_admitted;
        (actual, decided, unexpected, is_audited)
    };
    let mut because = sentences(&decided);
    because.extend(unexpected);
    Ok(Outcome {
        name,
        from: from.name,
        to: to.name,
        port,
        protocol,
        family,
        expect,
        actual,
        because,
        decided,
        is_audited,
    })
}

/// Without a port, every port must behave as expected: one that does not is the test's result.
fn any_port(
    allowed: &PortSet,
    protocol: Protocol,
    expect: Verdict,
    decided: impl Fn(u16) -> Vec<Because>,
) -> (Verdict, Vec<Because>, Option<String>) {
    let all = PortSet::range(protocol, 1, u16::MAX);
    let open = allowed.intersection(&all);
    let closed = all.difference(&open);
    let unexpected = match expect {
        Verdict::Allow => &closed,
        Verdict::Deny => &open,
    };
    match unexpected.ports(protocol).ranges().first() {
        None => (expect, decided(1), None),
        Some((port, _)) => {
            let actual = if expect == Verdict::Allow {
                Verdict::Deny
            } else {
                Verdict::Allow
            };
            let unexpected = format!("{actual}: {unexpected}");
            (actual, decided(*port), Some(unexpected))
        }
    }
}

fn end(inventory: &Inventory<'_>, written: &WrittenEnd) -> Result<End, String> {
    let text = match (&written.pod, &written.workload, &written.ip) {
        (Some(pod), None, None) => {
            let (namespace, name) = split(pod, "pod: write namespace/name")?;
            return pod_end(inventory, namespace, name);
        }
        (None, Some(workload), None) => {
            let (namespace, rest) = split(workload, "workload: write namespace/Kind/name")?;
            split(rest, "workload: write namespace/Kind/name")?;
            return pod_end(inventory, namespace, rest);
        }
        (None, None, Some(ip)) => ip,
        _ => return Err("give exactly one of pod, workload and ip".to_owned()),
    };
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    let address = is_address.then(|| inventory.end(text));
    let address = address.ok_or_else(|| format!("{text:?} is no IP address"))?;
    address.map_err(|error| error.to_string())
}

fn pod_end(inventory: &Inventory<'_>, namespace: &str, name: &str) -> Result<End, String> {
    inventory
        .pod_end(PodId::new(namespace, name))
        .map_err(|error| error.to_string())
}

fn split<'t>(text: &'t str, message: &str) -> Result<(&'t str, &'t str), String> {
    let parts = text
        .split_once('/')
        .filter(|(one, other)| !one.is_empty() && !other.is_empty());
    parts.ok_or_else(|| message.to_owned())
}

fn protocol(text: Option<&str>) -> Result<Protocol, String> {
    let text = text.unwrap_or("TCP");
    Protocol::from_api(text)
        .ok_or_else(|| format!("protocol: {text:?} is none of TCP, UDP and SCTP"))
}

fn port(number: Option<i32>) -> Result<Option<u16>, String> {
    let Some(number) = number else {
        return Ok(None);
    };
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.map(Some)
        .ok_or_else(|| format!("port: {number} is outside 1 to 65535"))
}

fn family(text: Option<&str>) -> Result<Option<Family>, String> {
    match text {
        None => Ok(None),
        Some("IPv4") => Ok(Some(Family::V4)),
        Some("IPv6") => Ok(Some(Family::V6)),
        Some(other) => Err(format!("family: {other:?} is neither IPv4 nor IPv6")),
    }
}

fn verdict(text: &str) -> Result<Verdict, String> {
    match text {
        "allow" => Ok(Verdict::Allow),
        "deny" => Ok(Verdict::Deny),
        other => Err(format!("expect: {other:?} is neither allow nor deny")),
    }
}

fn sentences(because: &[Because]) -> Vec<String> {
    because.iter().map(ToString::to_string).collect()
}
