//! Which pods no policy isolates.

use policy_core::{Direction, Isolation, PodId, RuleGraph};

use crate::inventory::{Inventory, Standing};

/// How far policies isolate the pods of an input.
#[derive(Debug)]
pub struct Coverage {
    /// The pods that have not finished, sorted; what the rest counts.
    pub pods: Vec<(PodId, Standing)>,
    /// What policies make of the pods that they can isolate, for ingress and for egress.
    pub sides: [Side; 2],
    /// The pods on their nodes' networks, which no policy can isolate.
    pub unruled: Vec<usize>,
}

/// What policies make of the pods in one direction. All are positions in [`Coverage::pods`], sorted.
#[derive(Debug)]
pub struct Side {
    /// Ingress or egress.
    pub direction: Direction,
    /// The pods that a policy isolates.
    pub isolated: Vec<usize>,
    /// Those that only policies in audit mode would isolate: everything passes.
    pub audited: Vec<usize>,
    /// Those that no policy isolates.
    pub open: Vec<usize>,
}

impl Side {
    /// How many pods policies could isolate.
    pub fn total(&self) -> usize {
        self.isolated.len() + self.audited.len() + self.open.len()
    }

    /// How many of a hundred pods are isolated, rounded down; all of them where there are none.
    pub fn percent(&self) -> usize {
        (self.isolated.len() * 100)
            .checked_div(self.total())
            .unwrap_or(100)
    }
}

/// Looks at every pod of the input that has not finished.
#[must_use]
pub fn coverage(inventory: &Inventory<'_>) -> Coverage {
    let graph = RuleGraph::compile(&inventory.cluster);
    let all = inventory.cluster.pods();
    let live = all.values().filter(|pod| !pod.finished);
    let pods: Vec<(PodId, Standing)> = live.map(|pod| (pod.id.clone(), Standing::Known)).collect();
    let on_host = |pod: &usize| all[&pods[*pod].0].host_network;
    let sides = Direction::ALL.map(|direction| {
        let of = |wanted: Isolation| {
            let subjects = (0..pods.len()).filter(|pod| !on_host(pod));
            let is_wanted = |pod: &usize| graph.isolation(&all[&pods[*pod].0], direction) == wanted;
            subjects.filter(is_wanted).collect()
        };
        Side {
            direction,
            isolated: of(Isolation::Enforced),
            audited: of(Isolation::Audited),
            open: of(Isolation::None),
        }
    });
    let unruled = (0..pods.len()).filter(on_host).collect();
    Coverage {
        pods,
        sides,
        unruled,
    }
}
