//! NP216: pods that cannot ask for names.

use policy_core::{Direction, Protocol};

use crate::lint::dns::{Lack, lacks, servers};
use crate::lint::written::rules_path;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Pods that policies isolate for egress and allow some connections, but none to a name server on port 53 of UDP or
    /// TCP. All policies that select the pods are taken together. It is information where the policy allows connections to
    /// address blocks only.
    ///
    /// ## Why it matters
    /// Nearly every connection begins with a question for a name. Without DNS, what the policy allows does not work either.
    ///
    /// ## Example
    /// ```yaml
    /// egress:
    /// - to: [{podSelector: {matchLabels: {app: db}}}]
    ///   ports: [{protocol: TCP, port: 5432}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// egress:
    /// - to: [{podSelector: {matchLabels: {app: db}}}]
    ///   ports: [{protocol: TCP, port: 5432}]
    /// - to:
    ///   - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
    ///     podSelector: {matchLabels: {k8s-app: kube-dns}}
    ///   ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
    /// ```
    ///
    /// ## No finding
    /// A policy that allows no egress at all; pods with `dnsPolicy: None` or `Default`. Where the input holds pods with the
    /// usual labels of `CoreDNS`, or with a UDP port named `dns`, these are the name servers; otherwise every rule for port 53
    /// (or 5353) that reaches beyond the own namespace is taken for one.
    pub(super) const RULE: Rule = Rule {
        code: "NP216",
        name: "dns-missing",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let lacks = lacks(input);
    let name_servers = match servers(input).first() {
        Some(&server) => format!(
            "the name servers, such as {}",
            input.reach.class(server).name()
        ),
        None => {
            "name servers, which usually are the pods k8s-app=kube-dns of kube-system".to_owned()
        }
    };
    let neither = |lack: &&Lack| {
        let other = |other: &Lack| other.policy == lack.policy && other.protocol == Protocol::Tcp;
        lack.protocol == Protocol::Udp && lacks.iter().any(other)
    };
    for lack in lacks.iter().filter(neither) {
        let policy = &input.policies[lack.policy];
        let (severity, certainty) = match (lack.asks_by_name, lack.class) {
            (false, _) => (Severity::Info, Certainty::ClosedWorld),
            (true, Some(_)) => (Severity::Warning, Certainty::ClosedWorld),
            (true, None) => (Severity::Warning, Certainty::Heuristic),
        };
        let whose = match lack.class {
            Some(class) => format!("pod {}", input.reach.class(class).name()),
            None => "pods of this policy".to_owned(),
        };
        let message = format!(
            "{whose} may open some connections, but may not ask for names: no policy allows port 53 to {name_servers}"
        );
        findings.add(
            Finding::new(&RULE, policy, rules_path(Direction::Egress), message)
                .with_severity(severity)
                .with_certainty(certainty)
                .with_fix(
                    "allow UDP and TCP port 53 to namespace kube-system, pods k8s-app: kube-dns",
                )
                .at_key(policy),
        );
    }
}
