//! The whole chain in a lab: Debian's plugins make the network, ours puts the rules in force, packets judge.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nopal_agent::kind::Kind;
use nopal_lab::{Lab, Namespace, NodeSpec, PodSpec, Topology};
use policy_core::Event;
use serde_json::{Value, json};

use crate::runtime::{Call, Chain, PATIENCE, PodNamespace, first, ours};
use crate::site::{NODE, Site, pod, policy};

pub(crate) const FRIEND: &str = "10.0.1.20";
pub(crate) const FRIEND6: &str = "fd00:10:0:1::20";
const STRANGER: &str = "10.0.1.10";
const PORT: u16 = 9000;

/// How many pods are started in a row.
const PODS: u8 = 12;

/// How long packets of both senders are looked for in a pod that has started.
const WATCHED: Duration = Duration::from_millis(200);

/// A node with two pods beside the ones that the runtime starts.
pub(crate) fn lab(prefix: &str) -> Lab {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let sender = |name: &str, at: [&str; 2]| PodSpec {
        name: format!("shop/{name}"),
        node: NODE.to_owned(),
        addresses: at.map(address).into(),
    };
    let topology = Topology {
        nodes: vec![NodeSpec {
            name: NODE.to_owned(),
            addresses: vec![address("192.168.0.11"), address("fd00:192::11")],
        }],
        pods: vec![
            sender("friend", [FRIEND, FRIEND6]),
            sender("stranger", [STRANGER, "fd00:10:0:1::10"]),
        ],
        externals: vec![address("198.51.100.7")],
    };
    Lab::remove_leftovers(prefix).unwrap();
    Lab::build(&topology, prefix).unwrap()
}

/// Default deny for pods with `app: web`, and one allow.
fn policies() -> Vec<Event> {
    let web = json!({"matchLabels": {"app": "web"}});
    let friend = json!([{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}]);
    vec![
        policy(
            "deny",
            &json!({"podSelector": web, "policyTypes": ["Ingress"]}),
        ),
        policy("allow", &json!({"podSelector": web, "ingress": friend})),
    ]
}

fn senders() -> Vec<Event> {
    vec![
        pod("friend", "friend", &[FRIEND]),
        pod("stranger", "stranger", &[STRANGER]),
    ]
}

/// Sends to all of `subnet`'s first addresses in turn, from one port, until `stop`.
fn flood(from: &Namespace, subnet: [u8; 3], stop: &AtomicBool) {
    let [a, b, c] = subnet;
    let send = || {
        let socket = UdpSocket::bind("0.0.0.0:7000").unwrap();
        while !stop.load(Ordering::Relaxed) {
            for last in 2..PODS + 4 {
                let to = SocketAddr::from((Ipv4Addr::new(a, b, c, last), PORT));
                // Until the pod is there, the node says that it is not.
                let _ = socket.send_to(b"x", to);
            }
            sleep(Duration::from_micros(500));
        }
    };
    from.run(send).unwrap();
}

/// What comes to a pod from now on: packets of the friend and of the stranger. Waits for the first one that is expected.
fn received(pod: &PodNamespace, expects_stranger: bool) -> (usize, usize) {
    let count = || {
        enter(pod);
        let socket = UdpSocket::bind(("0.0.0.0", PORT)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let (mut friend, mut stranger) = (0, 0);
        let begun = Instant::now();
        let is_enough =
            |friend: usize, stranger: usize| friend > 0 && (stranger > 0 || !expects_stranger);
        while begun.elapsed() < WATCHED
            || (!is_enough(friend, stranger) && begun.elapsed() < PATIENCE)
        {
            let Ok((_, from)) = socket.recv_from(&mut [0; 8]) else {
                continue;
            };
            match from.ip().to_string().as_str() {
                FRIEND => friend += 1,
                STRANGER => stranger += 1,
                other => panic!("nobody sends from {other}"),
            }
        }
        (friend, stranger)
    };
    std::thread::scope(|scope| scope.spawn(count).join().unwrap())
}

/// Moves the thread, which ends soon, into the pod.
fn enter(pod: &PodNamespace) {
    let file = std::fs::File::open(pod.path()).unwrap();
    setns(file, CloneFlags::CLONE_NEWNET).unwrap();
}

fn chain(site: &Site, lab: &Lab, plugin: &str, subnet: &str) -> Chain {
    Chain {
        node: lab.node_namespace(NODE).unwrap().clone(),
        first: first(plugin, subnet, &site.folder.path().join("ipam")),
        ours: ours(&site.socket()),
    }
}

/// Starts pods one after the other while both senders flood. Whoever is denied is never heard in a pod that has
/// started; whoever is allowed is. Pods without a policy hear both, which shows that the stranger's packets come.
fn pods_start_protected(prefix: &str, plugin: &str, subnet: &str, start: [u8; 3]) {
    let lab = lab(prefix);
    let site = Site::start(Some(lab.node_namespace(NODE).unwrap()), policies());
    site.tell(Kind::Pods, senders(), false);
    let chain = chain(&site, &lab, plugin, subnet);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for sender in ["shop/friend", "shop/stranger"] {
            let namespace = lab.pod_namespace(sender).unwrap();
            scope.spawn(|| flood(namespace, start, &stop));
        }
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 0..PODS {
                let is_open = number % 4 == 3;
                let app = if is_open { "open" } else { "web" };
                start_one(&site, &chain, &format!("p{number}"), app);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        judged.unwrap();
    });
}

fn start_one(site: &Site, chain: &Chain, name: &str, app: &str) {
    // As kubelet and agent learn of it: without an address.
    site.tell(Kind::Pods, vec![pod(name, app, &[])], false);
    let namespace = PodNamespace::new();
    let mut call = Call::new("ADD", name, &Value::Null);
    call.netns = namespace.path().display().to_string();
    let added = chain.add(&call);
    assert!(added.succeeded, "{added:?}");
    let is_open = app == "open";
    let (friend, stranger) = received(&namespace, is_open);
    assert!(friend > 0, "{name}: an allowed packet is to pass");
    assert_eq!(
        stranger > 0,
        is_open,
        "{name}: {stranger} packets of the stranger"
    );
    let checked = chain.check(&call, &added.text);
    assert!(checked.succeeded, "{checked:?}");
    if name == "p0" {
        chain.delete(&call);
        assert_eq!(chain.check(&call, &added.text).code(), 3);
    }
}

#[test]
fn pods_behind_ptp_start_protected_under_a_flood() {
    pods_start_protected("nopalcniptp", "ptp", "10.22.0.0/24", [10, 22, 0]);
}

#[test]
fn pods_behind_a_bridge_start_protected_under_a_flood() {
    pods_start_protected("nopalcnibr", "bridge", "10.23.0.0/24", [10, 23, 0]);
}
