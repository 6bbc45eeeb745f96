//! The agents' pods, and what each answers through the API server.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Deserialize;

use super::{CannotAsk, list};
use crate::kubectl::{Kubectl, KubectlError};

/// How many are asked at a time: each takes a process of kubectl.
const AT_ONCE: usize = 16;

/// An agent's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agent {
    pub(super) node: String,
    namespace: String,
    name: String,
    pub(super) phase: String,
}

#[derive(Debug, Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    namespace: String,
    name: String,
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: String,
}

impl Agent {
    /// `namespace/name` of its pod.
    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// The agents, one for each node: while a `DaemonSet` replaces its pods, the one that stays.
///
/// # Errors
/// When pods cannot be read, or none is an agent.
pub(super) fn find(kubectl: &Kubectl, selector: &str) -> Result<Vec<Agent>, CannotAsk> {
    let arguments = ["--all-namespaces", "--selector", selector];
    let mut pods: Vec<Pod> = list(kubectl, "pods", &arguments)?;
    pods.retain(|pod| {
        let is_over = ["Succeeded", "Failed"].contains(&pod.status.phase.as_str());
        !pod.spec.node_name.is_empty() && !is_over
    });
    pods.sort_by_key(|pod| {
        let is_leaving = pod.metadata.deletion_timestamp.is_some();
        (pod.spec.node_name.clone(), is_leaving)
    });
    pods.dedup_by(|next, first| next.spec.node_name == first.spec.node_name);
    if pods.is_empty() {
        return Err(CannotAsk::NoAgent(selector.to_owned()));
    }
    let agents = pods.into_iter().map(|pod| Agent {
        node: pod.spec.node_name,
        namespace: pod.metadata.namespace,
        name: pod.metadata.name,
        phase: pod.status.phase,
    });
    Ok(agents.collect())
}

/// Asks agents for their status, several at a time. No answer takes longer than `patience`.
pub(super) fn ask_all<'a>(
    kubectl: &Kubectl,
    agents: &[&'a Agent],
    port: u16,
    patience: Duration,
) -> Vec<(&'a Agent, Result<Vec<u8>, KubectlError>)> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(agents.len()) {
            scope.spawn(|| {
                while let Some(&agent) = agents.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let said = ask(kubectl, agent, port, patience);
                    if let Ok(mut answers) = answers.lock() {
                        answers.push((agent, said));
                    }
                }
            });
        }
    });
    answers.into_inner().unwrap_or_default()
}

fn ask(
    kubectl: &Kubectl,
    agent: &Agent,
    port: u16,
    patience: Duration,
) -> Result<Vec<u8>, KubectlError> {
    let Agent {
        namespace, name, ..
    } = agent;
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy/v1/status");
    let limit = format!("--request-timeout={}s", patience.as_secs().max(1));
    kubectl.run(&["get", "--raw", &path, &limit])
}
