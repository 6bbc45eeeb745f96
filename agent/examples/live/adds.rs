//! Pods that a runtime starts in a burst: how long `nopal-cni ADD` takes, from its process's start to its end.
//!
//! Their interfaces are not made, since that is the work of the plugin before ours: our plugin is told their addresses.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{ScopedJoinHandle, scope};
use std::time::{Duration, Instant};

use nopal_lab::Namespace;
use serde_json::{Value, json};

use crate::Failure;
use crate::api::Api;
use crate::objects::{Size, started_pod};

/// How many pods, and how many the runtime starts at a time.
pub(crate) const PODS: usize = 200;
/// As the burst among the tests does it.
pub(crate) const AT_A_TIME: usize = 8;

/// The first address of the pods.
const FIRST_ADDRESS: u32 = 0x6480_0000;

/// After the pods were made, until the runtime starts them: the agent has heard of them by then.
const PAUSE: Duration = Duration::from_secs(2);

/// Calls our plugin as a runtime of the node does.
pub(crate) struct Runtime<'a> {
    pub(crate) plugin: PathBuf,
    pub(crate) socket: &'a Path,
    pub(crate) node: &'a Namespace,
}

/// One pod as the runtime knows it.
struct Sandbox {
    namespace: String,
    name: String,
    uid: String,
    address: Ipv4Addr,
}

impl Runtime<'_> {
    /// Makes the pods and starts them; gives how long each ADD took, shortest first.
    pub(crate) async fn start_pods(&self, api: &Api, size: Size) -> Result<Vec<Duration>, Failure> {
        let mut pods = Vec::new();
        for number in 0..PODS {
            let (path, object) = started_pod(number, size);
            let made = api.create_one(path, object).await?;
            let text = |field: &str| made["metadata"][field].as_str().unwrap_or_default();
            pods.push(Sandbox {
                namespace: text("namespace").to_owned(),
                name: text("name").to_owned(),
                uid: text("uid").to_owned(),
                address: Ipv4Addr::from_bits(FIRST_ADDRESS + u32::try_from(number)?),
            });
        }
        tokio::time::sleep(PAUSE).await;
        let next = AtomicUsize::new(0);
        let work = || -> io::Result<Vec<Duration>> {
            let mut took = Vec::new();
            while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
                took.push(self.add(pod)?);
            }
            Ok(took)
        };
        let worked = scope(|threads| {
            let inside = || self.node.run(work);
            let workers: Vec<_> = (0..AT_A_TIME).map(|_| threads.spawn(inside)).collect();
            let ended = workers.into_iter().map(ScopedJoinHandle::join);
            ended.collect::<Vec<_>>()
        });
        let mut took = Vec::new();
        for worker in worked {
            took.extend(worker.map_err(|_| "a worker panicked")???);
        }
        took.sort();
        Ok(took)
    }

    /// One call, on a thread that is in the node's network namespace.
    fn add(&self, pod: &Sandbox) -> io::Result<Duration> {
        let netns = self.node.path();
        let result = json!({
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "eth0", "sandbox": netns}],
            "ips": [{"address": format!("{}/24", pod.address), "interface": 0}],
        });
        let config = json!({
            "cniVersion": "1.0.0", "name": "bench", "type": "nopal-cni", "socket": self.socket,
            "timeoutSeconds": 60, "prevResult": result,
        });
        let arguments = format!(
            "K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_UID={}",
            pod.namespace, pod.name, pod.uid
        );
        let begun = Instant::now();
        let mut child = Command::new(&self.plugin)
            .env_clear()
            .env("CNI_COMMAND", "ADD")
            .env("CNI_CONTAINERID", format!("container-of-{}", pod.name))
            .env("CNI_NETNS", netns)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", arguments)
            .env("CNI_PATH", "/usr/lib/cni")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(config.to_string().as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let took = begun.elapsed();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout);
            return Err(io::Error::other(format!("ADD failed: {said}")));
        }
        let result: Value = serde_json::from_slice(&output.stdout)?;
        if result["ips"].is_array() {
            Ok(took)
        } else {
            Err(io::Error::other("ADD gave another result than it was told"))
        }
    }
}
