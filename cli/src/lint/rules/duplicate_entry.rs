//! NP127: a rule, peer or port that stands twice.

use std::collections::BTreeMap;

use policy_core::policy::{Peer, Peers, PortSpec, Ports};
use policy_core::{Direction, FieldPath};

use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Repair, Rule, Severity};

rule! {
    /// ## What it finds
    /// Rules of a policy, and peers and ports of a rule, that mean the same as an earlier one.
    ///
    /// ## Why it matters
    /// It changes nothing, but it is often a copy in which something should have been changed.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - from: [{podSelector: {matchLabels: {app: web}}}, {podSelector: {matchLabels: {app: web}}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from: [{podSelector: {matchLabels: {app: web}}}, {podSelector: {matchLabels: {app: api}}}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP127",
        name: "duplicate-entry",
        severity: Severity::Info,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for policy in &input.policies {
        for direction in Direction::ALL {
            let rules = policy.rules_of(direction);
            let meant = rules
                .iter()
                .map(|rule| (canonical(rule.peers, rule.ports), rule.path()));
            report(policy, "rule", meant, findings);
            for rule in &rules {
                if let Peers::Listed(peers) = rule.peers {
                    let meant = peers.iter().enumerate();
                    let meant =
                        meant.map(|(index, peer)| (canonical_peer(peer), rule.peer_path(index)));
                    report(policy, "peer", meant, findings);
                }
                if let Ports::Listed(ports) = rule.ports {
                    let meant = ports.iter().enumerate();
                    let meant = meant.map(|(index, port)| (port.clone(), rule.port_path(index)));
                    report(policy, "port", meant, findings);
                }
            }
        }
    }
}

fn report<M: Ord>(
    policy: &LintPolicy<'_>,
    what: &str,
    entries: impl Iterator<Item = (M, FieldPath)>,
    findings: &mut Findings,
) {
    let mut seen: BTreeMap<M, FieldPath> = BTreeMap::new();
    let mut previous: Option<FieldPath> = None;
    for (meaning, path) in entries {
        let before = previous.replace(path.clone());
        let Some(first) = seen.get(&meaning) else {
            seen.insert(meaning, path);
            continue;
        };
        let message = format!("this {what} means the same as {first}");
        // Between entries that follow each other here stands one that was not understood: then they are no neighbours in
        // the text either, and nothing is taken out.
        let repair = before
            .and_then(|before| Repair::take_out(&policy.place(&before), &policy.place(&path)));
        findings.add(
            Finding::new(&RULE, policy, path, message)
                .with_fix("remove it")
                .with_repair(repair)
                .with_related(policy.place(first), "the first one"),
        );
    }
}

/// The peers and ports of a rule, in one order and each once.
fn canonical(peers: &Peers, ports: &Ports) -> (Option<Vec<Peer>>, Option<Vec<PortSpec>>) {
    let peers = match peers {
        Peers::Everyone => None,
        Peers::Listed(peers) => Some(sorted(peers.iter().map(canonical_peer).collect())),
    };
    let ports = match ports {
        Ports::All => None,
        Ports::Listed(ports) => Some(sorted(ports.clone())),
    };
    (peers, ports)
}

/// The peer with its exceptions in one order.
fn canonical_peer(peer: &Peer) -> Peer {
    let mut peer = peer.clone();
    if let Peer::Block(block) = &mut peer {
        block.except = sorted(std::mem::take(&mut block.except));
    }
    peer
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}
