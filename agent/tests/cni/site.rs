//! The agent of a node in this process, fed as the watches would feed it, with real rules in the node's namespace.

use std::path::PathBuf;
use std::time::Instant;

use nft_backend::config::Config;
use nft_backend::netlink::Netlink;
use nft_backend::nft::Nft;
use nft_backend::notifications::Notifications;
use nopal_agent::cni;
use nopal_agent::cni::desk::Desk;
use nopal_agent::cni::leases::Leases;
use nopal_agent::dataplane::Dataplane;
use nopal_agent::enforcer::Enforcer;
use nopal_agent::kind::Kind;
use nopal_agent::spoofing::Spoofing;
use nopal_agent::status::Shared;
use nopal_agent::sync::{self, Alarm, Timing};
use nopal_agent::watch::{Batch, Change, Identity, Trouble};
use nopal_lab::Namespace;
use policy_core::{Event, Node, lower};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinSet;

pub(crate) const NODE: &str = "node-a";

pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    watches: Sender<Batch>,
    shared: Shared,
    // Last, so that everything else is gone when it ends.
    _runtime: Runtime,
}

impl Site {
    /// An agent that has a complete view with these policies and nothing else. Without a node it has no rules to put
    /// in force, and no view.
    pub(crate) fn start(node: Option<&Namespace>, policies: Vec<Event>) -> Self {
        Self::guarding(node, policies, None)
    }

    /// The same, with what keeps pods from forging addresses.
    pub(crate) fn guarding(
        node: Option<&Namespace>,
        policies: Vec<Event>,
        spoofing: Option<Spoofing>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let shared = Shared::new(NODE);
        let (sender, queue) = mpsc::channel(1_000);
        let leases = Leases::new(folder.path());
        let desk = Desk::guarding(NODE, leases, sender, None, shared.clone(), spoofing);
        let socket = folder.path().join("run/cni.sock");
        let mut tasks = JoinSet::new();
        let entered = runtime.enter();
        let watches = cni::start(&socket, desk, 1_000, &mut tasks).unwrap();
        drop(entered);
        runtime.spawn(async move { while tasks.join_next().await.is_some() {} });
        let this = Self {
            folder,
            watches,
            shared,
            _runtime: runtime,
        };
        let Some(node) = node else {
            // Nobody takes the batches, and nobody says that the agent is ending.
            std::mem::forget(queue);
            return this;
        };
        let (nft, config) = (Nft::new().in_namespace(node.path()), Config::default());
        let notices = Notifications::of(&nft, &config.table).unwrap();
        let dataplane = Dataplane::new(NODE, config, Netlink::beside(nft), notices).unwrap();
        let alarm = Alarm::of(&dataplane).unwrap();
        let enforcer = Enforcer::new(NODE, dataplane, this.shared.clone());
        let (timing, shared) = (Timing::default(), this.shared.clone());
        let never = std::future::pending();
        std::thread::spawn(move || sync::run(enforcer, queue, alarm, timing, shared, never));
        let node = Event::Node(Node {
            name: NODE.into(),
            addresses: vec![],
        });
        this.tell(Kind::Namespaces, vec![], true);
        this.tell(Kind::Nodes, vec![node], true);
        this.tell(Kind::Pods, vec![], true);
        this.tell(Kind::Policies, policies, true);
        this
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("run/cni.sock")
    }

    /// What a watch tells.
    pub(crate) fn tell(&self, kind: Kind, events: Vec<Event>, is_complete: bool) {
        let change = |event| Change {
            identity: Identity {
                uid: match &event {
                    Event::Pod(pod) => format!("uid-{}", pod.id.name),
                    _ => String::new(),
                },
                ..Identity::default()
            },
            event: Some(event),
            version: 1,
            trouble: Trouble::None,
        };
        let batch = Batch {
            kind,
            changes: events.into_iter().map(change).collect(),
            is_complete,
            received: Instant::now(),
            ticket: 0,
        };
        self.watches.blocking_send(batch).unwrap();
    }
}

/// A pod of the namespace `shop` on the node.
pub(crate) fn pod(name: &str, app: &str, addresses: &[&str]) -> Event {
    let ips: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    let object = json!({
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
        "spec": {"nodeName": NODE, "containers": []},
        "status": {"podIPs": ips},
    });
    Event::Pod(lower::pod(&serde_json::from_value(object).unwrap()).0)
}

/// A policy of the namespace `shop`.
pub(crate) fn policy(name: &str, spec: &Value) -> Event {
    let object = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
    Event::Policy(lower::policy(&serde_json::from_value(object).unwrap(), &[]).0)
}
