//! Pods that start without an agent (`onFailure: failOpen`): name servers and the node, and nothing else, until their rules
//! are in force. Debian's plugins make the network, packets judge.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nopal_agent::quarantine::lift;
use nopal_agent::topology::Addresses;
use nopal_cni::quarantine::{held, remove};
use nopal_lab::{Lab, patient};
use serde_json::{Value, json};

use crate::chained::lab;
use crate::runtime::{Answer, Call, Chain, PodNamespace, first};
use crate::site::NODE;

const FRIEND: &str = "10.0.1.20";
const PORT: u16 = 9000;
const DNS: u16 = 53;

/// A node without an agent, whose plugin lets pods start in quarantine.
struct Site {
    lab: Lab,
    chain: Chain,
    _ipam: tempfile::TempDir,
}

/// A pod that has started.
struct Pod {
    namespace: PodNamespace,
    call: Call,
    address: IpAddr,
    result: Value,
}

impl Site {
    fn new(prefix: &str, plugin: &str, subnet: &str) -> Self {
        let (lab, ipam) = (lab(prefix), tempfile::tempdir().unwrap());
        let ours = json!({
            "cniVersion": "1.0.0", "name": "lab", "type": "nopal-cni", "timeoutSeconds": 1,
            "socket": ipam.path().join("nobody.sock"), "onFailure": "failOpen",
        });
        let chain = Chain {
            node: lab.node_namespace(NODE).unwrap().clone(),
            first: first(plugin, subnet, &ipam.path().join("ipam")),
            ours,
        };
        Self {
            lab,
            chain,
            _ipam: ipam,
        }
    }

    fn start(&self, name: &str) -> Pod {
        let namespace = PodNamespace::new();
        let mut call = Call::new("ADD", name, &Value::Null);
        call.netns = namespace.path().display().to_string();
        let added = self.chain.add(&call);
        assert!(added.succeeded, "{added:?}");
        assert!(
            added.complaint.contains("it starts in quarantine"),
            "{added:?}"
        );
        let result: Value = serde_json::from_str(&added.text).unwrap();
        let address = result["ips"][0]["address"].as_str().unwrap();
        let address = address.split('/').next().unwrap().parse().unwrap();
        Pod {
            namespace,
            call,
            address,
            result,
        }
    }

    /// Runs our plugin alone.
    fn plugin(&self, call: &Call, verb: &str, config: &Value, path: &str) -> Answer {
        let mut command = Command::new("nsenter");
        let net = format!("--net={}", self.node().display());
        command.args([&net, "env", &format!("PATH={path}")]);
        command.arg(env!("CARGO_BIN_EXE_nopal-cni"));
        call.run_by(command, verb, &config.to_string())
    }

    fn node(&self) -> PathBuf {
        self.chain.node.path()
    }

    fn friend(&self) -> PathBuf {
        self.lab.pod_namespace("shop/friend").unwrap().path()
    }

    /// The pods that are held.
    fn held(&self) -> BTreeSet<String> {
        let all = inside(&self.node(), held).unwrap();
        all.into_values().map(|held| held.pod).collect()
    }

    /// Tells that rules are in force for a pod; gives who stays in quarantine.
    fn in_force(&self, name: &str, address: IpAddr) -> BTreeSet<String> {
        let addresses = Addresses::from([(address, name.to_owned())]);
        inside(&self.node(), || lift(&addresses)).unwrap()
    }
}

/// Works in a network namespace.
pub(crate) fn inside<T: Send>(namespace: &Path, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            setns(File::open(namespace).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        work.join().unwrap()
    })
}

pub(crate) fn socket(namespace: &Path, port: u16) -> UdpSocket {
    let bind = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
    let socket = inside(namespace, bind);
    let patience = Some(Duration::from_millis(50));
    socket.set_read_timeout(patience).unwrap();
    socket
}

/// Whether a datagram from one namespace and port gets to an address and port in the other, of several that are sent.
pub(crate) fn arrives(from: (&Path, u16), to: (&Path, IpAddr, u16)) -> bool {
    let (sender, receiver) = (socket(from.0, from.1), socket(to.0, to.2));
    sends(&sender, &receiver, SocketAddr::new(to.1, to.2)).is_some()
}

/// Sends until it arrives or enough was sent; gives who is seen to have sent it.
pub(crate) fn sends(
    sender: &UdpSocket,
    receiver: &UdpSocket,
    to: SocketAddr,
) -> Option<SocketAddr> {
    let begun = Instant::now();
    let mut sent = 0;
    while sent < 5 || begun.elapsed() < patient(Duration::from_millis(500)) {
        // What the node refuses to route is not sent.
        let _ = sender.send_to(b"x", to);
        sent += 1;
        if let Ok((_, from)) = receiver.recv_from(&mut [0; 4]) {
            return Some(from);
        }
    }
    None
}

/// Whether a question at port 53 gets its answer.
fn resolves(pod: &Path, server: &Path, at: IpAddr) -> bool {
    let (client, server) = (socket(pod, 0), socket(server, DNS));
    let Some(from) = sends(&client, &server, SocketAddr::new(at, DNS)) else {
        return false;
    };
    (0..5).any(|_| {
        server.send_to(b"y", from).unwrap();
        client.recv_from(&mut [0; 4]).is_ok()
    })
}

