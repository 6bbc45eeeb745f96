//! A container runtime, as far as CNI plugins see one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nopal_lab::Namespace;
use serde_json::{Value, json};

/// Where Debian has the plugins.
const PLUGINS: &str = "/usr/lib/cni";

/// How long something may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a plugin said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) succeeded: bool,
    pub(crate) text: String,
    pub(crate) complaint: String,
}

impl Answer {
    /// The error's code; 0 when there is none.
    pub(crate) fn code(&self) -> u64 {
        let value: Value = serde_json::from_str(&self.text).unwrap_or_default();
        assert_eq!(self.succeeded, value["code"].is_null(), "{self:?}");
        value["code"].as_u64().unwrap_or_default()
    }
}

/// One call of `nopal-cni`.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) verb: &'static str,
    pub(crate) container: String,
    pub(crate) netns: String,
    pub(crate) arguments: String,
    pub(crate) config: String,
}

impl Call {
    /// A call for a pod of the namespace `shop`, with this configuration.
    pub(crate) fn new(verb: &'static str, pod: &str, config: &Value) -> Self {
        Self {
            verb,
            container: format!("container-of-{pod}"),
            netns: "/proc/self/ns/net".to_owned(),
            arguments: format!(
                "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME={pod};K8S_POD_UID=uid-{pod}"
            ),
            config: config.to_string(),
        }
    }

    /// Runs the plugin.
    pub(crate) fn run(&self) -> Answer {
        let command = Command::new(env!("CARGO_BIN_EXE_nopal-cni"));
        self.run_by(command, self.verb, &self.config)
    }

    /// Runs another program in its place, such as one that becomes the plugin.
    pub(crate) fn run_by(&self, mut command: Command, verb: &str, config: &str) -> Answer {
        let mut child = command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &self.container)
            .env("CNI_NETNS", &self.netns)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", &self.arguments)
            .env("CNI_PATH", PLUGINS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        // It may end without having read all.
        let _ = input.write_all(config.as_bytes());
        drop(input);
        let output = child.wait_with_output().unwrap();
        Answer {
            succeeded: output.status.success(),
            text: String::from_utf8(output.stdout).unwrap(),
            complaint: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// An empty network namespace for a pod.
#[derive(Debug)]
pub(crate) struct PodNamespace {
    name: String,
}

impl PodNamespace {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nopalcni-{}-pod{number}", std::process::id());
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        Self { name }
    }

    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }
}

impl Drop for PodNamespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

fn ip(arguments: &[&str]) {
    assert!(
        Command::new("ip")
            .args(arguments)
            .status()
            .unwrap()
            .success()
    );
}

/// A node's chain: one of Debian's plugins and `nopal-cni`.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) node: Namespace,
    pub(crate) first: Value,
    pub(crate) ours: Value,
}

impl Chain {
    /// ADD through the whole chain. While the agent says "try again later", our plugin is asked again: the watch may be
    /// behind the runtime by a moment.
    pub(crate) fn add(&self, call: &Call) -> Answer {
        let made = call.run_by(self.enter(&self.program()), "ADD", &self.first.to_string());
        assert!(made.succeeded, "{made:?}");
        let mut ours = self.ours.clone();
        ours["prevResult"] = serde_json::from_str(&made.text).unwrap();
        let begun = Instant::now();
        loop {
            let added = call.run_by(self.enter(&plugin()), "ADD", &ours.to_string());
            if added.succeeded || added.code() != 11 || begun.elapsed() > PATIENCE {
                return added;
            }
        }
    }

    /// CHECK by our plugin, with the result of the ADD.
    pub(crate) fn check(&self, call: &Call, result: &str) -> Answer {
        let mut ours = self.ours.clone();
        ours["prevResult"] = serde_json::from_str(result).unwrap();
        call.run_by(self.enter(&plugin()), "CHECK", &ours.to_string())
    }

    /// DEL through the whole chain, from its end.
    pub(crate) fn delete(&self, call: &Call) {
        let ours = call.run_by(self.enter(&plugin()), "DEL", &self.ours.to_string());
        assert!(ours.succeeded && ours.complaint.is_empty(), "{ours:?}");
        let first = call.run_by(self.enter(&self.program()), "DEL", &self.first.to_string());
        assert!(first.succeeded, "{first:?}");
    }

    fn program(&self) -> PathBuf {
        Path::new(PLUGINS).join(self.first["type"].as_str().unwrap())
    }

    fn enter(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.node.path().display()))
            .arg(program);
        command
    }
}

fn plugin() -> PathBuf {
    env!("CARGO_BIN_EXE_nopal-cni").into()
}

/// The `ptp` or `bridge` plugin with addresses of `subnet`.
pub(crate) fn first(plugin: &str, subnet: &str, data: &Path) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "lab", "type": plugin, "bridge": "cni0", "isGateway": true,
        "ipMasq": false,
        "ipam": {
            "type": "host-local", "dataDir": data,
            "ranges": [[{"subnet": subnet}]], "routes": [{"dst": "0.0.0.0/0"}],
        },
    })
}

/// Our plugin's configuration.
pub(crate) fn ours(socket: &Path) -> Value {
    json!({"cniVersion": "1.0.0", "name": "lab", "type": "nopal-cni", "socket": socket, "timeoutSeconds": 60})
}
