//! Reads flow tables (`flows.txt`): rows that say what becomes of a flow, written by hand.
//!
//! ```text
//! # from             to            port         verdict  because
//! web/frontend       db/postgres   tcp/5432     allow    db/allow-frontend ingress[0]
//! 198.51.100.7       db/postgres   tcp/5432@v4  deny     db/allow-frontend isolates ingress
//! ```

use crate::cluster::{Cluster, PodId};
use crate::flow::{Flow, FlowPort, Protocol, Verdict};
use std::fmt;
use std::net::IpAddr;

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line that it stands on, counted from 1.
    pub line: usize,
    /// Who opens the flow.
    pub from: End,
    /// Where it goes.
    pub to: End,
    /// Its protocol and port.
    pub port: FlowPort,
    /// The one family that the row speaks of; `None` for every family that both ends have.
    pub family: Option<Family>,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Sentences that the decision must give, besides others.
    pub because: Vec<String>,
}

/// An end of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A pod or a workload's template, with all its addresses.
    Pod(PodId),
    /// An address.
    Address(IpAddr),
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What is wrong with a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for TableError {}

/// Reads a table. Empty lines and lines that start with `#` say nothing.
///
/// # Errors
/// On the first line that is no row.
pub fn parse(text: &str) -> Result<Vec<Row>, TableError> {
    text.lines()
        .zip(1..)
        .map(|(text, line)| (text.trim(), line))
        .filter(|(text, _)| !text.is_empty() && !text.starts_with('#'))
        .map(|(text, line)| row(text, line).map_err(|message| TableError { line, message }))
        .collect()
}

fn row(text: &str, line: usize) -> Result<Row, String> {
    let mut words = text.split_whitespace();
    let mut next = |column: &str| words.next().ok_or_else(|| format!("no column {column:?}"));
    let from = end(next("from")?)?;
    let to = end(next("to")?)?;
    let (port, family) = port(next("port")?)?;
    let verdict = match next("verdict")? {
        "allow" => Verdict::Allow,
        "deny" => Verdict::Deny,
        other => return Err(format!("{other:?} is no verdict: write allow or deny")),
    };
    let because = words.collect::<Vec<&str>>().join(" ");
    let because = because.split(';').map(str::trim);
    Ok(Row {
        line,
        from,
        to,
        port,
        family,
        verdict,
        because: because
            .filter(|sentence| !sentence.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

fn end(text: &str) -> Result<End, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(End::Address(address));
    }
    let (namespace, name) = text
        .split_once('/')
        .ok_or_else(|| format!("{text:?} is neither namespace/pod nor an address"))?;
    Ok(End::Pod(PodId::new(namespace, name)))
}

fn port(text: &str) -> Result<(FlowPort, Option<Family>), String> {
    let (port, family) = match text.split_once('@') {
        None => (text, None),
        Some((port, "v4")) => (port, Some(Family::V4)),
        Some((port, "v6")) => (port, Some(Family::V6)),
        Some((_, family)) => return Err(format!("{family:?} is no family: write v4 or v6")),
    };
    if port == "icmp" {
        return Ok((FlowPort::Other, family));
    }
    let wrong = || format!("{port:?} is no port: write tcp/N, udp/N, sctp/N or icmp");
    let (protocol, number) = port.split_once('/').ok_or_else(wrong)?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(wrong()),
    };
    let number = number.parse().map_err(|_| wrong())?;
    Ok((FlowPort::Port(protocol, number), family))
}

impl Row {
    /// The flows that the row speaks of: one for each pair of addresses of one family.
    ///
    /// # Errors
    /// When an end is no pod of the cluster, or when the ends have no family in common.
    pub fn flows(&self, cluster: &Cluster) -> Result<Vec<Flow>, TableError> {
        let error = |message: String| TableError {
            line: self.line,
            message,
        };
        let from = self.from.addresses(cluster).map_err(error)?;
        let to = self.to.addresses(cluster).map_err(error)?;
        let wanted = |address: &IpAddr| match self.family {
            None => true,
            Some(Family::V4) => address.is_ipv4(),
            Some(Family::V6) => address.is_ipv6(),
        };
        let mut flows = Vec::new();
        for &from in from.iter().filter(|address| wanted(address)) {
            let same_family = to.iter().filter(|to| to.is_ipv4() == from.is_ipv4());
            flows.extend(same_family.map(|&to| Flow {
                from,
                to,
                port: self.port,
            }));
        }
        if flows.is_empty() {
            let message = "the ends have no address family in common that the row speaks of";
            return Err(error(message.to_owned()));
        }
        Ok(flows)
    }
}

impl End {
    fn addresses(&self, cluster: &Cluster) -> Result<Vec<IpAddr>, String> {
        match self {
            End::Address(address) => Ok(vec![*address]),
            End::Pod(id) => match cluster.pods().get(id) {
                Some(pod) => Ok(pod.addresses.clone()),
                None => Err(format!("the cluster has no pod {id}")),
            },
        }
    }
}
