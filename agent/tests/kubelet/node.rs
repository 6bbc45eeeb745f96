//! One node with everything on it, and a control plane beyond it. The agent comes as it does to a user's cluster: by its
//! manifest, in its image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nopal_harness::{ControlPlane, Kubelet, Process, ProxyMode, Shape, Task};
use nopal_lab::{Lab, NodeSpec, Topology};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shipped;

/// The node's name.
pub(crate) const NAME: &str = "node-a";
/// The first address that a pod gets.
pub(crate) const FIRST: &str = "10.77.0.2";

const ADDRESS: &str = "192.168.0.1";
const CONTROL_PLANE: &str = "198.51.100.1";
const PODS: [&str; 2] = ["10.77.0.0/24", "fd00:77::/64"];
const PATIENCE: Duration = Duration::from_secs(120);

/// What ends first stands first.
pub(crate) struct Node {
    kubelet: Kubelet,
    _proxy: Process,
    control_plane: ControlPlane,
    lab: Lab,
    _folder: TempDir,
}

impl Node {
    /// Starts everything but the agent, and waits until the node is ready. `prefix` is the test's own, and `plugin` the
    /// reference plugin that wires the pods.
    pub(crate) fn start(prefix: &str, plugin: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = [
            shipped::agent(folder.path()),
            shipped::prober(folder.path()),
        ];
        let cni = folder.path().join("cni");
        install_plugins(&cni, plugin);

        Lab::remove_leftovers(prefix).unwrap();
        let topology = Topology {
            nodes: vec![NodeSpec {
                name: NAME.to_owned(),
                addresses: vec![ADDRESS.parse().unwrap()],
            }],
            pods: Vec::new(),
            externals: vec![CONTROL_PLANE.parse().unwrap()],
        };
        let lab = Lab::build(&topology, prefix).unwrap();
        let at = CONTROL_PLANE.parse().unwrap();
        let control_plane = ControlPlane::start_as(Shape::Whole, lab.world_namespace(), at);
        let control_plane = control_plane.unwrap_or_else(|error| panic!("{error}"));
        let namespace = lab.node_namespace(NAME).unwrap();
        // As where nobody has set it: what goes from port to port of a bridge meets no rule. `ptp` has no bridge.
        let switch = || fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0");
        let switched = namespace.run(switch).unwrap();
        switched.expect("the kernel can call netfilter for bridges (br_netfilter)");
        // A pod finds the API server behind its Service.
        let proxy = control_plane.start_proxy(namespace, NAME, ProxyMode::Nftables, PODS);
        let kubelet = control_plane.start_kubelet(namespace, NAME, ADDRESS, &images, &cni);
        let this = Self {
            kubelet: kubelet.unwrap_or_else(|error| panic!("{error}")),
            _proxy: proxy.unwrap_or_else(|error| panic!("{error}")),
            control_plane,
            lab,
            _folder: folder,
        };
        let is_ready = || {
            let condition = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
            let arguments = ["get", "node", NAME, "-o", condition];
            let status = this.control_plane.kubectl(&arguments, "");
            status.is_ok_and(|status| status == "True")
        };
        assert!(eventually(is_ready), "{}", this.log());
        let has_account = || {
            let arguments = ["get", "serviceaccount", "default", "-n", "default"];
            this.control_plane.kubectl(&arguments, "").is_ok()
        };
        assert!(eventually(has_account), "{}", this.log());
        this
    }

    /// What kubectl says to this.
    pub(crate) fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let said = self.control_plane.kubectl(arguments, input);
        said.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// Creates an object.
    pub(crate) fn apply(&self, object: &Value) {
        self.kubectl(&["apply", "-f", "-"], &object.to_string());
    }

    /// Applies a manifest, as users do, and waits until its `DaemonSet` is rolled out.
    pub(crate) fn roll_out(&self, manifest: &str) {
        self.kubectl(&["apply", "--validate=strict", "-f", "-"], manifest);
        self.await_rollout();
    }

    /// Waits until the agents' `DaemonSet` is rolled out.
    pub(crate) fn await_rollout(&self) {
        let arguments = [
            "-n",
            "kube-system",
            "rollout",
            "status",
            "ds/nopal-agent",
            "--timeout=180s",
        ];
        self.kubectl(&arguments, "");
    }

