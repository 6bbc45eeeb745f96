//! NP112: a port without a protocol.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use policy_core::{FlowPort, Protocol};

use crate::lint::meaning::numbered;
use crate::lint::{Certainty, Finding, Findings, Input, Repair, Rule, Severity};

rule! {
    /// ## What it finds
    /// `ports` entries with a `port` and no `protocol`. It is an error for ports that are mostly or only used with UDP
    /// (53, 123, 161, 514), and information otherwise.
    ///
    /// ## Why it matters
    /// The protocol is then TCP. A rule for DNS that leaves it out lets no ordinary DNS question through.
    ///
    /// ## Example
    /// ```yaml
    /// egress:
    /// - ports: [{port: 53}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// egress:
    /// - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
    /// ```
    ///
    /// ## No finding at error level
    /// When the same rule allows the port for UDP as well.
    pub(super) const RULE: Rule = Rule {
        code: "NP112",
        name: "port-without-protocol",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

/// Ports whose services mostly or only speak UDP, and what they are.
const UDP_PORTS: [(i32, &str); 4] = [(53, "DNS"), (123, "NTP"), (161, "SNMP"), (514, "syslog")];

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule) in input.rules() {
        let allowed = numbered(rule.ports);
        for (index, port) in rule.written_ports.iter().enumerate() {
            let (None, Some(written)) = (&port.protocol, &port.port) else {
                continue;
            };
            let udp = UDP_PORTS.iter().find(|(number, _)| {
                *written == IntOrString::Int(*number)
                    && u16::try_from(*number).is_ok_and(|number| {
                        !allowed.contains(FlowPort::Port(Protocol::Udp, number))
                    })
            });
            let (severity, message, fix) = match udp {
                Some((number, service)) => (
                    Severity::Error,
                    format!(
                        "port {number} without protocol is TCP; {service} mostly uses UDP, which this rule does not allow"
                    ),
                    format!("add an entry with protocol: UDP and port: {number}"),
                ),
                None => (
                    Severity::Info,
                    "a port without protocol is TCP".to_owned(),
                    "write protocol: TCP".to_owned(),
                ),
            };
            let entry = rule.port_path(index);
            let repair = Repair::insert(policy, &entry, &entry.field("port"), ("protocol", "TCP"))
                .filter(|_| udp.is_none());
            findings.add(
                Finding::new(&RULE, policy, entry.field("port"), message)
                    .with_repair(repair)
                    .with_severity(severity)
                    .with_fix(fix),
            );
        }
    }
}