#[test]
fn a_pod_without_agent_reaches_name_servers_and_its_node_until_its_rules_are_in_force() {
    let site = Site::new("nopalquaptp", "ptp", "10.24.0.0/24");
    let friend: IpAddr = FRIEND.parse().unwrap();
    let friend_at = site.friend();
    let pod = site.start("web");
    let pod_at = pod.namespace.path();
    assert_eq!(site.held(), BTreeSet::from(["shop/web".to_owned()]));

    assert!(
        !arrives((&friend_at, 0), (&pod_at, pod.address, PORT)),
        "nobody reaches it"
    );
    assert!(
        !arrives((&friend_at, DNS), (&pod_at, pod.address, PORT)),
        "no name server unasked"
    );
    assert!(
        !arrives((&pod_at, 0), (&friend_at, friend, PORT)),
        "it reaches nobody"
    );
    assert!(resolves(&pod_at, &friend_at, friend), "but name servers");
    assert!(
        arrives((&site.node(), 0), (&pod_at, pod.address, PORT)),
        "and its node reaches it"
    );

    // Rules in force for another pod at this address are not this pod's.
    let stay = site.in_force("shop/other", pod.address);
    assert_eq!(stay, BTreeSet::from(["shop/web".to_owned()]));
    assert!(!arrives((&friend_at, 0), (&pod_at, pod.address, PORT)));
    assert_eq!(site.in_force("shop/web", pod.address), BTreeSet::new());
    assert!(
        arrives((&friend_at, 0), (&pod_at, pod.address, PORT)),
        "it is let go"
    );
    assert!(arrives((&pod_at, 0), (&friend_at, friend, PORT)));
    site.in_force("shop/web", pod.address);
}

#[test]
fn a_quarantine_ends_with_its_pod() {
    let site = Site::new("nopalquaend", "ptp", "10.25.0.0/24");
    let (one, other) = (site.start("one"), site.start("other"));
    assert_eq!(site.held().len(), 2);
    let ours = &site.chain.ours;
    let deleted = site.plugin(&one.call, "DEL", ours, "/usr/sbin:/usr/bin");
    assert!(deleted.succeeded, "{deleted:?}");
    assert_eq!(site.held(), BTreeSet::from(["shop/other".to_owned()]));

    let mut valid = ours.clone();
    valid["cniVersion"] = json!("1.1.0");
    valid["cni.dev/valid-attachments"] =
        json!([{"containerID": other.call.container, "ifname": "eth0"}]);
    let collected = site.plugin(&other.call, "GC", &valid, "/usr/sbin:/usr/bin");
    assert_eq!(collected.code(), 11, "the agent was not told");
    assert_eq!(site.held().len(), 1, "its container is valid");
    valid["cni.dev/valid-attachments"] = json!([]);
    site.plugin(&other.call, "GC", &valid, "/usr/sbin:/usr/bin");
    assert_eq!(site.held().len(), 0);
    let status = site.plugin(&other.call, "STATUS", &valid, "/usr/sbin:/usr/bin");
    assert!(status.succeeded, "pods can start: {status:?}");

    // Without nft nobody would hold it.
    let mut again = ours.clone();
    again["prevResult"] = other.result.clone();
    let refused = site.plugin(&other.call, "ADD", &again, "/nowhere");
    assert_eq!(refused.code(), 11);
    assert!(refused.text.contains("nft cannot be run"), "{refused:?}");
    let status = site.plugin(&other.call, "STATUS", &valid, "/nowhere");
    assert_eq!(status.code(), 50);

    let held = site.plugin(&other.call, "ADD", &again, "/usr/sbin:/usr/bin");
    assert!(held.succeeded, "{held:?}");
    assert!(inside(&site.node(), remove).unwrap(), "somebody was held");
    assert!(!inside(&site.node(), remove).unwrap());
    assert_eq!(site.held().len(), 0);
}

#[test]
fn a_pod_on_a_bridge_is_held_whether_or_not_the_bridge_calls_netfilter() {
    let site = Site::new("nopalquabr", "bridge", "10.26.0.0/24");
    for (calls_netfilter, names) in [("0", ["a", "b"]), ("1", ["c", "d"])] {
        inside(&site.node(), || {
            let setting = "/proc/sys/net/bridge/bridge-nf-call-iptables";
            std::fs::write(setting, calls_netfilter).unwrap();
        });
        let [one, other] = names.map(|name| site.start(name));
        let to = one.namespace.path();
        let from = other.namespace.path();
        let friend = site.friend();
        site.in_force(&format!("shop/{}", names[1]), other.address);
        let when = format!("bridge-nf-call-iptables {calls_netfilter}");
        assert!(!arrives((&from, 0), (&to, one.address, PORT)), "{when}");
        assert!(!arrives((&to, 0), (&from, other.address, PORT)), "{when}");
        assert!(!arrives((&friend, 0), (&to, one.address, PORT)), "{when}");
        assert!(resolves(&to, &friend, FRIEND.parse().unwrap()), "{when}");
        site.in_force(&format!("shop/{}", names[0]), one.address);
        assert!(arrives((&from, 0), (&to, one.address, PORT)), "{when}");
        assert!(arrives((&to, 0), (&from, other.address, PORT)), "{when}");
    }
}
