//! Kubernetes Events on policies that were not understood wholly, so that `kubectl describe` shows them.
//!
//! An Event's name follows from the policy, its generation and the problem. So the agents of all nodes make the same
//! one, the API server keeps one, and a restart makes none anew.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::causes::causes;
use crate::watch::{Batch, Identity, Trouble};

/// Who reports, in the words of Events.
const COMPONENT: &str = "nopal-agent";

/// The pause after each Event, which bounds what a flood of bad policies costs the API server.
const PAUSE: Duration = Duration::from_millis(200);

/// Complaints that may wait; more are told in the log and in the status alone.
const WAITING: usize = 1_000;

/// Names of Events that are remembered as made.
const REMEMBERED: usize = 10_000;

/// The longest message that the API server takes, in bytes.
const LONGEST: usize = 1_024;

/// One problem of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    policy: Identity,
    message: String,
}

/// Where complaints are handed in. A flood is cut off, never waited for.
#[derive(Debug, Clone)]
pub struct Reporter(Sender<Complaint>);

impl Reporter {
    /// Reports the problems of a batch of policies.
    pub fn report(&self, batch: &Batch) {
        for complaint in complaints(batch) {
            let policy = &complaint.policy;
            tracing::warn!(
                namespace = policy.namespace,
                policy = policy.name,
                problem = complaint.message,
                "not as the API wants it; what is not understood allows nothing"
            );
            if self.0.try_send(complaint).is_err() {
                tracing::debug!("no room for another Event");
            }
        }
    }
}

/// Starts the task that makes Events.
pub fn start(client: Client, node: &str) -> (Reporter, JoinHandle<()>) {
    let (sender, complaints) = channel(WAITING);
    let task = tokio::spawn(publish(client, node.to_owned(), complaints));
    (Reporter(sender), task)
}

async fn publish(client: Client, node: String, mut complaints: Receiver<Complaint>) {
    let mut made = BTreeSet::new();
    while let Some(complaint) = complaints.recv().await {
        let name = name(&complaint);
        if made.contains(&name) {
            continue;
        }
        let event = event(&complaint, &name, &node, Timestamp::now());
        let api = Api::<Event>::namespaced(client.clone(), &complaint.policy.namespace);
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {}
            // Another node, or this one before a restart, has made it.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => {
                tracing::warn!(error = causes(&error), "an Event could not be made");
                sleep(PAUSE).await;
                continue;
            }
        }
        if made.len() >= REMEMBERED {
            made.clear();
        }
        made.insert(name);
        sleep(PAUSE).await;
    }
}

/// What is wrong with the policies of a batch.
fn complaints(batch: &Batch) -> Vec<Complaint> {
    if batch.kind != crate::kind::Kind::Policies {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for change in &batch.changes {
        let Trouble::Problems(problems) = &change.trouble else {
            continue;
        };
        let complaint = |problem: &policy_core::Problem| Complaint {
            policy: change.identity.clone(),
            message: format!("{}: {}", problem.path, problem.kind),
        };
        complaints.extend(problems.iter().map(complaint));
    }
    complaints
}

fn name(complaint: &Complaint) -> String {
    let mut hasher = DefaultHasher::new();
    let policy = &complaint.policy;
    (&policy.uid, policy.generation, &complaint.message).hash(&mut hasher);
    // A name of the API has at most 253 characters.
    let kept: String = policy.name.chars().take(200).collect();
    format!("{kept}.nopal-{:016x}", hasher.finish())
}

fn event(complaint: &Complaint, name: &str, node: &str, now: Timestamp) -> Event {
    let policy = &complaint.policy;
    let message = format!(
        "{}; what is not understood allows nothing",
        complaint.message
    );
    Event {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(policy.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("networking.k8s.io/v1".to_owned()),
            kind: Some("NetworkPolicy".to_owned()),
            namespace: Some(policy.namespace.clone()),
            name: Some(policy.name.clone()),
            uid: Some(policy.uid.clone()),
            ..ObjectReference::default()
        },
        type_: Some("Warning".to_owned()),
        reason: Some("InvalidPolicy".to_owned()),
        message: Some(cut(&message).to_owned()),
        source: Some(EventSource {
            component: Some(COMPONENT.to_owned()),
            host: Some(node.to_owned()),
        }),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        reporting_component: Some(COMPONENT.to_owned()),
        reporting_instance: Some(node.to_owned()),
        ..Event::default()
    }
}

fn cut(message: &str) -> &str {
    let mut end = message.len().min(LONGEST);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(generation: i64, message: &str) -> Complaint {
        Complaint {
            policy: Identity {
                namespace: "shop".to_owned(),
                name: "web".to_owned(),
                uid: "u-1".to_owned(),
                generation,
            },
            message: message.to_owned(),
        }
    }

    #[test]
    fn all_nodes_make_the_same_event_and_each_generation_its_own() {
        let first = name(&complaint(1, "odd"));
        assert_eq!(first, name(&complaint(1, "odd")));
        assert_ne!(first, name(&complaint(2, "odd")));
        assert_ne!(first, name(&complaint(1, "even")));
        assert!(first.starts_with("web.nopal-"), "{first}");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let complaint = complaint(1, &"ö".repeat(2_000));
        let event = event(&complaint, "n", "node-a", Timestamp::UNIX_EPOCH);
        let message = event.message.unwrap();
        assert!(message.len() <= LONGEST && message.ends_with('ö'));
    }
}
