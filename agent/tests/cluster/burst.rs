//! Two hundred pods that a runtime starts in a burst, while peers that may not come in flood every address from before
//! its interface is there. Each pod is under default deny with one allow. What a container would hear is listened for
//! from the moment at which the runtime starts containers, which is when ADD has returned.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{ScopedJoinHandle, scope, sleep};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nopal_lab::Namespace;
use serde_json::{Value, json};

use crate::agents::socket;
use crate::api::Api;
use crate::cluster::{Cluster, eventually};
use crate::flows::address;
use crate::objects::policy;
use crate::runtime::{Call, PodNamespace, first, ours};

/// How many pods, and how many the runtime starts at a time.
const PODS: usize = 200;
const WORKERS: usize = 8;

/// Where the pods get their addresses, from the second on.
const SUBNET: &str = "10.0.3.0/24";
const PORT: u16 = 9000;

/// Who sends: the one that is let in, one of the same node and one of another.
const FRIEND: &str = "10.0.1.20";
const STRANGERS: [&str; 2] = ["10.0.1.10", "10.0.2.20"];

/// Between two datagrams of a sender to the same address.
const PERIOD: Duration = Duration::from_millis(100);

/// How long all pods listen after the last one has started.
const WATCHED: Duration = Duration::from_secs(1);

/// What a pod's start was like, and what it heard.
struct Heard {
    /// What our plugin took.
    add: Duration,
    /// From the return of ADD to the friend's first datagram, if that came.
    allowed_after: Option<Duration>,
    from_strangers: usize,
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn two_hundred_pods_start_in_a_burst_and_no_denied_packet_gets_in() {
    let mut cluster = Cluster::start("agent-burst");
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    let from_api = json!({
        "podSelector": {"matchLabels": {"app": "burst"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "api"}}}]}],
    });
    cluster.apply(policy("shop", "burst", &from_api));
    let _agents = cluster.start_agents();
    cluster.agrees("before");
    lead_to_node(&cluster);
    let api = Api::new(
        cluster.lab.world_namespace(),
        cluster.control_plane.kubeconfig(),
    );
    let (stop, next, greeted) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let starts: Vec<Heard> = scope(|threads| {
        for from in STRANGERS.into_iter().chain([FRIEND]) {
            let namespace = cluster.lab.namespace_of(address(from)).unwrap();
            let stop = &stop;
            threads.spawn(|| flood(namespace, stop));
        }
        let work = || {
            let mut listeners = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= PODS {
                    return listeners;
                }
                let started = start(&cluster, &api, number);
                listeners.push(threads.spawn(|| started.listen(&greeted, &stop)));
            }
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| threads.spawn(work)).collect();
        let ended: Vec<_> = workers.into_iter().map(ScopedJoinHandle::join).collect();
        eventually(|| greeted.load(Ordering::Relaxed) == PODS);
        sleep(WATCHED);
        stop.store(true, Ordering::Relaxed);
        let listeners = ended.into_iter().flat_map(|listeners| listeners.unwrap());
        listeners.map(|listener| listener.join().unwrap()).collect()
    });
    judge(&cluster, &starts);
}

fn judge(cluster: &Cluster, starts: &[Heard]) {
    assert_eq!(starts.len(), PODS);
    let leaked: usize = starts.iter().map(|start| start.from_strangers).sum();
    assert_eq!(leaked, 0, "{}", cluster.log("node-a"));
    let sorted = |time: fn(&Heard) -> Duration| {
        let mut times: Vec<Duration> = starts.iter().map(time).collect();
        times.sort();
        times
    };
    let adds = sorted(|start| start.add);
    let allowed = sorted(|start| start.allowed_after.expect("an allowed packet is to pass"));
    println!(
        "{PODS} pods, {WORKERS} at a time; nopal-cni ADD p50 {:?}, p99 {:?}; from its return to the first allowed packet \
         p50 {:?}, the longest {:?}",
        adds[PODS / 2],
        adds[PODS * 99 / 100],
        allowed[PODS / 2],
        allowed[PODS - 1]
    );
    // That of the senders one comes through at all is shown by the friend; that the strangers' packets come, by the
    // count of what was denied.
    let metrics = cluster.http("node-a", "/metrics");
    let denied = metrics
        .lines()
        .find_map(|line| line.strip_prefix("nopal_denied_packets_total "));
    let denied: usize = denied.unwrap().parse().unwrap();
    assert!(denied > PODS, "{denied}");
}

