//! Truth tables, written as upstream writes them: everything is allowed, but for what lines say, of which the last one
//! that speaks of a flow counts.
//!
//! A line is `deny FROM -> TO` or `allow FROM -> TO`, where both ends are pods such as `x/a`, `x/*` or `*`, several
//! of them with commas, and then the ports that it speaks of: `tcp/80`, `udp`, with commas; all of them when none is there.

use policy_core::Protocol;

/// The port numbers of a table.
pub(super) const PORTS: [u16; 2] = [80, 81];

/// A truth table.
#[derive(Debug, Clone)]
pub(super) struct Table(Vec<Line>);

#[derive(Debug, Clone)]
struct Line {
    allows: bool,
    from: Vec<String>,
    to: Vec<String>,
    ports: Vec<(Protocol, Option<u16>)>,
}

impl Table {
    /// Reads the lines.
    pub(super) fn parse(lines: &[String]) -> Self {
        let parse = |text: &String| {
            let line = Line::parse(text);
            line.unwrap_or_else(|| panic!("`{text}` is no line of a table"))
        };
        Self(lines.iter().map(parse).collect())
    }

    /// Whether a flow is allowed. A pod always reaches itself, whatever lines say.
    pub(super) fn allows(&self, from: &str, to: &str, protocol: Protocol, port: u16) -> bool {
        let speaks = |line: &&Line| {
            let is_port = |&(of, number): &(Protocol, Option<u16>)| {
                of == protocol && number.is_none_or(|number| number == port)
            };
            line.from.iter().any(|pods| matches(pods, from))
                && line.to.iter().any(|pods| matches(pods, to))
                && (line.ports.is_empty() || line.ports.iter().any(is_port))
        };
        let last = self.0.iter().rev().find(speaks);
        from == to || last.is_none_or(|line| line.allows)
    }
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (verdict, from, to, ports) = match words[..] {
            [verdict, from, "->", to] => (verdict, from, to, ""),
            [verdict, from, "->", to, ports] => (verdict, from, to, ports),
            _ => return None,
        };
        let allows = match verdict {
            "allow" => true,
            "deny" => false,
            _ => return None,
        };
        let ports = ports.split(',').filter(|port| !port.is_empty());
        Some(Self {
            allows,
            from: pods(from)?,
            to: pods(to)?,
            ports: ports.map(port).collect::<Option<_>>()?,
        })
    }
}

fn pods(text: &str) -> Option<Vec<String>> {
    let is_pods = |text: &str| {
        let parts = text.split_once('/');
        text == "*"
            || parts.is_some_and(|(namespace, pod)| {
                ["x", "y", "z"].contains(&namespace) && ["a", "b", "c", "*"].contains(&pod)
            })
    };
    let pods = text
        .split(',')
        .map(|text| is_pods(text).then(|| text.to_owned()));
    pods.collect()
}

fn port(text: &str) -> Option<(Protocol, Option<u16>)> {
    let (protocol, port) = match text.split_once('/') {
        Some((protocol, port)) => {
            let port = port.parse().ok().filter(|port| PORTS.contains(port));
            (protocol, Some(port?))
        }
        None => (text, None),
    };
    let protocol = Protocol::from_api(&protocol.to_uppercase())?;
    Some((protocol, port))
}

fn matches(pods: &str, pod: &str) -> bool {
    let namespace = pods.strip_suffix('*');
    pods == pod || namespace.is_some_and(|namespace| pod.starts_with(namespace))
}

#[test]
fn the_last_line_that_speaks_of_a_flow_counts() {
    let lines = [
        "deny * -> x/*",
        "allow y/a,z/* -> x/a udp,tcp/81",
        "deny z/b -> *",
    ];
    let table = Table::parse(&lines.map(str::to_owned));
    let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
    assert!(table.allows("x/a", "y/a", tcp, 80), "no line speaks of it");
    assert!(!table.allows("y/b", "x/a", tcp, 81) && table.allows("x/a", "x/a", tcp, 80));
    assert!(table.allows("y/a", "x/a", tcp, 81) && !table.allows("y/a", "x/a", tcp, 80));
    assert!(table.allows("z/c", "x/a", udp, 80) && !table.allows("z/b", "x/a", udp, 80));
    assert!(!table.allows("y/a", "x/b", udp, 80));
}

#[test]
fn what_is_no_line_is_refused() {
    for text in [
        "",
        "deny x/a x/b",
        "forbid * -> *",
        "deny x -> *",
        "deny * -> x/a tcp/82",
        "deny * -> x/d",
        "deny * -> * icmp",
    ] {
        assert!(Line::parse(text).is_none(), "{text}");
    }
}
