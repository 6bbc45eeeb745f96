//! What starts and stops the pods of a node: the sandbox's part of a kubelet and its container runtime, by the CNI
//! specification. A pod that is bound gets ADD of each plugin of the node's list, in order, and then a status with the
//! addresses; DEL goes through the list from its end.

use std::ffi::OsString;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use nopal_harness::ControlPlane;
use nopal_lab::Namespace;
use serde_json::{Value, json};

use crate::cluster::eventually;
use crate::runtime::{Answer, Call, PATIENCE};

/// Where Debian and where Kubernetes put plugins.
const PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// The error by which a plugin asks to be called again later (CNI specification, section 5).
const TRY_AGAIN: u64 = 11;

/// How the pods of a node are attached.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) node: &'static str,
    /// The node's addresses, IPv4 first, as with the following.
    pub(super) addresses: [&'static str; 2],
    /// The plugin that attaches pods.
    pub(super) plugin: &'static str,
    /// The networks that pods' addresses are taken from.
    pub(super) pods: [&'static str; 2],
}

/// The kubelet of a node.
#[derive(Debug)]
pub(super) struct Kubelet {
    pub(super) network: &'static Network,
    pub(super) namespace: Namespace,
    conf_dir: PathBuf,
    bin_dir: PathBuf,
    /// Calls and the last plugin's results of running pods, for the DEL.
    sandboxes: PathBuf,
}

impl Kubelet {
    /// Writes the node's list of plugins, as a CNI does. Files are put into `folder`.
    pub(super) fn new(network: &'static Network, namespace: &Namespace, folder: &Path) -> Self {
        let of_node = |name: &str| folder.join(format!("{}.{name}", network.node));
        let this = Self {
            network,
            namespace: namespace.clone(),
            conf_dir: of_node("net.d"),
            bin_dir: of_node("bin"),
            sandboxes: of_node("sandboxes"),
        };
        fs::create_dir(&this.conf_dir).unwrap();
        fs::create_dir(&this.sandboxes).unwrap();
        let range = |subnet| json!([{"subnet": subnet}]);
        let list = json!({
            "cniVersion": "1.0.0", "name": "pods",
            "plugins": [
                {
                    "type": network.plugin, "ipMasq": false,
                    "bridge": "cni0", "isGateway": true, "hairpinMode": true,
                    "ipam": {
                        "type": "host-local", "dataDir": of_node("addresses"),
                        "ranges": network.pods.map(range),
                        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        });
        fs::write(this.list(), list.to_string()).unwrap();
        this
    }

    /// The options by which the node's agent installs its plugin here.
    pub(super) fn agent_options(&self) -> [OsString; 2] {
        let option = |option: &str, place: &Path| {
            let mut text = OsString::from(option);
            text.push(place);
            text
        };
        [
            option("--cni-conf-dir=", &self.conf_dir),
            option("--cni-bin-dir=", &self.bin_dir),
        ]
    }

    /// Waits until the agent has put its plugin into the list.
    pub(super) fn await_plugin(&self) {
        let is_there = || self.plugins().iter().any(|(kind, _)| kind == "nopal-cni");
        assert!(eventually(is_there), "{:?}", self.plugins());
    }

    /// Starts a pod that is bound here, in its empty namespace; gives its addresses, IPv4 first.
    pub(super) fn start(
        &self,
        pod: &Value,
        place: &Namespace,
        control_plane: &ControlPlane,
    ) -> [IpAddr; 2] {
        let metadata = |field: &str| pod["metadata"][field].as_str().unwrap();
        let (namespace, name) = (metadata("namespace"), metadata("name"));
        let sandbox = Call {
            verb: "ADD",
            container: format!("sandbox-{}", metadata("uid")),
            netns: place.path().display().to_string(),
            arguments: format!(
                "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_UID={}",
                metadata("uid")
            ),
            config: String::new(),
        };
        let mut result = Value::Null;
        for (kind, config) in self.plugins() {
            let answer = self.add(&sandbox, &kind, &with_result(config, &result));
            result = serde_json::from_str(&answer.text).unwrap();
        }
        let sandbox = json!({
            "container": sandbox.container, "netns": sandbox.netns, "arguments": sandbox.arguments, "result": result,
        });
        fs::write(self.sandbox(namespace, name), sandbox.to_string()).unwrap();
        let addresses = addresses(&result);
        self.report(control_plane, namespace, name, addresses);
        addresses
    }

    /// Stops a pod.
    pub(super) fn stop(&self, pod: &str) {
        let (namespace, name) = pod.split_once('/').unwrap();
        let text = fs::read_to_string(self.sandbox(namespace, name)).unwrap();
        let sandbox: Value = serde_json::from_str(&text).unwrap();
        let field = |field: &str| sandbox[field].as_str().unwrap().to_owned();
        let call = Call {
            verb: "DEL",
            container: field("container"),
            netns: field("netns"),
            arguments: field("arguments"),
            config: String::new(),
        };
        for (kind, config) in self.plugins().into_iter().rev() {
            let config = with_result(config, &sandbox["result"]);
            let answer = call.run_by(self.enter(&kind), "DEL", &config);
            assert!(answer.succeeded, "{kind}: {answer:?}");
        }
    }

    /// ADD of one plugin, again while it says so.
    fn add(&self, sandbox: &Call, kind: &str, config: &str) -> Answer {
        let begun = Instant::now();
        loop {
            let answer = sandbox.run_by(self.enter(kind), "ADD", config);
            if answer.succeeded {
                return answer;
            }
            let is_patient = answer.code() == TRY_AGAIN && begun.elapsed() < PATIENCE;
            assert!(is_patient, "{kind} on {}: {answer:?}", self.network.node);
        }
    }

    /// Tells the API server that a pod runs.
    fn report(
        &self,
        control_plane: &ControlPlane,
        namespace: &str,
        name: &str,
        addresses: [IpAddr; 2],
    ) {
        let ips = |addresses: &[String]| -> Vec<Value> {
            addresses.iter().map(|ip| json!({"ip": ip})).collect()
        };
        let (pod, host) = (
            addresses.map(|ip| ip.to_string()),
            self.network.addresses.map(str::to_owned),
        );
        let status = json!({"status": {
            "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "podIP": pod[0], "podIPs": ips(&pod), "hostIP": host[0], "hostIPs": ips(&host),
        }});
        let status = status.to_string();
        let arguments = [
            "patch",
            "pod",
            name,
            "-n",
            namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ];
        let patched = control_plane.kubectl(&arguments, "");
        patched.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The plugins of the list with their configurations, as the specification derives them from it (section 3).
    fn plugins(&self) -> Vec<(String, Value)> {
        let text = fs::read_to_string(self.list()).unwrap();
        let list: Value = serde_json::from_str(&text).unwrap();
        let plugin = |plugin: &Value| {
            let mut config = plugin.clone();
            config["cniVersion"] = list["cniVersion"].clone();
            config["name"] = list["name"].clone();
            (plugin["type"].as_str().unwrap().to_owned(), config)
        };
        list["plugins"]
            .as_array()
            .unwrap()
            .iter()
            .map(plugin)
            .collect()
    }

    fn list(&self) -> PathBuf {
        self.conf_dir.join("10-pods.conflist")
    }

    fn sandbox(&self, namespace: &str, name: &str) -> PathBuf {
        self.sandboxes.join(format!("{namespace}.{name}"))
    }

    /// A plugin in the node's namespace.
    fn enter(&self, kind: &str) -> Command {
        let places = PLUGINS.map(Path::new);
        let mut places = [self.bin_dir.as_path()].into_iter().chain(places);
        let program = places.find_map(|place| Some(place.join(kind)).filter(|path| path.exists()));
        let program = program.unwrap_or_else(|| panic!("there is no CNI plugin {kind}"));
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.namespace.path().display()))
            .arg(program);
        command
    }
}

fn with_result(mut config: Value, result: &Value) -> String {
    if !result.is_null() {
        config["prevResult"] = result.clone();
    }
    config.to_string()
}

fn addresses(result: &Value) -> [IpAddr; 2] {
    let address = |ip: &Value| -> IpAddr {
        let (address, _) = ip["address"].as_str().unwrap().split_once('/').unwrap();
        address.parse().unwrap()
    };
    let mut addresses: Vec<IpAddr> = result["ips"]
        .as_array()
        .unwrap()
        .iter()
        .map(address)
        .collect();
    addresses.sort_unstable();
    match addresses[..] {
        [v4 @ IpAddr::V4(_), v6 @ IpAddr::V6(_)] => [v4, v6],
        _ => panic!("a pod gets an address of each family, not {addresses:?}"),
    }
}
