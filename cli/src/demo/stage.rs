//! The cluster of network namespaces, with each node's ruleset in force.

use std::sync::atomic::{AtomicBool, Ordering};

use nft_backend::config::Config;
use nft_backend::layout::LayoutError;
use nft_backend::load::{LoadError, StandingFlows, load};
use nft_backend::nft::Nft;
use nft_backend::render::render;
use nft_backend::topology::{LocalPod, NodeNetwork, Report, TopologyError};
use nopal_lab::{Lab, LabError, Probe, ProbeKind, Seen};
use policy_core::{Flow, FlowPort, Protocol, RuleGraph, Verdict};

use super::{Cast, Prober, Wiring};

/// What the names of namespaces begin with that go away at the end.
const PREFIX: &str = "nopal-demo";
/// What the names of namespaces begin with that are left standing.
const KEPT_PREFIX: &str = "nopal-kept";

/// A cluster that stands. It goes away when it is dropped.
#[derive(Debug)]
pub struct Stage<'s> {
    lab: Lab,
    stop: &'s AtomicBool,
}

/// Why there is no stage, or nothing can be seen on it.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The namespaces could not be made, or packets could not be sent.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A node's ruleset could not be laid out.
    #[error("node {node}: {source}")]
    Render {
        /// The node.
        node: String,
        /// Why.
        source: LayoutError,
    },
    /// It could not be found out, or changed, how a node's pods are wired.
    #[error("node {node}: {source}")]
    Topology {
        /// The node.
        node: String,
        /// Why.
        source: TopologyError,
    },
    /// The rules would not hold for some pods, so none are put in force.
    #[error("the rules of node {node} cannot hold for its pods\n{lines}")]
    NotEnforced {
        /// The node.
        node: String,
        /// What was found out about each of the addresses.
        lines: String,
    },
    /// A node's ruleset could not be put in force.
    #[error("node {node}: {source}")]
    Load {
        /// The node.
        node: String,
        /// Why.
        source: LoadError,
    },
}

/// A bridge that passed packets between its ports to no rule until it was told to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchedBridge {
    /// Its node.
    pub node: String,
    /// Its name.
    pub bridge: String,
}

impl<'s> Stage<'s> {
    /// Makes the namespaces. `is_kept` chooses names that [`remove_leftovers`] does not touch. When `stop` is raised,
    /// this and all that follows ends with [`LabError::Interrupted`].
    pub fn build(
        cast: &Cast,
        wiring: Wiring,
        is_kept: bool,
        stop: &'s AtomicBool,
    ) -> Result<Self, StageError> {
        let prefix = if is_kept { KEPT_PREFIX } else { PREFIX };
        let lab = Lab::build_wired(&cast.topology, wiring.into(), prefix);
        // An interrupt from the terminal reaches the programs that build as well, and ends them first.
        check(stop)?;
        Ok(Self { lab: lab?, stop })
    }

    /// Puts the ruleset of every node in force in its namespace, and tells which bridges had to be switched for it to
    /// hold. Where it would not hold for a pod whatever is done, [`StageError::NotEnforced`] says so.
    pub fn apply(&self, cast: &Cast, graph: &RuleGraph) -> Result<Vec<SwitchedBridge>, StageError> {
        let config = Config::default();
        let graph = graph.minimize();
        let mut switched = Vec::new();
        for node in &cast.topology.nodes {
            check(self.stop)?;
            let name = || node.name.clone();
            let ruleset =
                render(&graph, &node.name, &config).map_err(|source| StageError::Render {
                    node: name(),
                    source,
                })?;
            let namespace = self.lab.node_namespace(&node.name)?.path();
            let network = NodeNetwork::in_namespace(&namespace);
            let bridges = self.report(cast, &node.name, &network)?.bridges_to_switch();
            let mut kernel = Nft::new().in_namespace(namespace);
            let loaded = load(&mut kernel, &ruleset, &config, StandingFlows::Recheck);
            check(self.stop)?;
            loaded.map_err(|source| StageError::Load {
                node: name(),
                source,
            })?;
            for bridge in bridges {
                network
                    .ensure_bridge_netfilter(&bridge)
                    .map_err(in_topology(&node.name))?;
                switched.push(SwitchedBridge {
                    node: name(),
                    bridge,
                });
            }
        }
        Ok(switched)
    }

