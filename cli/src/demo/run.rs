//! Compares what was expected with what was seen.

use policy_core::{Flow, RuleGraph, Verdict};

use super::Plan;

/// What sends packets.
pub trait Prober {
    /// Why packets could not be sent.
    type Error;

    /// Which of the flows get through, in their order.
    fn probe(&mut self, flows: &[Flow]) -> Result<Vec<Verdict>, Self::Error>;
}

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// What was seen of each trial of the plan.
    pub seen: Vec<Verdict>,
    /// The trials that did not go as expected, in the plan's order.
    pub disagreements: Vec<Disagreement>,
}

/// A trial that did not go as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// The trial's position in the plan.
    pub trial: usize,
    /// Why the rule graph expected otherwise.
    pub because: Vec<String>,
}

/// So many flows are tried together the second time.
const CALM: usize = 256;

/// Tries every flow of the plan. On a loaded machine an allowed packet can come too late, so one that seems lost gets a
/// second chance among fewer others; one that got through did, and no second try takes that back.
pub fn run<P: Prober>(plan: &Plan, graph: &RuleGraph, prober: &mut P) -> Result<Outcome, P::Error> {
    let flows: Vec<Flow> = plan.trials.iter().map(|trial| trial.flow).collect();
    let mut seen = prober.probe(&flows)?;
    let lost: Vec<usize> = (0..seen.len())
        .filter(|&at| plan.trials[at].expect == Verdict::Allow && seen[at] == Verdict::Deny)
        .collect();
    for part in lost.chunks(CALM) {
        let again: Vec<Flow> = part.iter().map(|&at| flows[at]).collect();
        for (&at, verdict) in part.iter().zip(prober.probe(&again)?) {
            seen[at] = verdict;
        }
    }
    let wrong = (0..seen.len()).filter(|&at| plan.trials[at].expect != seen[at]);
    let disagreements = wrong.map(|trial| Disagreement {
        trial,
        because: because(graph, &flows[trial]),
    });
    Ok(Outcome {
        disagreements: disagreements.collect(),
        seen,
    })
}

fn because(graph: &RuleGraph, flow: &Flow) -> Vec<String> {
    let because = graph.evaluate(flow).because;
    because.iter().map(ToString::to_string).collect()
}
