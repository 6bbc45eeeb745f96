//! Where the machines of the test's cluster are, and the flows that are probed between them.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;

use nopal_lab::{NodeSpec, PodSpec, Probe, ProbeKind, Stream, Topology, Traffic};
use policy_core::{Flow, FlowPort, Protocol};

use crate::objects::{NODES, POD_NETWORKS, PODS};

/// The API server's address, outside the cluster, and a client's.
pub(crate) const CONTROL_PLANE: &str = "198.51.100.1";
pub(crate) const CLIENT: &str = "198.51.100.7";

/// The ports that are probed.
pub(crate) const PORTS: [u16; 2] = [5432, 8080];

/// The port of the datagrams that last.
const TRAFFIC_PORT: u16 = 5353;

/// The machines.
pub(crate) fn topology() -> Topology {
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
pub(crate) fn flows() -> Vec<Flow> {
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

/// Datagrams from every pod and the outside client to every pod, at a port of their own: they go on while other ports
/// are probed.
pub(crate) fn datagrams() -> Vec<Flow> {
    let other = |flow: &Flow| flow.port == FlowPort::Other;
    let port = FlowPort::Port(Protocol::Udp, TRAFFIC_PORT);
    let flows = flows().into_iter().filter(other);
    flows.map(|flow| Flow { port, ..flow }).collect()
}

/// The packet of a flow.
pub(crate) fn probe(flow: &Flow) -> Probe {
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

/// The flows of [`Cluster::traffic`](crate::cluster::Cluster::traffic).
pub(crate) fn streams() -> [Stream; 2] {
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

/// The node that a pod of this address is on; nothing for what is outside.
pub(crate) fn node_of(pod: IpAddr) -> Option<&'static str> {
    let at = pod.to_string();
    let mut networks = NODES.iter().zip(POD_NETWORKS);
    networks.find_map(|((node, _), network)| at.starts_with(network).then_some(*node))
}

/// An address.
pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Ends datagrams of [`Cluster::traffic`](crate::cluster::Cluster::traffic): none of the first may be lost, and none of the second may have arrived.
pub(crate) fn stop(traffic: Traffic) {
    let counted = traffic.stop();
    let [allowed, denied] = counted[..] else {
        panic!("two streams were started");
    };
    assert!(allowed.sent > 100 && denied.sent > 100, "{counted:?}");
    assert_eq!(allowed.received, allowed.sent, "lost on the allowed flow");
    assert_eq!(denied.received, 0, "leaked on the denied flow");
}

/// Ends datagrams of [`Cluster::traffic`](crate::cluster::Cluster::traffic), during which the rules were missing for moments: none of the first may be
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