    /// Deletes an object and waits until it is gone.
    pub(crate) fn delete(&self, kind: &str, name: &str) {
        self.kubectl(&["delete", kind, name, "--wait=true", "--timeout=120s"], "");
    }

    /// The pod of the `DaemonSet`, the one that is not being deleted.
    pub(crate) fn agent(&self) -> Value {
        let label = "app.kubernetes.io/name=nopal-agent";
        let listed = self.kubectl(
            &[
                "get",
                "pods",
                "-n",
                "kube-system",
                "-l",
                label,
                "-o",
                "json",
            ],
            "",
        );
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let pods = listed["items"].as_array().unwrap().iter();
        let mut living = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let pod = living.next().unwrap().clone();
        assert!(living.next().is_none(), "there is one node: {listed:#}");
        pod
    }

    /// The process of the agent's container.
    pub(crate) fn agent_task(&self) -> Task {
        let pod = self.agent();
        let container = &pod["status"]["containerStatuses"][0]["containerID"];
        self.kubelet.task(container.as_str().unwrap()).unwrap()
    }

    /// What the agent tells of itself at its status port, through the API server.
    pub(crate) fn agent_status(&self) -> Value {
        let pod = self.agent();
        let name = pod["metadata"]["name"].as_str().unwrap();
        let path = format!("/api/v1/namespaces/kube-system/pods/{name}:9471/proxy/v1/status");
        serde_json::from_str(&self.kubectl(&["get", "--raw", &path], "")).unwrap()
    }

    /// What the agents' containers have printed.
    pub(crate) fn agent_said(&self) -> String {
        self.kubelet
            .container_log("kube-system", "nopal-agent-", "agent")
    }

    /// What a pod's program has printed.
    pub(crate) fn said(&self, pod: &str) -> String {
        self.kubelet
            .container_log("default", &format!("{pod}_"), "main")
    }

    /// A path of the node.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.kubelet.path(path)
    }

    /// The names of the node's tables that begin as ours.
    pub(crate) fn tables(&self) -> Vec<String> {
        let run = || Command::new("nft").args(["list", "tables"]).output();
        let listed = self.lab.node_namespace(NAME).unwrap().run(run);
        let listed = String::from_utf8(listed.unwrap().unwrap().stdout).unwrap();
        let names = listed.lines().filter_map(|line| line.split(' ').nth(2));
        names
            .filter(|name| name.starts_with("nopal"))
            .map(str::to_owned)
            .collect()
    }

    /// What everybody has said.
    pub(crate) fn log(&self) -> String {
        let arguments = ["describe", "pods", "-n", "kube-system"];
        let pods = self
            .control_plane
            .kubectl(&arguments, "")
            .unwrap_or_default();
        format!(
            "{}\n{}\n{pods}\nagent: {}",
            self.kubelet.log(),
            self.control_plane.controllers_log(),
            self.agent_said()
        )
    }
}

/// Tries until it holds or patience ends; gives whether it holds.
pub(crate) fn eventually(holds: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        sleep(Duration::from_millis(200));
    }
    true
}

/// A CNI as a node has it, before the agent comes: one of the reference plugins, with what it needs.
fn install_plugins(cni: &Path, plugin: &str) {
    let (conf, programs) = (cni.join("net.d"), cni.join("bin"));
    for folder in [&conf, &programs] {
        fs::create_dir_all(folder).unwrap();
    }
    let places = ["/usr/lib/cni", "/opt/cni/bin"].map(Path::new);
    let place = places.into_iter().find(|place| place.join(plugin).exists());
    let place = place.expect("the reference plugins are installed: `.ci/setup kubelet`");
    for program in [plugin, "host-local", "loopback"] {
        fs::copy(place.join(program), programs.join(program)).unwrap();
    }
    let list = json!({
        "cniVersion": "1.0.0", "name": "lab",
        "plugins": [{
            "type": plugin,
            // A bridge is the pods' router, too; others pass this over.
            "isGateway": true,
            "ipam": {
                "type": "host-local", "ranges": [[{"subnet": PODS[0]}]], "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    });
    fs::write(conf.join("10-lab.conflist"), list.to_string()).unwrap();
}
