//! Pods that start without an agent (`onFailure: failOpen`): name servers and the node, and nothing else, until their rules
//! are in force; over IPv4, over IPv6, and where a pod has both. Debian's plugins make the network, packets judge.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use nopal_agent::quarantine::lift;
use nopal_agent::topology::{Addresses, Holder};
use nopal_cni::quarantine::{held, remove};
use nopal_lab::Lab;
use serde_json::{Value, json};

use crate::chained::{FRIEND, FRIEND6, lab};
use crate::datagrams::{DNS, arrives, inside, resolves};
use crate::runtime::{Answer, Call, Chain, PodNamespace, first};
use crate::site::NODE;

const PORT: u16 = 9000;

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
    addresses: Vec<IpAddr>,
    result: Value,
}

impl Site {
    /// Its pods get an address of each of these networks.
    fn new(prefix: &str, plugin: &str, subnets: &[&str]) -> Self {
        let (lab, ipam) = (lab(prefix), tempfile::tempdir().unwrap());
        let ours = json!({
            "cniVersion": "1.0.0", "name": "lab", "type": "nopal-cni", "timeoutSeconds": 1,
            "socket": ipam.path().join("nobody.sock"), "onFailure": "failOpen",
        });
        let mut first = first(plugin, subnets[0], &ipam.path().join("ipam"));
        let range = |subnet: &&str| json!([{"subnet": subnet}]);
        first["ipam"]["ranges"] = subnets.iter().map(range).collect();
        first["ipam"]["routes"] = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
        let chain = Chain {
            node: lab.node_namespace(NODE).unwrap().clone(),
            first,
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
        let address = |ip: &Value| {
            let written = ip["address"].as_str().unwrap();
            written.split('/').next().unwrap().parse().unwrap()
        };
        let addresses = result["ips"].as_array().unwrap().iter().map(address);
        Pod {
            namespace,
            call,
            addresses: addresses.collect(),
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

    /// Tells that rules are in force for the pod of this name that was started; gives who stays in quarantine.
    fn in_force(&self, name: &str, addresses: &[IpAddr]) -> BTreeSet<String> {
        self.in_force_for(name, &format!("uid-{name}"), addresses)
    }

    /// The same for a pod of this uid.
    fn in_force_for(&self, name: &str, uid: &str, addresses: &[IpAddr]) -> BTreeSet<String> {
        let holder = Holder {
            pod: format!("shop/{name}"),
            uid: uid.to_owned(),
        };
        let told = addresses.iter().map(|at| (*at, holder.clone()));
        let told: Addresses = told.collect();
        inside(&self.node(), || lift(&told)).unwrap()
    }
}

/// The friend's address of the same family.
fn friend_of(address: IpAddr) -> IpAddr {
    let friend = if address.is_ipv4() { FRIEND } else { FRIEND6 };
    friend.parse().unwrap()
}

/// What a pod in quarantine may at each of its addresses, and what not.
fn is_held(site: &Site, pod: &Pod, addresses: &[IpAddr]) {
    let (pod_at, friend_at) = (pod.namespace.path(), site.friend());
    for &address in addresses {
        let friend = friend_of(address);
        assert!(
            !arrives((&friend_at, 0), (&pod_at, address, PORT)),
            "nobody reaches {address}"
        );
        assert!(
            !arrives((&friend_at, DNS), (&pod_at, address, PORT)),
            "no name server unasked reaches {address}"
        );
        assert!(
            !arrives((&pod_at, 0), (&friend_at, friend, PORT)),
            "{address} reaches nobody"
        );
        assert!(
            resolves(&pod_at, &friend_at, friend),
            "but name servers: {address}"
        );
        assert!(
            arrives((&site.node(), 0), (&pod_at, address, PORT)),
            "and its node reaches {address}"
        );
        assert!(
            arrives((&pod_at, 0), (&site.node(), node_of(address), PORT)),
            "and {address} its node"
        );
    }
}

/// That of the node.
fn node_of(address: IpAddr) -> IpAddr {
    let node = if address.is_ipv4() {
        "192.168.0.11"
    } else {
        "fd00:192::11"
    };
    node.parse().unwrap()
}

/// Whether everything gets through at these addresses.
fn is_free(site: &Site, pod: &Pod, addresses: &[IpAddr]) {
    let (pod_at, friend_at) = (pod.namespace.path(), site.friend());
    for &address in addresses {
        let friend = friend_of(address);
        let when = format!("{address} is let go");
        assert!(arrives((&friend_at, 0), (&pod_at, address, PORT)), "{when}");
        assert!(arrives((&pod_at, 0), (&friend_at, friend, PORT)), "{when}");
    }
}

#[test]
fn a_pod_without_agent_reaches_name_servers_and_its_node_until_its_rules_are_in_force() {
    let (v4, v6) = ("10.24.0.0/24", "fd00:24::/64");
    for subnets in [&[v4][..], &[v6], &[v4, v6]] {
        let site = Site::new("nopalquaptp", "ptp", subnets);
        let pod = site.start("web");
        assert_eq!(pod.addresses.len(), subnets.len());
        let web = BTreeSet::from(["shop/web".to_owned()]);
        assert_eq!(site.held(), web);
        is_held(&site, &pod, &pod.addresses);

        // Rules in force for another pod at these addresses are not this pod's.
        assert_eq!(site.in_force("other", &pod.addresses), web);
        is_held(&site, &pod, &pod.addresses);
        // An address is let go by itself.
        let (first, rest) = pod.addresses.split_at(1);
        let stay = site.in_force("web", first);
        assert_eq!(stay.is_empty(), rest.is_empty());
        is_free(&site, &pod, first);
        is_held(&site, &pod, rest);
        assert_eq!(site.in_force("web", &pod.addresses), BTreeSet::new());
        is_free(&site, &pod, &pod.addresses);
        site.in_force("web", &pod.addresses);
    }
}

#[test]
fn a_pod_that_was_made_anew_under_its_name_is_another_one() {
    let site = Site::new("nopalquauid", "ptp", &["10.27.0.0/24"]);
    let pod = site.start("web");
    let web = BTreeSet::from(["shop/web".to_owned()]);
    // What is in force is for the pod of this name that was before, or for one whose uid nobody knows.
    for uid in ["uid-before", ""] {
        assert_eq!(site.in_force_for("web", uid, &pod.addresses), web);
        is_held(&site, &pod, &pod.addresses);
    }
    // The next sandbox at the address is the pod's that came after it.
    let mut again = pod.call.clone();
    again.arguments = again.arguments.replace("uid-web", "uid-after");
    let mut ours = site.chain.ours.clone();
    ours["prevResult"] = pod.result.clone();
    let held = site.plugin(&again, "ADD", &ours, "/usr/sbin:/usr/bin");
    assert!(held.succeeded, "{held:?}");
    assert_eq!(site.in_force("web", &pod.addresses), web);
    assert_eq!(
        site.in_force_for("web", "uid-after", &pod.addresses),
        BTreeSet::new()
    );
    is_free(&site, &pod, &pod.addresses);

    // A runtime that tells no uid is believed the name.
    again.arguments = again.arguments.replace(";K8S_POD_UID=uid-after", "");
    let held = site.plugin(&again, "ADD", &ours, "/usr/sbin:/usr/bin");
    assert!(held.succeeded, "{held:?}");
    assert_eq!(site.in_force("other", &pod.addresses), web);
    assert_eq!(site.in_force("web", &pod.addresses), BTreeSet::new());
}

#[test]
fn a_quarantine_ends_with_its_pod() {
    let site = Site::new("nopalquaend", "ptp", &["10.25.0.0/24", "fd00:25::/64"]);
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
    let (v4, v6) = ("10.26.0.0/24", "fd00:26::/64");
    let site = Site::new("nopalquabr", "bridge", &[v4, v6]);
    for (calls_netfilter, names) in [("0", ["a", "b"]), ("1", ["c", "d"])] {
        inside(&site.node(), || {
            for setting in ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"] {
                let setting = Path::new("/proc/sys/net/bridge").join(setting);
                std::fs::write(setting, calls_netfilter).unwrap();
            }
        });
        let [one, other] = names.map(|name| site.start(name));
        let to = one.namespace.path();
        let from = other.namespace.path();
        site.in_force(names[1], &other.addresses);
        let ends = || one.addresses.iter().zip(&other.addresses);
        for (&at, &beside) in ends() {
            let when = format!("{at}, calls of netfilter {calls_netfilter}");
            assert!(!arrives((&from, 0), (&to, at, PORT)), "{when}");
            assert!(!arrives((&to, 0), (&from, beside, PORT)), "{when}");
        }
        is_held(&site, &one, &one.addresses);
        site.in_force(names[0], &one.addresses);
        for (&at, &beside) in ends() {
            let when = format!("{at}, calls of netfilter {calls_netfilter}");
            assert!(arrives((&from, 0), (&to, at, PORT)), "{when}");
            assert!(arrives((&to, 0), (&from, beside, PORT)), "{when}");
        }
    }
}
