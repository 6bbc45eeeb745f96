//! A cluster for one test: nodes and pods as network namespaces, a real control plane beyond them, agents on the nodes.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nft_backend::config::Config;
use nft_backend::kernel::Kernel;
use nft_backend::names::Name;
use nft_backend::nft::Nft;
use nopal_harness::{ControlPlane, Process};
use nopal_lab::{
    Lab, Namespace, NodeSpec, PodSpec, Probe, ProbeKind, Seen, Stream, Topology, Traffic,
};
use policy_core::testing::Objects;
use policy_core::{Flow, FlowPort, Protocol, Verdict};
use serde_json::Value;
use tempfile::TempDir;

use crate::objects::{self, NODES, PODS, is};

/// The API server's address, outside the cluster, and a client's.
const CONTROL_PLANE: &str = "198.51.100.1";
const CLIENT: &str = "198.51.100.7";

/// The ports that are probed.
const PORTS: [u16; 2] = [5432, 8080];

/// The port of the datagrams that last.
const TRAFFIC_PORT: u16 = 5353;

/// How long a change may take to be in force on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    pub(crate) control_plane: ControlPlane,
    lab: Lab,
    objects: Vec<Value>,
    folder: TempDir,
}

impl Cluster {
    /// Builds it with all namespaces, nodes and pods, and no policy. `prefix` is the test's own.
    pub(crate) fn start(prefix: &str) -> Self {
        Lab::remove_leftovers(prefix).unwrap();
        let lab = Lab::build(&topology(), prefix).unwrap();
        let control_plane = ControlPlane::start(lab.world_namespace(), address(CONTROL_PLANE));
        let mut this = Self {
            control_plane: control_plane.unwrap_or_else(|error| panic!("{error}")),
            lab,
            objects: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        for object in objects::all() {
            this.apply(object);
        }
        this
    }

    /// Starts an agent on every node and waits until the cluster's policies are in force there.
    pub(crate) fn start_agents(&self) -> Vec<Process> {
        let agents = self.launch_agents();
        self.await_ready();
        agents
    }

    /// Starts an agent on every node.
    pub(crate) fn launch_agents(&self) -> Vec<Process> {
        let launch = |(node, at): (&str, &str)| {
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
                "--status".as_ref(),
                at.as_ref(),
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

    /// Works where the API server is, as its clients outside the cluster do.
    pub(crate) fn outside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.lab.world_namespace().run(work).unwrap()
    }

    /// Creates or changes an object, with its status.
    pub(crate) fn apply(&mut self, object: Value) {
        let text = object.to_string();
        let kubectl = |arguments: &[&str]| self.control_plane.kubectl(arguments, &text);
        kubectl(&["apply", "--validate=false", "-f", "-"])
            .unwrap_or_else(|error| panic!("{error}"));
        if object["status"].is_object() {
            let patch = serde_json::json!({"status": object["status"]}).to_string();
            let mut arguments = vec![
                "patch",
                "--subresource=status",
                "--type=merge",
                "-p",
                &patch,
            ];
            let metadata = &object["metadata"];
            arguments.extend([
                object["kind"].as_str().unwrap(),
                metadata["name"].as_str().unwrap(),
            ]);
            if let Some(namespace) = metadata["namespace"].as_str() {
                arguments.extend(["-n", namespace]);
            }
            kubectl(&arguments).unwrap_or_else(|error| panic!("{error}"));
        }
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        let (kind, name) = (
            object["kind"].as_str().unwrap(),
            metadata["name"].as_str().unwrap(),
        );
        self.objects
            .retain(|other| !is(other, kind, namespace, name));
        self.objects.push(object);
    }

    /// Puts a policy where the API server keeps it, past its checks.
    pub(crate) fn store_unchecked(&mut self, mut policy: Value) {
        let metadata = &mut policy["metadata"];
        let path = format!(
            "networkpolicies/{}/{}",
            metadata["namespace"].as_str().unwrap(),
            metadata["name"].as_str().unwrap()
        );
        metadata["uid"] = "5a8d1f6e-0000-4000-8000-000000000001".into();
        metadata["creationTimestamp"] = "2020-01-01T00:00:00Z".into();
        metadata["generation"] = 1.into();
        self.control_plane.store_unchecked(&path, &policy).unwrap();
        self.objects.push(policy);
    }

    /// Waits until a namespace has Events with all these texts, each once.
    pub(crate) fn has_events(&self, namespace: &str, texts: &[&str]) {
        let messages = || -> Vec<String> {
            let arguments = ["get", "events", "-n", namespace, "-o", "json"];
            let list = self.control_plane.kubectl(&arguments, "").unwrap();
            let list: Value = serde_json::from_str(&list).unwrap();
            let message = |event: &Value| event["message"].as_str().unwrap().to_owned();
            list["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(message)
                .collect()
        };
        let has_all = || {
            let messages = messages();
            let once = |text: &&str| {
                messages
                    .iter()
                    .filter(|message| message.contains(text))
                    .count()
                    == 1
            };
            texts.iter().all(once)
        };
        assert!(eventually(has_all), "{:?}", messages());
    }

    /// Changes an object.
    pub(crate) fn change(
        &mut self,
        kind: &str,
        namespace: &str,
        name: &str,
        change: impl Fn(&mut Value),
    ) {
        let object = self
            .objects
            .iter()
            .find(|object| is(object, kind, namespace, name));
        let mut object = object.unwrap().clone();
        change(&mut object);
        self.apply(object);
    }

    /// Deletes an object.
    pub(crate) fn delete(&mut self, kind: &str, namespace: &str, name: &str) {
        let arguments = [
            "delete",
            kind,
            name,
            "-n",
            namespace,
            "--grace-period=0",
            "--force",
        ];
        let deleted = self.control_plane.kubectl(&arguments, "");
        deleted.unwrap_or_else(|error| panic!("{error}"));
        self.objects
            .retain(|object| !is(object, kind, namespace, name));
    }

    /// Sends packets of all flows until they agree with the reference evaluator, and once more then.
    pub(crate) fn agrees(&self, when: &str) {
        let objects = Objects::read(self.objects.clone()).unwrap();
        let reference = objects.reference();
        let flows = flows();
        let probes: Vec<Probe> = flows.iter().map(probe).collect();
        let stop = AtomicBool::new(false);
        let differences = || -> Vec<String> {
            let seen = self.lab.probe(&probes, &stop).unwrap();
            let differs = |(flow, seen): (&Flow, Seen)| {
                let expected = reference.evaluate(flow);
                let found = match seen {
                    Seen::Passed => Verdict::Allow,
                    Seen::Blocked => Verdict::Deny,
                };
                (found != expected).then(|| format!("{flow:?}: {expected:?} is {found:?}"))
            };
            flows.iter().zip(seen).filter_map(differs).collect()
        };
        eventually(|| differences().is_empty());
        let left = differences();
        assert!(
            left.is_empty(),
            "{when}:\n{}\n{}\n{}",
            left.join("\n"),
            self.log("node-a"),
            self.log("node-b")
        );
    }

    /// Datagrams on two flows, of which the reference allows the first and denies the second.
    pub(crate) fn traffic(&self) -> Traffic {
        let objects = Objects::read(self.objects.clone()).unwrap();
        let reference = objects.reference();
        let verdicts = streams().map(|stream| {
            let port = FlowPort::Port(Protocol::Udp, stream.port);
            let (from, to) = (stream.from, stream.to);
            reference.evaluate(&Flow { from, to, port })
        });
        assert_eq!(verdicts, [Verdict::Allow, Verdict::Deny]);
        Traffic::start(&self.lab, &streams(), 400).unwrap()
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

    /// Whether packets get from one address to the other at a port that is probed.
    pub(crate) fn passes(&self, from: &str, to: &str) -> bool {
        let (from, to) = (address(from), address(to));
        let kind = ProbeKind::Tcp(PORTS[0]);
        let probe = Probe { from, to, kind };
        let seen = self.lab.probe(&[probe], &AtomicBool::new(false)).unwrap();
        seen == [Seen::Passed]
    }

    fn cni_socket(&self, node: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{node}.run/cni.sock"))
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

    /// Waits until the agent tells this of a metric.
    pub(crate) fn metric_is(&self, node: &str, name: &str, value: u64) {
        let line = format!("\n{name} {value}\n");
        let metrics = || self.http(node, "/metrics");
        let is_told = eventually(|| metrics().contains(&line));
        assert!(is_told, "{line}{}\n{}", metrics(), self.log(node));
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

    /// The version of an object in the API server.
    pub(crate) fn version_of(&self, kind: &str, namespace: &str, name: &str) -> u64 {
        let arguments = [
            "get",
            kind,
            name,
            "-n",
            namespace,
            "-o",
            "jsonpath={.metadata.resourceVersion}",
        ];
        let text = self.control_plane.kubectl(&arguments, "").unwrap();
        text.parse().unwrap()
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

    fn node(&self, name: &str) -> &Namespace {
        self.lab.node_namespace(name).unwrap()
    }

    /// What the agents of a node have said.
    pub(crate) fn log(&self, node: &str) -> String {
        let path = self.folder.path().join(format!("{node}.log"));
        std::fs::read_to_string(path).unwrap_or_default()
    }
}

/// Ends datagrams of [`Cluster::traffic`]: none of the first may be lost, and none of the second may have arrived.
pub(crate) fn stop(traffic: Traffic) {
    let counted = traffic.stop();
    let [allowed, denied] = counted[..] else {
        panic!("two streams were started");
    };
    assert!(allowed.sent > 100 && denied.sent > 100, "{counted:?}");
    assert_eq!(allowed.received, allowed.sent, "lost on the allowed flow");
    assert_eq!(denied.received, 0, "leaked on the denied flow");
}

/// Ends datagrams of [`Cluster::traffic`], during which the rules were missing for moments: none of the first may be
/// lost, and of the second what came in through a gap does not go on.
pub(crate) fn stop_after_gaps(traffic: Traffic) {
    sleep(Duration::from_secs(4));
    let counted = traffic.stop();
    let [allowed, denied] = counted[..] else {
        panic!("two streams were started");
    };
    assert!(denied.sent > 500, "{counted:?}");
    assert_eq!(allowed.received, allowed.sent, "lost on the allowed flow");
    assert!(denied.received < denied.sent / 2, "{counted:?}");
}

fn topology() -> Topology {
    let node = |(name, at): (&str, &str)| NodeSpec {
        name: name.to_owned(),
        addresses: vec![address(at)],
    };
    let pod = |(namespace, name, node, at): (&str, &str, &str, &str)| PodSpec {
        name: format!("{namespace}/{name}"),
        node: node.to_owned(),
        addresses: vec![address(at)],
    };
    Topology {
        nodes: NODES.map(node).into(),
        pods: PODS.map(pod).into(),
        externals: vec![address(CONTROL_PLANE), address(CLIENT)],
    }
}

/// From every pod and an outside client to every pod.
fn flows() -> Vec<Flow> {
    let pods = PODS.map(|(_, _, _, at)| address(at));
    let mut flows = Vec::new();
    for from in pods.into_iter().chain([address(CLIENT)]) {
        for to in pods.into_iter().filter(|to| *to != from) {
            let tcp = |port| FlowPort::Port(Protocol::Tcp, port);
            let udp = FlowPort::Port(Protocol::Udp, PORTS[0]);
            let ports = PORTS.map(tcp).into_iter().chain([udp, FlowPort::Other]);
            flows.extend(ports.map(|port| Flow { from, to, port }));
        }
    }
    flows
}

fn probe(flow: &Flow) -> Probe {
    let kind = match flow.port {
        FlowPort::Port(Protocol::Tcp, port) => ProbeKind::Tcp(port),
        FlowPort::Port(Protocol::Udp, port) => ProbeKind::Udp(port),
        FlowPort::Port(Protocol::Sctp, port) => ProbeKind::Sctp(port),
        FlowPort::Other => ProbeKind::Echo,
    };
    Probe {
        from: flow.from,
        to: flow.to,
        kind,
    }
}

fn streams() -> [Stream; 2] {
    let stream = |from: &str, to: &str| Stream {
        from: address(from),
        to: address(to),
        port: TRAFFIC_PORT,
    };
    [
        stream("10.0.1.20", "10.0.2.10"),
        stream("10.0.1.10", "10.0.2.10"),
    ]
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Tries until it holds or patience ends; gives whether it holds.
fn eventually(holds: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if begun.elapsed() > PATIENCE {
            return false;
        }
        sleep(Duration::from_millis(200));
    }
}
