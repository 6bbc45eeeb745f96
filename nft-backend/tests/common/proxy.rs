//! Services as kube-proxy writes them into a node: the chains, hooks and priorities of its nftables and of its iptables
//! mode (Kubernetes 1.31), for Services with one backend each.

use std::fmt::Write;

use nopal_lab::Lab;

use super::wired::{NODE_A, NODE_B, NODES, run};

/// How kube-proxy writes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    Nftables,
    Iptables,
}

/// A Service with one backend.
pub(crate) struct Service {
    pub(crate) address: [&'static str; 2],
    pub(crate) port: u16,
    pub(crate) node_port: u16,
    pub(crate) backend: [&'static str; 2],
    pub(crate) backend_port: u16,
}

/// What is not masqueraded on its way to a Service.
const POD_NETWORKS: [&str; 2] = ["10.0.0.0/16", "fd00:10::/32"];

/// Writes the Services into both nodes.
pub(crate) fn install(lab: &Lab, mode: Mode, services: &[Service]) {
    for node in NODES {
        let namespace = lab.node_namespace(node).unwrap();
        for family in [0, 1] {
            let (command, text): (&[&str], String) = match (mode, family) {
                (Mode::Nftables, _) => (&["nft", "-f", "-"], nftables(services, family)),
                (Mode::Iptables, 0) => (
                    &["iptables-restore", "--noflush"],
                    iptables(services, family),
                ),
                (Mode::Iptables, _) => (
                    &["ip6tables-restore", "--noflush"],
                    iptables(services, family),
                ),
            };
            run(namespace, command, &text);
        }
    }
}

fn nftables(services: &[Service], family: usize) -> String {
    let (table, field, node_addresses) = if family == 0 {
        ("ip", "ip", [NODE_A[0], NODE_B[0]])
    } else {
        ("ip6", "ip6", [NODE_A[1], NODE_B[1]])
    };
    let pods = POD_NETWORKS[family];
    let (mut chains, mut addresses, mut node_ports) = (String::new(), String::new(), String::new());
    for (number, service) in services.iter().enumerate() {
        let Service {
            port,
            node_port,
            backend_port,
            ..
        } = service;
        let (address, backend) = (service.address[family], service.backend[family]);
        let to = endpoint(backend, *backend_port);
        write!(
            chains,
            "chain endpoint-{number} {{ {field} saddr {backend} jump mark-for-masquerade
               meta l4proto tcp dnat to {to}; }}
             chain service-{number} {{ {field} daddr {address} tcp dport {port} {field} saddr != {pods} \
               jump mark-for-masquerade
               numgen random mod 1 vmap {{ 0 : goto endpoint-{number} }}; }}
             chain external-{number} {{ jump mark-for-masquerade; goto service-{number}; }}\n"
        )
        .unwrap();
        write!(
            addresses,
            "{address} . tcp . {port} : goto service-{number}, "
        )
        .unwrap();
        write!(node_ports, "tcp . {node_port} : goto external-{number}, ").unwrap();
    }
    let nodes = node_addresses.join(", ");
    let kind = if family == 0 {
        "ipv4_addr"
    } else {
        "ipv6_addr"
    };
    format!(
        "table {table} kube-proxy {{
           set nodeport-ips {{ type {kind}; elements = {{ {nodes} }}; }}
           chain mark-for-masquerade {{ meta mark set meta mark | 0x4000; }}
           {chains}
           map service-ips {{ type {kind} . inet_proto . inet_service : verdict; elements = {{ {addresses} }}; }}
           map service-nodeports {{ type inet_proto . inet_service : verdict; elements = {{ {node_ports} }}; }}
           map no-endpoint-services {{ type {kind} . inet_proto . inet_service : verdict; }}
           chain services {{ {field} daddr . meta l4proto . th dport vmap @service-ips
             {field} daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports; }}
           chain service-endpoints-check {{ {field} daddr . meta l4proto . th dport vmap @no-endpoint-services; }}
           chain masquerading {{ meta mark & 0x4000 == 0 return
             meta mark set meta mark ^ 0x4000
             masquerade fully-random; }}
           chain filter-forward {{ type filter hook forward priority -110; ct state new jump service-endpoints-check; }}
           chain filter-output {{ type filter hook output priority -110; ct state new jump service-endpoints-check; }}
           chain nat-prerouting {{ type nat hook prerouting priority dstnat; jump services; }}
           chain nat-output {{ type nat hook output priority -100; jump services; }}
           chain nat-postrouting {{ type nat hook postrouting priority srcnat; jump masquerading; }}
         }}\n"
    )
}

fn iptables(services: &[Service], family: usize) -> String {
    let pods = POD_NETWORKS[family];
    let (mut names, mut rules, mut node_ports) = (String::new(), String::new(), String::new());
    for (number, service) in services.iter().enumerate() {
        let Service {
            port,
            node_port,
            backend_port,
            ..
        } = service;
        let (address, backend) = (service.address[family], service.backend[family]);
        let to = endpoint(backend, *backend_port);
        for chain in ["SVC", "SEP", "EXT"] {
            writeln!(names, ":KUBE-{chain}-{number} - [0:0]").unwrap();
        }
        write!(
            rules,
            "-A KUBE-SERVICES -d {address} -p tcp -m tcp --dport {port} -j KUBE-SVC-{number}
-A KUBE-EXT-{number} -j KUBE-MARK-MASQ
-A KUBE-EXT-{number} -j KUBE-SVC-{number}
-A KUBE-SVC-{number} ! -s {pods} -d {address} -p tcp -m tcp --dport {port} -j KUBE-MARK-MASQ
-A KUBE-SVC-{number} -j KUBE-SEP-{number}
-A KUBE-SEP-{number} -s {backend} -j KUBE-MARK-MASQ
-A KUBE-SEP-{number} -p tcp -m tcp -j DNAT --to-destination {to}
"
        )
        .unwrap();
        writeln!(
            node_ports,
            "-A KUBE-NODEPORTS -p tcp -m tcp --dport {node_port} -j KUBE-EXT-{number}"
        )
        .unwrap();
    }
    format!(
        "*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
{names}-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
{rules}{node_ports}-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
COMMIT
*filter
:KUBE-FORWARD - [0:0]
-A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"
    )
}

fn endpoint(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}
