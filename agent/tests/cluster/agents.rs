//! The agents on a cluster's nodes: started, asked, and disturbed.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use nft_backend::config::Config;
use nft_backend::kernel::Kernel;
use nft_backend::names::Name;
use nft_backend::nft::Nft;
use nopal_harness::Process;
use serde_json::Value;

use crate::cluster::{Cluster, PATIENCE, eventually};
use crate::flows::{address, streams};
use crate::objects::NODES;

impl Cluster {
    /// Starts an agent on every node and waits until the cluster's policies are in force there.
    pub(crate) fn start_agents(&self) -> Vec<Process> {
        let agents = self.launch_agents();
        self.await_ready();
        agents
    }

    /// Starts an agent on every node.
    pub(crate) fn launch_agents(&self) -> Vec<Process> {
        let launch = |(node, _): (&str, &str)| {
            let state = self.folder.path().join(node);
            let log = self.folder.path().join(format!("{node}.log"));
            let socket = self.cni_socket(node);
            let arguments = [
                "--node".as_ref(),
                node.as_ref(),
                "--kubeconfig".as_ref(),
                self.control_plane.kubeconfig(),
                "--state-dir".as_ref(),
                state.as_path(),
                "--cni-socket".as_ref(),
                socket.as_path(),
            ];
            let program = Path::new(env!("CARGO_BIN_EXE_nopal-agent"));
            Process::start(self.node(node), program, arguments, &log).unwrap()
        };
        NODES.map(launch).into()
    }

    /// Waits until every agent says that it is ready.
    pub(crate) fn await_ready(&self) {
        for (node, _) in NODES {
            let is_ready = || {
                let answer = self.try_http(node, "/readyz");
                answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
            };
            assert!(
                eventually(is_ready),
                "the agent of {node} is not ready\n{}",
                self.log(node)
            );
        }
    }

    /// Runs the agent's program on a node, which refuses to work; gives what it says.
    pub(crate) fn refused(&self, node: &str, arguments: &[&str]) -> String {
        let log = self.folder.path().join("refused.log");
        let state = self.folder.path().join(node).into_os_string();
        let arguments = arguments.iter().map(OsString::from);
        let arguments = arguments.chain(["--state-dir".into(), state]);
        let program = Path::new(env!("CARGO_BIN_EXE_nopal-agent"));
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
            let program = Path::new(env!("CARGO_BIN_EXE_nopal-agent"));
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
        let status = || {
            let answer = self.http(node, "/v1/status");
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            serde_json::from_str::<Value>(body).unwrap()
        };
        assert!(eventually(|| is_right(&status())), "{:#}", status());
    }

    /// The whole answer to a GET from the node itself.
    pub(crate) fn http(&self, node: &str, path: &str) -> String {
        self.try_http(node, path).unwrap()
    }

    fn try_http(&self, node: &str, path: &str) -> Option<String> {
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
        self.node(node).run(ask).unwrap().ok()
    }

    fn cni_socket(&self, node: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{node}.run/cni.sock"))
    }

    /// What the agents of a node have said.
    pub(crate) fn log(&self, node: &str) -> String {
        let path = self.folder.path().join(format!("{node}.log"));
        std::fs::read_to_string(path).unwrap_or_default()
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
            assert!(removed.unwrap(), "there was a table on {node}");
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