/// The world and the other node send to the new pods by way of their node.
fn lead_to_node(cluster: &Cluster) {
    let lead = || {
        let arguments = ["route", "show", "10.0.1.10"];
        let shown = Command::new("ip").args(arguments).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let route = shown.trim().strip_prefix("10.0.1.10 ").unwrap();
        let added = Command::new("ip")
            .args(["route", "add", SUBNET])
            .args(route.split(' '))
            .status();
        assert!(added.unwrap().success(), "{route}");
    };
    cluster.lab.world_namespace().run(lead).unwrap();
}

/// Sends to all addresses in turn, from one port, until `stop`.
fn flood(from: &Namespace, stop: &AtomicBool) {
    let send = || {
        let socket = UdpSocket::bind("0.0.0.0:7000").unwrap();
        while !stop.load(Ordering::Relaxed) {
            for last in 2..=u8::try_from(PODS + 5).unwrap() {
                // Until the pod is there, the node says that it is not.
                let _ = socket.send_to(
                    b"x",
                    SocketAddr::from((Ipv4Addr::new(10, 0, 3, last), PORT)),
                );
            }
            sleep(PERIOD);
        }
    };
    from.run(send).unwrap();
}

/// A pod that has started, and its ear.
struct Started {
    namespace: PodNamespace,
    socket: UdpSocket,
    begun: Instant,
    add: Duration,
}

/// Starts a pod as kubelet and runtime do: it is bound to the node, it is attached, its status is told.
fn start(cluster: &Cluster, api: &Api, number: usize) -> Started {
    let name = format!("burst-{number}");
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name, "labels": {"app": "burst"}},
        "spec": {"nodeName": "node-a", "containers": [{"name": "main", "image": "none"}]},
    });
    let uid = api.apply(&pod)["metadata"]["uid"].clone();
    let uid = uid.as_str().unwrap();
    let namespace = PodNamespace::new();
    let mut call = Call::new("ADD", &name, &Value::Null);
    call.netns = namespace.path().display().to_string();
    call.arguments =
        format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME={name};K8S_POD_UID={uid}");
    let enter = |program: &str| {
        let mut command = Command::new("nsenter");
        let node = cluster.node("node-a").path();
        command
            .arg(format!("--net={}", node.display()))
            .arg(program);
        command
    };
    let data = cluster.folder.path().join("ipam");
    let made = call.run_by(
        enter("/usr/lib/cni/ptp"),
        "ADD",
        &first("ptp", SUBNET, &data).to_string(),
    );
    assert!(made.succeeded, "{made:?}");
    let result: Value = serde_json::from_str(&made.text).unwrap();
    let mut config = ours(&socket(cluster.folder.path(), "node-a"));
    config["prevResult"] = result.clone();
    let begun = Instant::now();
    let added = call.run_by(
        enter(env!("CARGO_BIN_EXE_nopal-cni")),
        "ADD",
        &config.to_string(),
    );
    let add = begun.elapsed();
    assert!(added.succeeded, "{added:?}\n{}", cluster.log("node-a"));
    let socket = listen(&namespace);
    let begun = Instant::now();
    let at = result["ips"][0]["address"].as_str().unwrap();
    let (at, _) = at.split_once('/').unwrap();
    pod["status"] = json!({"phase": "Running", "podIP": at, "podIPs": [{"ip": at}]});
    api.apply(&pod);
    Started {
        namespace,
        socket,
        begun,
        add,
    }
}

fn listen(pod: &PodNamespace) -> UdpSocket {
    let open = || {
        let file = std::fs::File::open(pod.path()).unwrap();
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        UdpSocket::bind(("0.0.0.0", PORT)).unwrap()
    };
    // The thread ends, since there is no way back.
    scope(|threads| threads.spawn(open).join().unwrap())
}

impl Started {
    /// Hears what comes until the end, and says when the friend was heard.
    fn listen(self, greeted: &AtomicUsize, stop: &AtomicBool) -> Heard {
        let pause = Duration::from_millis(100);
        self.socket.set_read_timeout(Some(pause)).unwrap();
        let mut heard = Heard {
            add: self.add,
            allowed_after: None,
            from_strangers: 0,
        };
        while !stop.load(Ordering::Relaxed) {
            let Ok((_, from)) = self.socket.recv_from(&mut [0; 8]) else {
                continue;
            };
            if STRANGERS.map(address).contains(&from.ip()) {
                heard.from_strangers += 1;
            } else if heard.allowed_after.is_none() {
                assert_eq!(from.ip(), address(FRIEND));
                heard.allowed_after = Some(self.begun.elapsed());
                greeted.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(self.namespace);
        heard
    }
}