    /// How the packets of a node's pods go, which is by a hook that rules can hold at.
    fn report(&self, cast: &Cast, node: &str, network: &NodeNetwork) -> Result<Report, StageError> {
        let mut pods = Vec::new();
        for pod in cast.topology.pods.iter().filter(|pod| pod.node == node) {
            pods.push(LocalPod {
                name: pod.name.clone(),
                addresses: pod.addresses.clone(),
                namespace: Some(self.lab.pod_namespace(&pod.name)?.path()),
            });
        }
        let report = network.detect(&pods);
        check(self.stop)?;
        let report = report.map_err(in_topology(node))?;
        let lines: Vec<String> = report.impossible().map(ToString::to_string).collect();
        if lines.is_empty() {
            return Ok(report);
        }
        Err(StageError::NotEnforced {
            node: node.to_owned(),
            lines: lines.join("\n"),
        })
    }

    /// The names of the namespaces of a node and of a pod, of the first of each.
    pub fn examples(&self, cast: &Cast) -> (Option<String>, Option<String>) {
        let node = cast.topology.nodes.first();
        let pod = cast.topology.pods.first();
        let node = node.and_then(|node| self.lab.node_namespace(&node.name).ok());
        let pod = pod.and_then(|pod| self.lab.pod_namespace(&pod.name).ok());
        let name = |namespace: &nopal_lab::Namespace| namespace.name().to_owned();
        (node.map(name), pod.map(name))
    }

    /// Leaves the namespaces standing and gives their names.
    #[must_use]
    pub fn keep(self) -> Vec<String> {
        self.lab.keep()
    }

    /// Takes the namespaces away.
    pub fn remove(self) -> Result<(), StageError> {
        Ok(self.lab.remove()?)
    }
}

impl Prober for Stage<'_> {
    type Error = StageError;

    fn probe(&mut self, flows: &[Flow]) -> Result<Vec<Verdict>, StageError> {
        let probes: Vec<Probe> = flows.iter().map(probe).collect();
        let seen = self.lab.probe(&probes, self.stop)?;
        let verdicts = seen.into_iter().map(|seen| match seen {
            Seen::Passed => Verdict::Allow,
            Seen::Blocked => Verdict::Deny,
        });
        Ok(verdicts.collect())
    }
}

fn probe(flow: &Flow) -> Probe {
    let kind = match flow.port {
        FlowPort::Port(Protocol::Tcp, port) => ProbeKind::Tcp(port),
        FlowPort::Port(Protocol::Udp, port) => ProbeKind::Udp(port),
        FlowPort::Port(Protocol::Sctp, port) => ProbeKind::Sctp(port),
        FlowPort::Other => ProbeKind::Echo,
    };
    Probe {
        from: flow.from,
        to: flow.to,
        kind,
    }
}

fn in_topology(node: &str) -> impl Fn(TopologyError) -> StageError {
    |source| StageError::Topology {
        node: node.to_owned(),
        source,
    }
}

fn check(stop: &AtomicBool) -> Result<(), LabError> {
    if stop.load(Ordering::Relaxed) {
        Err(LabError::Interrupted)
    } else {
        Ok(())
    }
}

/// Takes away what earlier demonstrations left behind that came to a sudden end; gives the namespaces' names.
pub fn remove_leftovers() -> Result<Vec<String>, StageError> {
    Ok(Lab::remove_leftovers(PREFIX)?)
}

/// Takes away what earlier demonstrations left standing on purpose as well.
pub fn clean() -> Result<Vec<String>, StageError> {
    let mut names = remove_leftovers()?;
    names.extend(Lab::remove_all(KEPT_PREFIX)?);
    Ok(names)
}
