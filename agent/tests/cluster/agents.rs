//! The agents on a cluster's nodes: started, asked, and disturbed.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use nft_backend::config::Config;
use nft_backend::kernel::Kernel;
use nft_backend::names::Name;
use nft_backend::nft::Nft;
use nopal_harness::Process;
use nopal_lab::Namespace;
use serde_json::Value;

use crate::cluster::{Cluster, PATIENCE, eventually};
use crate::flows::{address, streams};
use crate::objects::NODES;

/// The agent's program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_nopal-agent");

/// Starts the agent of a node, with its state, log and socket in `folder`, and with further arguments.
pub(crate) fn launch(
    node: &Namespace,
    name: &str,
    kubeconfig: &Path,
    folder: &Path,
    more: &[OsString],
) -> Process {
    launch_by(PROGRAM.as_ref(), node, name, kubeconfig, folder, more)
}

/// The same by another program, which becomes it.
pub(crate) fn launch_by(
    program: &Path,
    node: &Namespace,
    name: &str,
    kubeconfig: &Path,
    folder: &Path,
    more: &[OsString],
) -> Process {
    let option = |option: &str, value: &Path| {
        let mut text = OsString::from(option);
        text.push(value);
        text
    };
    let arguments = [
        OsString::from(format!("--node={name}")),
        option("--kubeconfig=", kubeconfig),
        option("--state-dir=", &folder.join(name)),
        option("--cni-socket=", &socket(folder, name)),
    ];
    let arguments = arguments.iter().chain(more);
    Process::start(node, program, arguments, &log(folder, name)).unwrap()
}

