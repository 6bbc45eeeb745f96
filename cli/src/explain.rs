//! Why a flow passes or not, with the places of the rules that decide.

use std::net::IpAddr;

use policy_core::{Because, Decision, Flow, FlowPort, RuleGraph, Verdict};

use crate::closing::{Closing, closings};
use crate::inventory::{EndError, Family, Inventory, address_pairs};
use crate::manifest::Place;
use crate::remedy::{Remedy, remedies};

/// A flow between two ends, explained for each address family that both have.
#[derive(Debug)]
pub struct Explanation {
    /// The source as it was asked for.
    pub from: String,
    /// The destination as it was asked for.
    pub to: String,
    /// The port.
    pub port: FlowPort,
    /// One answer for each family.
    pub answers: Vec<Answer>,
}

/// The answer for one address family.
#[derive(Debug)]
pub struct Answer {
    /// The family.
    pub family: Family,
    /// The source's address.
    pub from: IpAddr,
    /// The destination's address.
    pub to: IpAddr,
    /// The decision.
    pub decision: Decision,
    /// For a denial, and for what passes only because it is audited, the smallest change that would admit the flow.
    pub remedies: Vec<Remedy>,
    /// For what is allowed, the smallest change that would deny the flow.
    pub closings: Vec<Closing>,
}

impl Explanation {
    /// `allow` when every family allows.
    pub fn verdict(&self) -> Verdict {
        let is_denied = |answer: &Answer| answer.decision.verdict == Verdict::Deny;
        if self.answers.iter().any(is_denied) {
            Verdict::Deny
        } else {
            Verdict::Allow
        }
    }
}

/// Explains the flow from `from` to `to`; `family` narrows to one address family. Only what can decide about the two ends
/// is compiled.
///
/// # Errors
/// An end that the input does not have, or ends without a common address family.
pub fn explain(
    inventory: &Inventory<'_>,
    (from, to): (&str, &str),
    port: FlowPort,
    family: Option<Family>,
) -> Result<Explanation, EndError> {
    let mut addresses = inventory.end(from)?.addresses;
    addresses.extend(inventory.end(to)?.addresses);
    let graph = RuleGraph::compile(&inventory.cluster.between(&addresses));
    explain_by(inventory, &graph, (from, to), port, family)
}

/// Explains a flow by a graph that is there already.
///
/// # Errors
/// As for [`explain`].
pub fn explain_by(
    inventory: &Inventory<'_>,
    graph: &RuleGraph,
    (from, to): (&str, &str),
    port: FlowPort,
    family: Option<Family>,
) -> Result<Explanation, EndError> {
    let (from, to) = (inventory.end(from)?, inventory.end(to)?);
    let pairs = address_pairs(&from, &to, family)?;
    let answers = pairs.into_iter().map(|(family, from, to)| {
        let flow = Flow { from, to, port };
        let decision = graph.evaluate(&flow);
        Answer {
            family,
            from,
            to,
            remedies: remedies(&inventory.cluster, &flow, &decision),
            closings: closings(&inventory.cluster, graph, &flow, &decision),
            decision,
        }
    });
    Ok(Explanation {
        port,
        answers: answers.collect(),
        from: from.name,
        to: to.name,
    })
}

/// Where the text stands that a reason speaks of.
pub fn place(inventory: &Inventory<'_>, because: &Because) -> Option<Place> {
    match because {
        Because::Admitted {
            policy,
            direction,
            rule,
        } => inventory.rule_place(policy, *direction, *rule),
        Because::Isolates { policy, .. } | Because::Audited { policy, .. } => {
            inventory.policy_place(policy)
        }
        _ => None,
    }
}
