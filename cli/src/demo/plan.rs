//! Which flows are tried, and what the rule graph says of each.

use std::net::IpAddr;

use policy_core::{Cluster, Flow, FlowPort, RuleGraph, Verdict};

use super::ports;
use super::{Cast, Endpoint};

/// What is tried.
#[derive(Debug)]
pub struct Plan {
    /// The flows, by source, destination and port.
    pub trials: Vec<Trial>,
    /// How many there would be without the limit.
    pub total: usize,
    /// The ports, each of which every pair is tried on.
    pub ports: Vec<FlowPort>,
}

/// A flow that is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The source's position in [`Cast::endpoints`].
    pub from: usize,
    /// The destination's.
    pub to: usize,
    /// The flow.
    pub flow: Flow,
    /// What the rule graph says of it.
    pub expect: Verdict,
    /// Whether it passes only because policies that would deny it are in audit mode.
    pub is_audited: bool,
}

impl Plan {
    /// Every ordered pair of endpoints of which at least one is a pod, in each family that both have, on every port
    /// that matters. Beyond `limit`, an even sample that is the same for the same input.
    pub fn new(cast: &Cast, cluster: &Cluster, graph: &RuleGraph, limit: usize) -> Self {
        let ports = ports::ports(cluster);
        let pairs = pairs(&cast.endpoints);
        let total = pairs.len() * ports.len();
        let trials = sample(total, limit).into_iter().map(|position| {
            let pair = &pairs[position / ports.len()];
            let flow = Flow {
                from: pair.addresses.0,
                to: pair.addresses.1,
                port: ports[position % ports.len()],
            };
            let decision = graph.evaluate(&flow);
            Trial {
                from: pair.from,
                to: pair.to,
                flow,
                expect: decision.verdict,
                is_audited: decision.is_audited(),
            }
        });
        Self {
            trials: trials.collect(),
            total,
            ports,
        }
    }
}

struct Pair {
    from: usize,
    to: usize,
    addresses: (IpAddr, IpAddr),
}

fn pairs(endpoints: &[Endpoint]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (from, source) in endpoints.iter().enumerate() {
        for (to, target) in endpoints.iter().enumerate() {
            if from == to || !(source.is_pod() || target.is_pod()) {
                continue;
            }
            for &one in &source.addresses {
                let others = target.addresses.iter();
                let others = others.filter(|other| other.is_ipv4() == one.is_ipv4());
                pairs.extend(others.map(|&other| Pair {
                    from,
                    to,
                    addresses: (one, other),
                }));
            }
        }
    }
    pairs
}

/// At most `limit` of the numbers below `total`, spread evenly, in ascending order. They are the first multiples, modulo
/// `total`, of a step near `total` divided by the golden ratio, which keep away from each other and from every period.
pub(super) fn sample(total: usize, limit: usize) -> Vec<usize> {
    if total <= limit {
        return (0..total).collect();
    }
    let near = total / 1000 * 618 + total % 1000 * 618 / 1000;
    let step = (near.max(1)..=total)
        .find(|step| divisor(*step, total) == 1)
        .unwrap_or(1);
    let mut chosen = Vec::with_capacity(limit);
    let mut position = 0;
    for _ in 0..limit {
        chosen.push(position);
        position = (position + step) % total;
    }
    chosen.sort_unstable();
    chosen
}

/// The greatest common divisor.
fn divisor(one: usize, other: usize) -> usize {
    if other == 0 {
        one
    } else {
        divisor(other, one % other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_distinct_numbers_and_leaves_no_large_gap() {
        for total in [2, 3, 10, 100, 999, 1000, 4096, 123_456] {
            for limit in [1, 2, 7, 100, 5000] {
                let chosen = sample(total, limit);
                assert_eq!(chosen.len(), limit.min(total), "{limit} of {total}");
                assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
                let gaps = chosen.windows(2).map(|pair| pair[1] - pair[0]);
                let largest = gaps.max().unwrap_or(0);
                assert!(
                    largest <= 8 * total / limit.min(total) + 1,
                    "{limit} of {total}: {largest}"
                );
            }
        }
    }
}