/// What an agent answers to a GET from its node, if it answers.
pub(crate) fn ask(node: &Namespace, path: &str) -> Option<String> {
    let ask = || -> std::io::Result<String> {
        let place: SocketAddr = "127.0.0.1:9470".parse().expect("an address");
        let mut stream = TcpStream::connect(place)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    node.run(ask).unwrap().ok()
}

/// Waits until an agent says that it is ready.
pub(crate) fn await_ready(node: &Namespace, log: &Path) {
    let is_ready = || ask(node, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"));
    let said = || std::fs::read_to_string(log).unwrap_or_default();
    assert!(eventually(is_ready), "an agent is not ready\n{}", said());
}

/// The document of an agent's status.
pub(crate) fn status(node: &Namespace) -> Value {
    let answer = ask(node, "/v1/status").unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// Where an agent that was launched serves the plugin.
pub(crate) fn socket(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.run/cni.sock"))
}

/// What an agent that was launched has said.
pub(crate) fn log(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

impl Cluster {
    /// Starts an agent on every node and waits until the cluster's policies are in force there.
    pub(crate) fn start_agents(&self) -> Vec<Process> {
        let agents = self.launch_agents();
        self.await_ready();
        agents
    }

    /// Starts an agent on every node.
    pub(crate) fn launch_agents(&self) -> Vec<Process> {
        NODES
            .map(|(node, _)| self.launch(node, PROGRAM.as_ref()))
            .into()
    }

    /// Starts one on one node, by a program that becomes it.
    pub(crate) fn launch(&self, node: &str, program: &Path) -> Process {
        let kubeconfig = &self.kubeconfig;
        let folder = self.folder.path();
        let node_address = NODES.iter().find(|(name, _)| *name == node).unwrap().1;
        let status = OsString::from(format!("--status={node_address}"));
        launch_by(
            program,
            self.node(node),
            node,
            kubeconfig,
            folder,
            &[status],
        )
    }

    /// Where the agent of a node keeps its state.
    pub(crate) fn state_dir(&self, node: &str) -> PathBuf {
        self.folder.path().join(node)
    }

    /// Waits until every agent says that it is ready.
    pub(crate) fn await_ready(&self) {
        for (node, _) in NODES {
            await_ready(self.node(node), &log(self.folder.path(), node));
        }
    }

    /// Runs the agent's program on a node, which refuses to work; gives what it says.
    pub(crate) fn refused(&self, node: &str, arguments: &[&str]) -> String {
        let log = self.folder.path().join("refused.log");
        let state = self.folder.path().join(node).into_os_string();
        let arguments = arguments.iter().map(OsString::from);
        let arguments = arguments.chain(["--state-dir".into(), state]);
        let program = Path::new(PROGRAM);
        let mut process = Process::start(self.node(node), program, arguments, &log).unwrap();
        assert!(!process.wait().unwrap(), "{}", process.log());
        process.log()
    }

    /// Runs `nopal-agent cleanup` on every node: no table and no state is left.
    pub(crate) fn clean_up(&self) {
        for (node, _) in NODES {
            let state = self.folder.path().join(node);
            assert!(state.join("rules").exists());
            let log = self.folder.path().join("cleanup.log");
            let program = Path::new(PROGRAM);
            let arguments = ["cleanup".as_ref(), "--state-dir".as_ref(), state.as_path()];
            let mut process = Process::start(self.node(node), program, arguments, &log).unwrap();
            assert!(process.wait().unwrap(), "{}", process.log());
            assert!(!state.exists());
            let nft = Nft::new().in_namespace(self.node(node).path());
            assert_eq!(nft.outline(&Config::default().table), Ok(None));
        }
    }

    /// Waits until the agent tells this of a metric.
    pub(crate) fn metric_is(&self, node: &str, name: &str, value: u64) {
        let line = format!("\n{name} {value}\n");
        let metrics = || self.http(node, "/metrics");
        let is_told = eventually(|| metrics().contains(&line));
        assert!(is_told, "{line}{}\n{}", metrics(), self.log(node));
    }

    /// Waits until the agent's status is as it should be.
    pub(crate) fn status_shows(&self, node: &str, is_right: &dyn Fn(&Value) -> bool) {
        let status = || status(self.node(node));
        assert!(eventually(|| is_right(&status())), "{:#}", status());
    }

    /// The whole answer to a GET from the node itself.
    pub(crate) fn http(&self, node: &str, path: &str) -> String {
        ask(self.node(node), path).unwrap()
    }

    pub(crate) fn cni_socket(&self, node: &str) -> PathBuf {
        socket(self.folder.path(), node)
    }

    /// What the agents of a node have said.
    pub(crate) fn log(&self, node: &str) -> String {
        std::fs::read_to_string(log(self.folder.path(), node)).unwrap_or_default()
    }

    /// Runs the CNI plugin on a node as a runtime does, for a pod that other plugins have given `at`.
    pub(crate) fn plugin(&self, verb: &str, node: &str, namespace: &str, pod: &str, at: &str) {
        let uid = [
            "get",
            "pod",
            pod,
            "-n",
            namespace,
            "-o",
            "jsonpath={.metadata.uid}",
        ];
        let uid = self.control_plane.kubectl(&uid, "").unwrap();
        let config = serde_json::json!({
            "cniVersion": "1.0.0", "name": "lab", "type": "nopal-cni", "timeoutSeconds": 60,
            "socket": self.cni_socket(node),
            "prevResult": {"cniVersion": "1.0.0", "ips": [{"address": format!("{at}/32")}]},
        });
        let input = self.folder.path().join("plugin.json");
        std::fs::write(&input, config.to_string()).unwrap();
        let arguments =
            format!("K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={pod};K8S_POD_UID={uid}");
        let ended = std::process::Command::new(env!("CARGO_BIN_EXE_nopal-cni"))
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", format!("container-of-{pod}"))
            .env(
                "CNI_NETNS",
                self.lab.namespace_of(address(at)).unwrap().path(),
            )
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", arguments)
            .stdin(std::fs::File::open(&input).unwrap())
            .output()
            .unwrap();
        assert!(ended.status.success(), "{ended:?}\n{}", self.log(node));
    }

    /// Takes the tables away, as a boot does.
    pub(crate) fn forget_tables(&self) {
        for (node, _) in NODES {
            let mut nft = Nft::new().in_namespace(self.node(node).path());
            let removed = nopal_agent::dataplane::remove(&mut nft, &Config::default());
            let gone = nopal_agent::dataplane::Removed::Gone;
            assert_eq!(removed.unwrap(), gone, "on {node}");
        }
    }

    /// As a stranger, puts an element into the set of the only isolated pod of the node that lets the denied flow of
    /// [`Cluster::traffic`] in.
    pub(crate) fn open_denied(&self, node: &str) {
        let table = Config::default().table;
        let nft = Nft::new().in_namespace(self.node(node).path());
        let in_force = nft.list(&table).unwrap().unwrap();
        let is_of_class = |name: &str| name.starts_with("i_") && name.contains("_h4_");
        let mut sets = in_force.sets.keys().map(Name::as_str);
        let set = sets.find(|name| is_of_class(name)).unwrap();
        let [_, denied] = streams();
        let (from, port) = (denied.from, denied.port);
        let command = format!("add element inet {table} {set} {{ {from} . udp . {port} }}");
        let run = || Command::new("nft").arg(&command).output();
        let output = self.node(node).run(run).unwrap().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
}
