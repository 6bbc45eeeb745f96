//! NP129: a port of an administrator or a database that is open to all.

use policy_core::policy::{Namespaces, Peer, Peers, Ports};
use policy_core::{Direction, FlowPort, Protocol};

use crate::lint::meaning::{block_addresses, is_every_namespace, numbered};
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity, WrittenRule};

rule! {
    /// ## What it finds
    /// Ingress rules that list a port of remote administration, of the cluster's own components or of a database, for
    /// everyone, for every address or for the whole cluster.
    ///
    /// ## Why it matters
    /// Whoever gets into any pod, or comes from anywhere, may try passwords and flaws there.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - ports: [{protocol: TCP, port: 22}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from: [{podSelector: {matchLabels: {app: bastion}}}]
    ///   ports: [{protocol: TCP, port: 22}]
    /// ```
    ///
    /// ## No finding
    /// Rules without `ports`, or with those of every protocol: they allow everything, which other rules tell.
    pub(super) const RULE: Rule = Rule {
        code: "NP129",
        name: "sensitive-port",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

/// How many ports a message names.
const NAMED: usize = 3;

const SENSITIVE: [(u16, &str); 16] = [
    (22, "SSH"),
    (23, "telnet"),
    (2375, "Docker"),
    (2376, "Docker"),
    (2379, "etcd"),
    (2380, "etcd"),
    (3306, "MySQL"),
    (3389, "RDP"),
    (5432, "PostgreSQL"),
    (5900, "VNC"),
    (6379, "Redis"),
    (6443, "Kubernetes API"),
    (10250, "kubelet"),
    (10255, "kubelet"),
    (11211, "memcached"),
    (27017, "MongoDB"),
];

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule) in input.rules() {
        let Some(whom) = broad(&rule) else { continue };
        if rule.direction != Direction::Ingress || *rule.ports == Ports::All {
            continue;
        }
        let ports = numbered(rule.ports);
        let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
        let mut protocols = protocols.into_iter();
        if protocols.all(|protocol| ports.ports(protocol).is_full()) {
            continue;
        }
        let open = SENSITIVE
            .iter()
            .filter(|(port, _)| ports.contains(FlowPort::Port(Protocol::Tcp, *port)));
        let open: Vec<String> = open
            .map(|(port, name)| format!("{port} ({name})"))
            .collect();
        if open.is_empty() {
            continue;
        }
        let (named, more) = open.split_at(open.len().min(NAMED));
        let more = if more.is_empty() {
            String::new()
        } else {
            format!(" and {} more such ports", more.len())
        };
        let message = format!("{whom} may connect to {}{more}", named.join(", "));
        findings.add(
            Finding::new(&RULE, policy, rule.path().field("ports"), message)
                .with_fix("name the peers that need it"),
        );
    }
}

/// Whom the rule is for, if for nearly everyone.
fn broad(rule: &WrittenRule<'_>) -> Option<&'static str> {
    let Peers::Listed(peers) = rule.peers else {
        return Some("everyone");
    };
    let addresses = block_addresses(rule.peers);
    if addresses.v4.is_full() || addresses.v6.is_full() {
        return Some("every address");
    }
    let is_everywhere = |peer: &Peer| match peer {
        Peer::Pods {
            namespaces: Namespaces::Matching(namespaces),
            pods,
        } => is_every_namespace(namespaces) && pods.is_everything(),
        _ => false,
    };
    peers
        .iter()
        .any(is_everywhere)
        .then_some("every pod of the cluster")
}
