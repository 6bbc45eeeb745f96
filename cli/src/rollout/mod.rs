//! Whether policies are in force on every node: what the API server has against what each node's agent says.

mod agents;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::kubectl::{Kubectl, KubectlError};

pub use status::{Status, Wanted};

use agents::Agent;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The cluster.
    pub kubectl: Kubectl,
    /// Namespace and name of one policy; all without it.
    pub policy: Option<(String, String)>,
    /// The label of the agents' pods.
    pub selector: String,
    /// The port at which agents tell their status.
    pub port: u16,
}

/// Why the cluster cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotAsk {
    /// Something could not be read that nothing can be said without.
    #[error("{what} cannot be read: {error}")]
    Unread {
        /// What.
        what: String,
        /// Why.
        error: KubectlError,
    },
    /// kubectl printed what is no list of the API.
    #[error("what kubectl prints of {what} is not understood: {reason}")]
    NotUnderstood {
        /// Of what.
        what: String,
        /// Why.
        reason: String,
    },
    /// The named policy is not there.
    #[error("the cluster has no NetworkPolicy {0}")]
    NoPolicy(String),
    /// No agent is there.
    #[error(
        "no pod has the label {0}: is nopal installed in this cluster? --selector names another label of its agents' pods"
    )]
    NoAgent(String),
    /// The API server does not let the user ask agents.
    #[error(
        "agents may not be asked through the API server, which takes the right to get pods/proxy: {0}"
    )]
    NoProxy(String),
}

/// What every node says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How many policies were asked about.
    pub policies: usize,
    /// Each node, and why the policies are not in force there; `None` where they are.
    pub nodes: BTreeMap<String, Option<String>>,
    /// What else is worth knowing.
    pub notes: BTreeSet<String>,
}

impl Answer {
    /// Whether the policies are in force on all nodes.
    pub fn is_everywhere(&self) -> bool {
        self.nodes.values().all(Option::is_none)
    }

    /// On how many nodes the policies are in force.
    pub fn in_force(&self) -> usize {
        self.nodes.values().filter(|lag| lag.is_none()).count()
    }
}

/// What is asked of every node, as the API server had it when the question was put.
#[derive(Debug, Clone)]
pub struct Rollout {
    question: Question,
    wanted: Wanted,
    /// The nodes that are known to have the policies in force.
    done: BTreeMap<String, BTreeSet<String>>,
}

impl Rollout {
    /// Puts a question: what is in the cluster now is to be in force.
    ///
    /// # Errors
    /// When policies cannot be read, or the named one is not there.
    pub fn new(question: Question) -> Result<Self, CannotAsk> {
        let wanted = wanted(&question)?;
        Ok(Self {
            question,
            wanted,
            done: BTreeMap::new(),
        })
    }

    /// Asks all nodes that have not got it in force yet. No request takes longer than `patience`.
    ///
    /// # Errors
    /// When pods cannot be read, there is no agent, or agents may not be asked.
    pub fn ask(&mut self, patience: Duration) -> Result<Answer, CannotAsk> {
        let Question {
            kubectl,
            selector,
            port,
            ..
        } = &self.question;
        let agents = agents::find(kubectl, selector)?;
        let (known, mut remarks) = nodes(kubectl, &agents)?;
        let is_open = |agent: &&Agent| !self.done.contains_key(&agent.node);
        let open: Vec<&Agent> = agents.iter().filter(is_open).collect();
        let mut lags: BTreeMap<String, String> = BTreeMap::new();
        for (agent, said) in agents::ask_all(kubectl, &open, *port, patience) {
            match self.judge(agent, said)? {
                Ok(told) => {
                    self.done.insert(agent.node.clone(), told);
                }
                Err(lag) => {
                    lags.insert(agent.node.clone(), lag);
                }
            }
        }
        let nodes = known.into_iter().map(|node| {
            let lag = if self.done.contains_key(&node) {
                None
            } else {
                let nobody = || "no agent runs there".to_owned();
                Some(lags.remove(&node).unwrap_or_else(nobody))
            };
            (node, lag)
        });
        let nodes: BTreeMap<_, _> = nodes.collect();
        let done = nodes.iter().filter(|(_, lag)| lag.is_none());
        remarks.extend(done.flat_map(|(node, _)| self.done[node].clone()));
        Ok(Answer {
            policies: self.wanted.versions.len(),
            nodes,
            notes: remarks,
        })
    }

