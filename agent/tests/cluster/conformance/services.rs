//! Services, by a real kube-proxy on each node: one in front of every pod.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nopal_harness::{Process, ProxyMode};
use policy_core::Protocol;
use serde_json::{Value, json};

use super::judge::{Entry, Prober, entries};
use super::site::{NODES, POD_NETWORKS, PODS, Site};
use super::table::PORTS;
use crate::cluster::eventually;
use crate::objects;
use crate::runtime::PATIENCE;

/// What is added to a pod's port to be its Service's.
const OFFSET: u16 = 1_000;

/// How long a connection is waited for that must not be made.
const SHORT: Duration = Duration::from_secs(1);

/// Sends to the pods' Services by TCP.
pub(super) struct Services {
    /// The addresses of the Service in front of each pod, IPv4 first.
    addresses: BTreeMap<&'static str, [IpAddr; 2]>,
    _proxies: Vec<Process>,
}

impl Services {
    /// Makes the Services, and starts kube-proxy on every node; waits until it has written its rules in this mode.
    pub(super) fn start(site: &Site, mode: ProxyMode) -> Self {
        let items = PODS.into_iter().flat_map(|(pod, _)| service(site, pod));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items.collect::<Vec<_>>()});
        objects::apply(&site.control_plane, &list);
        let proxy = |(network, node): (&super::kubelet::Network, _)| {
            let control_plane = &site.control_plane;
            control_plane.start_proxy(node, network.node, mode, POD_NETWORKS)
        };
        let proxies = NODES.iter().zip(site.nodes()).map(proxy);
        let proxies: Result<Vec<Process>, _> = proxies.collect();
        for node in site.nodes() {
            let is_written = || node.run(|| has_rules(mode)).unwrap();
            assert!(eventually(is_written), "no rules of kube-proxy: {mode:?}");
        }
        Self {
            addresses: PODS.map(|(pod, _)| (pod, addresses(site, pod))).into(),
            _proxies: proxies.unwrap_or_else(|error| panic!("{error}")),
        }
    }
}

impl Prober for Services {
    fn entries(&self) -> Vec<Entry> {
        let mut entries = entries(&[Protocol::Tcp]);
        // And each pod to itself.
        for (pod, _) in PODS {
            for port in PORTS {
                entries.extend([0, 1].map(|family| Entry {
                    from: pod,
                    to: pod,
                    protocol: Protocol::Tcp,
                    port,
                    family,
                }));
            }
        }
        entries
    }

    fn passes(&self, site: &Site, entries: &[(Entry, bool)]) -> Vec<bool> {
        let _listeners: Vec<TcpListener> = PODS
            .into_iter()
            .flat_map(|(pod, _)| listen(site, pod))
            .collect();
        let connect = |(entry, is_expected): &(Entry, bool)| {
            let to = SocketAddr::new(self.addresses[entry.to][entry.family], entry.port + OFFSET);
            let wait = if *is_expected { PATIENCE / 4 } else { SHORT };
            let connect = || TcpStream::connect_timeout(&to, wait).is_ok();
            let from = site.lab.pod_namespace(entry.from).unwrap();
            from.run(connect).unwrap()
        };
        // Waiting is all that most of these do, so they wait together.
        thread::scope(|scope| {
            let connecting = entries.iter().map(|entry| scope.spawn(|| connect(entry)));
            let connecting: Vec<_> = connecting.collect();
            connecting
                .into_iter()
                .map(|one| one.join().unwrap())
                .collect()
        })
    }
}

/// Takes connections to a pod's ports, which the kernel makes without further ado.
fn listen(site: &Site, pod: &str) -> Vec<TcpListener> {
    let bind = || -> std::io::Result<Vec<TcpListener>> {
        let places = site.addresses[pod]
            .into_iter()
            .flat_map(|address| PORTS.map(|port| SocketAddr::new(address, port)));
        places.map(TcpListener::bind).collect()
    };
    let pod = site.lab.pod_namespace(pod).unwrap();
    pod.run(bind).unwrap().unwrap()
}

/// Whether the namespace of this thread has rules of kube-proxy, in this mode and not in the other.
fn has_rules(mode: ProxyMode) -> bool {
    let says = |program: &str, arguments: &[&str], text: &str| {
        let output = Command::new(program).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains(text)
    };
    let in_nftables = says("nft", &["list", "tables"], "kube-proxy");
    let in_iptables = says("iptables-save", &["-t", "nat"], ":KUBE-SERVICES");
    match mode {
        ProxyMode::Nftables => in_nftables && !in_iptables,
        ProxyMode::Iptables => in_iptables && !in_nftables,
    }
}

/// A Service in front of a pod, with the slices that the control plane's controllers would make.
fn service(site: &Site, name: &str) -> Vec<Value> {
    let (namespace, pod) = name.split_once('/').unwrap();
    let port = |port: u16| json!({"name": format!("p{port}"), "port": port + OFFSET, "targetPort": port, "protocol": "TCP"});
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": namespace, "name": pod},
        "spec": {"ipFamilyPolicy": "RequireDualStack", "ports": PORTS.map(port)},
    });
    let port = |port: u16| json!({"name": format!("p{port}"), "port": port, "protocol": "TCP"});
    let (_, node) = PODS.into_iter().find(|(pod, _)| *pod == name).unwrap();
    let slice = |(kind, address): (&str, IpAddr)| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": namespace, "name": format!("{pod}-{}", kind.to_lowercase()),
                "labels": {"kubernetes.io/service-name": pod},
            },
            "addressType": kind, "ports": PORTS.map(port),
            "endpoints": [{
                "addresses": [address], "nodeName": NODES[node].node, "conditions": {"ready": true},
            }],
        })
    };
    let [v4, v6] = site.addresses[name];
    vec![service, slice(("IPv4", v4)), slice(("IPv6", v6))]
}

/// The addresses that the API server has given to a Service.
fn addresses(site: &Site, name: &str) -> [IpAddr; 2] {
    let (namespace, pod) = name.split_once('/').unwrap();
    let path = "-o=jsonpath={.spec.clusterIPs[0]} {.spec.clusterIPs[1]}";
    let text = site.kubectl(&["get", "service", pod, "-n", namespace, path], "");
    let mut addresses: Vec<IpAddr> = text
        .split_whitespace()
        .map(|ip| ip.parse().unwrap())
        .collect();
    addresses.sort_unstable();
    addresses.try_into().unwrap()
}
