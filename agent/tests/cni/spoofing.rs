//! A pod that the runtime has started cannot send with another pod's address, from the first instant: its interface is known
//! by the CNI plugin. Debian's plugins make the network, packets judge.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use nft_backend::nft::Nft;
use nopal_agent::kind::Kind;
use nopal_agent::spoofing::Spoofing;
use serde_json::Value;

use crate::chained::lab;
use crate::datagrams::{inside, sends};
use crate::runtime::{Call, Chain, PodNamespace, first, ours};
use crate::site::{NODE, Site, pod};

const FRIEND: &str = "10.0.1.20";
/// The address that is forged.
const STRANGER: &str = "10.0.1.10";
const PORT: u16 = 9000;

/// Whether a datagram of the pod with this source gets to the friend.
fn gets_through(pod: &PodNamespace, from: &str, friend: &UdpSocket) -> bool {
    let from: IpAddr = from.parse().unwrap();
    let bind = || UdpSocket::bind((from, 0)).unwrap();
    let sender = inside(&pod.path(), bind);
    let to = SocketAddr::new(FRIEND.parse().unwrap(), PORT);
    let seen = sends(&sender, friend, to);
    assert!(seen.is_none_or(|seen| seen.ip() == from));
    seen.is_some()
}

fn a_started_pod_cannot_forge(prefix: &str, plugin: &str, subnet: &str) {
    let lab = lab(prefix);
    let node = lab.node_namespace(NODE).unwrap();
    let spoofing = Spoofing::new(Nft::new().in_namespace(node.path()));
    let site = Site::guarding(Some(node), Vec::new(), Some(spoofing));
    let friend = lab.pod_namespace("shop/friend").unwrap();
    let friend = friend
        .run(|| UdpSocket::bind(("0.0.0.0", PORT)).unwrap())
        .unwrap();
    friend
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let chain = Chain {
        node: node.clone(),
        first: first(plugin, subnet, &site.folder.path().join("ipam")),
        ours: ours(&site.socket()),
    };
    site.tell(Kind::Pods, vec![pod("web", "web", &[])], false);
    let namespace = PodNamespace::new();
    let mut call = Call::new("ADD", "web", &Value::Null);
    call.netns = namespace.path().display().to_string();
    let added = chain.add(&call);
    assert!(added.succeeded, "{added:?}");
    let result: Value = serde_json::from_str(&added.text).unwrap();
    let own = result["ips"][0]["address"]
        .as_str()
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    inside(&namespace.path(), || {
        let forged = format!("{STRANGER}/32");
        let mut command = Command::new("ip");
        let added = command
            .args(["address", "add", &forged, "dev", "lo"])
            .status();
        assert!(added.unwrap().success());
    });
    assert!(gets_through(&namespace, own, &friend), "its own address");
    assert!(!gets_through(&namespace, STRANGER, &friend), "another's");
    // Without the tables it gets through: it was they who dropped it.
    let nft = |family: &str| {
        let run = || {
            Command::new("nft")
                .args(["delete", "table", family, "nopal_spoofing"])
                .status()
        };
        assert!(node.run(run).unwrap().unwrap().success());
    };
    nft("inet");
    nft("bridge");
    assert!(
        gets_through(&namespace, STRANGER, &friend),
        "nothing guards it"
    );
    chain.delete(&call);
}

#[test]
fn a_pod_behind_ptp_cannot_forge_its_source() {
    a_started_pod_cannot_forge("nopalforgeptp", "ptp", "10.27.0.0/24");
}

#[test]
fn a_pod_behind_a_bridge_cannot_forge_its_source() {
    a_started_pod_cannot_forge("nopalforgebr", "bridge", "10.28.0.0/24");
}