    /// What there is to note of a node that has it in force, or why it has not.
    fn judge(
        &self,
        agent: &Agent,
        said: Result<Vec<u8>, KubectlError>,
    ) -> Result<Result<BTreeSet<String>, String>, CannotAsk> {
        let bytes = match said {
            Ok(bytes) => bytes,
            Err(KubectlError::Forbidden(message)) => return Err(CannotAsk::NoProxy(message)),
            Err(error) => {
                let phase = match agent.phase.as_str() {
                    "Running" => String::new(),
                    phase => format!(" ({phase})"),
                };
                return Ok(Err(format!(
                    "its agent, pod {}{phase}, does not answer at port {}: {error}",
                    agent.id(),
                    self.question.port
                )));
            }
        };
        let status: Status = match serde_json::from_slice(&bytes) {
            Ok(status) => status,
            Err(error) => {
                return Ok(Err(format!(
                    "what its agent, pod {}, answers is not understood: {error}",
                    agent.id()
                )));
            }
        };
        Ok(match status.lag(&self.wanted) {
            Some(lag) => Err(lag),
            None => Ok(status.notes(&agent.node)),
        })
    }
}

/// A list of the API, or `kubectl`'s.
#[derive(Debug, Deserialize)]
struct List<T> {
    items: Vec<T>,
}

/// Reads a list by kubectl.
fn list<T: DeserializeOwned>(
    kubectl: &Kubectl,
    what: &str,
    arguments: &[&str],
) -> Result<Vec<T>, CannotAsk> {
    let unread = |error| CannotAsk::Unread {
        what: what.to_owned(),
        error,
    };
    let all = [&["get", what, "-o", "json"], arguments].concat();
    let printed = kubectl.run(&all).map_err(unread)?;
    let list: Result<List<T>, _> = serde_json::from_slice(&printed);
    let list = list.map_err(|error| CannotAsk::NotUnderstood {
        what: what.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(list.items)
}

/// The versions of the policies. They are asked for by path, since `kubectl get` does not print the list's own version.
fn wanted(question: &Question) -> Result<Wanted, CannotAsk> {
    #[derive(Deserialize)]
    struct Policies {
        metadata: ListMetadata,
        items: Vec<status::PolicyObject>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ListMetadata {
        resource_version: String,
    }
    let what = || "networkpolicies".to_owned();
    let path = match &question.policy {
        None => "/apis/networking.k8s.io/v1/networkpolicies".to_owned(),
        Some((namespace, name)) => format!(
            "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies?fieldSelector=metadata.name%3D{name}"
        ),
    };
    let printed = question.kubectl.run(&["get", "--raw", &path]);
    let printed = printed.map_err(|error| CannotAsk::Unread {
        what: what(),
        error,
    })?;
    let list: Policies =
        serde_json::from_slice(&printed).map_err(|error| CannotAsk::NotUnderstood {
            what: what(),
            reason: error.to_string(),
        })?;
    let version = |text: &str| {
        let version = text.parse::<u64>();
        version.map_err(|_| CannotAsk::NotUnderstood {
            what: what(),
            reason: format!("resourceVersion {text:?} is no number"),
        })
    };
    let mut versions = BTreeMap::new();
    for status::PolicyObject { metadata } in list.items {
        let id = format!("{}/{}", metadata.namespace, metadata.name);
        versions.insert(id, version(&metadata.resource_version)?);
    }
    let complete_at = match &question.policy {
        None => Some(version(&list.metadata.resource_version)?),
        Some((namespace, name)) if versions.is_empty() => {
            return Err(CannotAsk::NoPolicy(format!("{namespace}/{name}")));
        }
        Some(_) => None,
    };
    Ok(Wanted {
        versions,
        complete_at,
    })
}

/// All nodes of the cluster; where these may not be read, those with agents, and a note about it.
fn nodes(
    kubectl: &Kubectl,
    agents: &[Agent],
) -> Result<(BTreeSet<String>, BTreeSet<String>), CannotAsk> {
    #[derive(Deserialize)]
    struct Node {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
    }
    let of_agents = agents.iter().map(|agent| agent.node.clone());
    match list::<Node>(kubectl, "nodes", &[]) {
        Ok(nodes) => {
            let names = nodes.into_iter().map(|node| node.metadata.name);
            Ok((names.collect(), BTreeSet::new()))
        }
        Err(CannotAsk::Unread {
            error: KubectlError::Forbidden(message),
            ..
        }) => {
            let note =
                format!("nodes may not be read, so a node without an agent is not seen: {message}");
            Ok((of_agents.collect(), BTreeSet::from([note])))
        }
        Err(error) => Err(error),
    }
}
