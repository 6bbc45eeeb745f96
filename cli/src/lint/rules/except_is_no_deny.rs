//! NP121: an exception that another rule allows again.

use std::collections::BTreeMap;

use policy_core::policy::{Peer, Peers, Ports};
use policy_core::{Cidr, Direction, FieldPath, IpSet, Selector};

use crate::lint::meaning::{block_addresses, joined, numbered, ports_cover, selector_covers};
use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Rule, Severity, WrittenRule};

rule! {
    /// ## What it finds
    /// `except` networks that other rules, of this policy or of others, allow to the same pods. It is a warning where
    /// they do so on some of the ports only. Where it takes the pods of the input to see that the pods are the same, the
    /// certainty is closed-world.
    ///
    /// ## Why it matters
    /// `except` is no denial: it only takes the network out of its own `cidr`. Whatever another rule allows stays allowed.
    ///
    /// ## Example
    /// ```yaml
    /// egress:
    /// - to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]
    /// - to: [{ipBlock: {cidr: 169.254.0.0/16}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// egress:
    /// - to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]
    /// - to: [{ipBlock: {cidr: 169.254.20.10/32}}]
    /// ```
    ///
    /// ## No finding
    /// A rule that allows a part of the exception again, such as one address of a private network: that is how an
    /// opening in an exception is written.
    pub(super) const RULE: Rule = Rule {
        code: "NP121",
        name: "except-is-no-deny",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

/// What a rule allows by address.
struct Grant<'a> {
    policy: &'a LintPolicy<'a>,
    rule: WrittenRule<'a>,
    addresses: IpSet,
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for direction in Direction::ALL {
        let mut namespaces: BTreeMap<&str, BTreeMap<&Selector, Vec<Grant<'_>>>> = BTreeMap::new();
        for policy in &input.policies {
            for rule in policy.rules_of(direction) {
                let addresses = match rule.peers {
                    Peers::Everyone => IpSet::full(),
                    listed @ Peers::Listed(_) => block_addresses(listed),
                };
                if !addresses.is_empty() {
                    let groups = namespaces.entry(&policy.meaning.id.namespace).or_default();
                    let group = groups.entry(&policy.meaning.subjects).or_default();
                    group.push(Grant {
                        policy,
                        rule,
                        addresses,
                    });
                }
            }
        }
        for (namespace, groups) in &namespaces {
            check_namespace(input, namespace, groups, findings);
        }
    }
}

fn check_namespace(
    input: &Input<'_>,
    namespace: &str,
    groups: &BTreeMap<&Selector, Vec<Grant<'_>>>,
    findings: &mut Findings,
) {
    for (subjects, grants) in groups {
        let excepting = grants.iter().filter(|grant| has_except(&grant.rule));
        let excepting: Vec<&Grant<'_>> = excepting.collect();
        if excepting.is_empty() {
            continue;
        }
        let pods = input.world.pods_in(namespace).iter();
        let selected: Vec<_> = pods.filter(|pod| subjects.matches(&pod.labels)).collect();
        let covers_shown = |other: &Selector| {
            let mut pods = selected.iter();
            !selected.is_empty() && pods.all(|pod| other.matches(&pod.labels))
        };
        // Groups whose pods are all the pods of this one, and perhaps more; then those that are so in this input, by
        // other labels.
        let (mut others, mut shown): (Vec<&Grant<'_>>, Vec<&Grant<'_>>) = Default::default();
        for (other, grants) in groups {
            if selector_covers(other, subjects) {
                others.extend(grants);
            } else if covers_shown(other) {
                shown.extend(grants);
            }
        }
        let with_shown: Vec<&Grant<'_>> = others.iter().copied().chain(shown).collect();
        // Quickly answers for exceptions that nothing allows, whatever the ports.
        let openings = joined(with_shown.iter().map(|grant| &grant.addresses));
        for grant in excepting {
            check_grant(grant, (&others, &with_shown), &openings, findings);
        }
    }
}

fn has_except(rule: &WrittenRule<'_>) -> bool {
    let Peers::Listed(peers) = rule.peers else {
        return false;
    };
    peers
        .iter()
        .any(|peer| matches!(peer, Peer::Block(block) if !block.except.is_empty()))
}

fn check_grant(
    grant: &Grant<'_>,
    (others, with_shown): (&[&Grant<'_>], &[&Grant<'_>]),
    openings: &IpSet,
    findings: &mut Findings,
) {
    let Peers::Listed(peers) = grant.rule.peers else {
        return;
    };
    for (index, peer) in peers.iter().enumerate() {
        let Peer::Block(block) = peer else { continue };
        for (position, except) in block.except.iter().enumerate() {
            if !openings.contains_all(&IpSet::from(*except)) {
                continue;
            }
            let path = grant
                .rule
                .peer_path(index)
                .field("ipBlock")
                .field("except")
                .index(position);
            let proven = opening(*except, grant.rule.ports, others);
            if let Some((opening, is_whole)) = proven {
                findings.add(finding(grant, &path, *except, &opening, is_whole));
            } else if let Some((opening, is_whole)) = opening(*except, grant.rule.ports, with_shown)
            {
                let finding = finding(grant, &path, *except, &opening, is_whole);
                findings.add(finding.with_certainty(Certainty::ClosedWorld));
            }
        }
    }
}

/// The grants that allow the exception again, and whether they do so on all the ports.
fn opening<'o>(
    except: Cidr,
    ports: &Ports,
    others: &[&'o Grant<'o>],
) -> Option<(Vec<&'o Grant<'o>>, bool)> {
    let wanted = numbered(ports);
    let allows_all = |grants: &[&Grant<'_>]| {
        let all = joined(grants.iter().map(|grant| &grant.addresses));
        all.contains_all(&IpSet::from(except))
    };
    let taken = IpSet::from(except);
    let touching = others
        .iter()
        .copied()
        .filter(|other| !other.addresses.intersection(&taken).is_empty());
    let (whole, part): (Vec<_>, Vec<_>) =
        touching.partition(|other| ports_cover(other.rule.ports, ports));
    if allows_all(&whole) {
        return Some((whole, true));
    }
    let part = part
        .into_iter()
        .filter(|other| !numbered(other.rule.ports).intersection(&wanted).is_empty());
    let both: Vec<_> = whole.into_iter().chain(part).collect();
    allows_all(&both).then_some((both, false))
}

fn finding(
    grant: &Grant<'_>,
    path: &FieldPath,
    except: Cidr,
    opening: &[&Grant<'_>],
    is_whole: bool,
) -> Finding {
    let first = opening[0];
    let by = if std::ptr::eq(first.policy, grant.policy) {
        format!("{}[{}]", first.rule.direction, first.rule.index)
    } else {
        format!(
            "policy {} {}[{}]",
            first.policy.meaning.id, first.rule.direction, first.rule.index
        )
    };
    let ports = if is_whole {
        ""
    } else {
        " on some of its ports"
    };
    let message = format!("{except} is not denied: {by} allows it{ports} to the same pods");
    let severity = if is_whole {
        Severity::Error
    } else {
        Severity::Warning
    };
    let finding = Finding::new(&RULE, grant.policy, path.clone(), message)
        .with_severity(severity)
        .with_fix("except it there too, or narrow the other rule");
    opening.iter().take(3).fold(finding, |finding, other| {
        finding.with_related(other.policy.place(&other.rule.path()), "allows it")
    })
}
