//! Reads flows: lines of text, JSON lines as `nopal watch-denied` prints them, or `ConnectivityTest`s that expect `allow`.

use std::sync::Arc;

use policy_core::{FlowPort, Protocol};
use serde_json::Value;

use crate::manifest::{self, Source, read_source};
use crate::port;

/// A flow as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFlow {
    /// The line, or for a test its number.
    pub line: usize,
    /// Who opens it.
    pub from: WrittenEnd,
    /// Whom to.
    pub to: WrittenEnd,
    /// On what.
    pub port: FlowPort,
}

/// An end of a flow: a name, an address, or both, in which case the name counts if the input has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WrittenEnd {
    /// `namespace/pod` or `namespace/Kind/name`.
    pub name: Option<String>,
    /// An address.
    pub address: Option<String>,
}

impl WrittenEnd {
    fn text(text: &str) -> Self {
        let text = text.to_owned();
        if text.parse::<std::net::IpAddr>().is_ok() {
            Self {
                name: None,
                address: Some(text),
            }
        } else {
            Self {
                name: Some(text),
                address: None,
            }
        }
    }
}

/// A line that is no flow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct BadFlow {
    /// The line.
    pub line: usize,
    /// Why it is none.
    pub message: String,
}

const FORMS: &str =
    "write `shop/web -> shop/api 8080/TCP`, or a JSON line of `nopal watch-denied --format json`";

/// Reads flows. Empty lines and what follows `#` say nothing; packets of replies and what was neither denied nor audited
/// are passed over.
#[must_use]
pub fn parse(text: &str) -> (Vec<WrittenFlow>, Vec<BadFlow>) {
    if text.contains("ConnectivityTest") && !text.trim_start().starts_with('{') {
        return tests(text);
    }
    let (mut flows, mut errors) = (Vec::new(), Vec::new());
    for (line, text) in (1..).zip(text.lines()) {
        let read = if text.trim_start().starts_with('{') {
            json(text)
        } else {
            words(text)
        };
        match read {
            Ok(Some((from, to, port))) => flows.push(WrittenFlow {
                line,
                from,
                to,
                port,
            }),
            Ok(None) => {}
            Err(message) => errors.push(BadFlow { line, message }),
        }
    }
    (flows, errors)
}

type Read = Result<Option<(WrittenEnd, WrittenEnd, FlowPort)>, String>;

fn words(text: &str) -> Read {
    let text = text.split('#').next().unwrap_or_default();
    let words: Vec<&str> = text
        .split_whitespace()
        .filter(|word| *word != "->")
        .collect();
    match words[..] {
        [] => Ok(None),
        [from, to, port] => {
            let port = port::parse(port)?;
            Ok(Some((WrittenEnd::text(from), WrittenEnd::text(to), port)))
        }
        _ => Err(format!("{:?} is no flow: {FORMS}", text.trim())),
    }
}

fn json(text: &str) -> Read {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    let is_told = matches!(value["verdict"].as_str(), Some("denied" | "audited"));
    if !is_told || value["reply"] == Value::Bool(true) {
        return Ok(None);
    }
    let end = |value: &Value| WrittenEnd {
        name: value["name"].as_str().map(str::to_owned),
        address: value["address"].as_str().map(str::to_owned),
    };
    let (pod, peer) = (end(&value["pod"]), end(&value["peer"]));
    if [&pod, &peer]
        .iter()
        .any(|end| **end == WrittenEnd::default())
    {
        return Err(format!("has no pod or no peer: {FORMS}"));
    }
    let (from, to) = match value["direction"].as_str() {
        Some("ingress") => (peer, pod),
        Some("egress") => (pod, peer),
        _ => return Err(format!("has no direction: {FORMS}")),
    };
    let protocol = value["protocol"].as_str().and_then(Protocol::from_api);
    let number = value["port"]
        .as_u64()
        .and_then(|number| u16::try_from(number).ok());
    let port = match (protocol, number) {
        (Some(protocol), Some(number)) => FlowPort::Port(protocol, number),
        _ => FlowPort::Other,
    };
    Ok(Some((from, to, port)))
}

fn tests(text: &str) -> (Vec<WrittenFlow>, Vec<BadFlow>) {
    let read = read_source(
        &Arc::new(Source::new("flows".to_owned(), text.to_owned())),
        "default",
    );
    let errors = read.errors.iter().map(|error| BadFlow {
        line: error.position.map_or(1, |position| position.line),
        message: error.message.clone(),
    });
    let mut errors: Vec<BadFlow> = errors.collect();
    let mut flows = Vec::new();
    for (line, test) in (1..).zip(read.tests()) {
        if test.expect != "allow" {
            continue;
        }
        let protocol = Protocol::from_api(test.protocol.as_deref().unwrap_or("TCP"));
        let number = test
            .port
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0);
        let (Some(protocol), Some(number)) = (protocol, number) else {
            let message = "the test names no port of TCP, UDP or SCTP".to_owned();
            errors.push(BadFlow { line, message });
            continue;
        };
        let end = |end: &manifest::WrittenEnd| WrittenEnd {
            name: end.pod.clone().or_else(|| end.workload.clone()),
            address: end.ip.clone(),
        };
        let (from, to) = (end(&test.from), end(&test.to));
        flows.push(WrittenFlow {
            line,
            from,
            to,
            port: FlowPort::Port(protocol, number),
        });
    }
    (flows, errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(flows: &[WrittenFlow]) -> Vec<String> {
        let word = |end: &WrittenEnd| end.name.clone().or(end.address.clone()).unwrap();
        flows
            .iter()
            .map(|flow| {
                format!(
                    "{}: {} {} {}",
                    flow.line,
                    word(&flow.from),
                    word(&flow.to),
                    flow.port
                )
            })
            .collect()
    }

    #[test]
    fn lines_are_read_with_and_without_arrows() {
        let (flows, errors) = parse(
            "# all\n\nshop/web -> shop/api 8080/TCP # yes\n10.0.0.1 shop/web 53/udp\nx\na b http\n",
        );
        assert_eq!(
            ends(&flows),
            [
                "3: shop/web shop/api 8080/TCP",
                "4: 10.0.0.1 shop/web 53/UDP"
            ]
        );
        let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [5, 6]);
    }

    #[test]
    fn denials_are_read_as_watch_denied_prints_them() {
        let line = |direction: &str, reply: bool, verdict: &str| {
            serde_json::json!({
                "verdict": verdict, "direction": direction, "reply": reply,
                "pod": {"address": "10.0.0.1", "name": "shop/web"},
                "peer": {"address": "192.0.2.1", "name": null},
                "protocol": "TCP", "port": 80,
            })
        };
        let ping = serde_json::json!({
            "verdict": "denied", "direction": "egress", "reply": false,
            "pod": {"address": "10.0.0.1", "name": "shop/web"},
            "peer": {"address": "192.0.2.1", "name": null},
            "protocol": "ICMP", "port": null,
        });
        let lines = [
            line("ingress", false, "denied"),
            line("egress", false, "audited"),
            line("egress", true, "denied"),
            ping,
            serde_json::json!({"verdict": "denied"}),
        ];
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let (flows, errors) = parse(&lines.join("\n"));
        assert_eq!(
            ends(&flows),
            [
                "1: 192.0.2.1 shop/web 80/TCP",
                "2: shop/web 192.0.2.1 80/TCP",
                "4: shop/web 192.0.2.1 other"
            ]
        );
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].line, 5);
    }
}
