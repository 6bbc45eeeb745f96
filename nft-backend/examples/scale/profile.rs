//! Large clusters in the proportions of a real one: 5,413 pods in 604 namespaces with 13,678 policies, each with 35
//! peers on average and 3,578 at most. Made by counting, so that every run sees the same cluster.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use policy_core::policy::{IpBlock, Namespaces, Peer, Peers, PolicyId, PortSpec, Ports, Rule};
use policy_core::selector::Constraint;
use policy_core::{
    Cidr, Cluster, ContainerPort, Labels, Mode, Namespace, Pod, PodId, Policy, Protocol, Selector,
};

/// The node whose share is rendered; it runs every 30th pod, up to 110.
pub(crate) const NODE: &str = "node-a";
const PODS_PER_NODE: usize = 110;
const PODS_PER_NAMESPACE: usize = 9;
const APPS_PER_NAMESPACE: usize = 4;

/// A realistic mix: in each namespace a default deny, and policies that select one app and admit other apps, namespaces,
/// the whole team's namespaces, or address blocks.
pub(crate) fn mix(pods: usize, policies: usize) -> Cluster {
    let mut cluster = Cluster::default();
    let namespaces = (pods / PODS_PER_NAMESPACE).max(1);
    for number in 0..namespaces {
        let labels: Labels = [
            ("team", format!("team-{}", number % 50)),
            ("stage", stage(number)),
        ]
        .into_iter()
        .collect();
        cluster.insert_namespace(Namespace {
            name: namespace(number).into(),
            labels,
            mode: Mode::Enforce,
        });
    }
    insert_pods(&mut cluster, pods, namespaces);
    for number in 0..policies {
        cluster.insert_policy(mixed_policy(number, namespaces));
    }
    cluster
}

/// Every policy selects all pods of one namespace and admits all of them: pods x policies x pods as pairs.
pub(crate) fn all_select_all(pods: usize, policies: usize) -> Cluster {
    let mut cluster = Cluster::default();
    insert_pods(&mut cluster, pods, 1);
    let everybody = || Peer::Pods {
        namespaces: Namespaces::Own,
        pods: Selector::everything(),
    };
    let rule = || Rule::Allow {
        peers: Peers::Listed(vec![everybody()]),
        ports: Ports::All,
    };
    for number in 0..policies {
        let mut policy = policy(&namespace(0), number, Selector::everything());
        policy.isolates_egress = true;
        policy.ingress.push(rule());
        policy.egress.push(rule());
        cluster.insert_policy(policy);
    }
    cluster
}

fn insert_pods(cluster: &mut Cluster, pods: usize, namespaces: usize) {
    let nodes = (pods / PODS_PER_NODE).max(1);
    for number in 0..pods {
        let home = number % namespaces;
        let app = app(number / namespaces);
        let node = if number % nodes == 0 {
            NODE.to_owned()
        } else {
            format!("node-{}", number % nodes)
        };
        cluster.insert_pod(Pod {
            id: PodId::new(&namespace(home), &format!("{app}-{number}")),
            labels: [
                ("app", app),
                ("tier", tier(number)),
                ("team", format!("team-{}", home % 50)),
            ]
            .into_iter()
            .collect(),
            node: Some(node.into()),
            addresses: addresses(number),
            host_addresses: Vec::new(),
            host_network: false,
            finished: false,
            terminating: false,
            ports: Arc::new([ContainerPort {
                name: Some("http".into()),
                protocol: Protocol::Tcp,
                port: 8080,
            }]),
        });
    }
}

fn mixed_policy(number: usize, namespaces: usize) -> Policy {
    let home = number % namespaces;
    let round = number / namespaces;
    let name = namespace(home);
    if round == 0 {
        let mut policy = policy(&name, number, Selector::everything());
        policy.isolates_egress = home.is_multiple_of(2);
        return policy;
    }
    let mut policy = policy(&name, number, Selector::label("app", &app(round)));
    let peers = (0..=(number % 3))
        .map(|part| peer(number + part, home, namespaces))
        .collect();
    let port = u16::try_from(8000 + number % 40).unwrap_or(8000);
    let ports = match number % 7 {
        0 => Ports::All,
        1 => Ports::Listed(vec![PortSpec::Named(Protocol::Tcp, "http".into())]),
        2 => Ports::Listed(vec![PortSpec::Range(Protocol::Tcp, port, port + 10)]),
        _ => Ports::Listed(vec![
            PortSpec::Range(Protocol::Tcp, port, port),
            PortSpec::Range(Protocol::Tcp, 443, 443),
        ]),
    };
    let rule = Rule::Allow {
        peers: Peers::Listed(peers),
        ports,
    };
    if number.is_multiple_of(3) {
        policy.isolates_egress = true;
        policy.egress.push(rule);
    } else {
        policy.ingress.push(rule);
    }
    policy
}

/// Mostly small peers; one in 40 reaches a whole team (a fiftieth of all namespaces), and a few reach everybody's apps.
fn peer(number: usize, home: usize, namespaces: usize) -> Peer {
    let matching = |key: &str, value: &str| Namespaces::Matching(Selector::label(key, value));
    let in_namespace = |number: usize| {
        matching(
            "kubernetes.io/metadata.name",
            &namespace(number % namespaces),
        )
    };
    match number % 40 {
        0 => Peer::Pods {
            namespaces: matching("team", &format!("team-{}", home % 50)),
            pods: Selector::everything(),
        },
        1..=3 => Peer::Block(IpBlock {
            cidr: Cidr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 0)), 24),
            except: vec![Cidr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 64)), 26)],
        }),
        4 if number % 1000 == 4 => Peer::Pods {
            namespaces: matching("stage", "live"),
            pods: Selector::from_iter([("app", Constraint::one_of([app(0), app(1)]))]),
        },
        5..=20 => Peer::Pods {
            namespaces: Namespaces::Own,
            pods: Selector::label("app", &app(number)),
        },
        _ => Peer::Pods {
            namespaces: in_namespace(number * 7),
            pods: Selector::label("app", &app(number)),
        },
    }
}

fn policy(namespace: &str, number: usize, subjects: Selector) -> Policy {
    Policy {
        id: PolicyId {
            namespace: namespace.into(),
            name: format!("policy-{number}").into(),
        },
        subjects,
        stated_mode: None,
        mode: Mode::Enforce,
        isolates_ingress: true,
        isolates_egress: false,
        ingress: Vec::new(),
        egress: Vec::new(),
    }
}

fn addresses(number: usize) -> Vec<IpAddr> {
    let low = u32::try_from(number).unwrap_or(u32::MAX >> 8) + 1;
    let v4 = Ipv4Addr::from_bits(0x0a00_0000 + low);
    let v6 = Ipv6Addr::from_bits(0xfd00_0010_0000_0000_0000_0000_0000_0000 + u128::from(low));
    vec![v4.into(), v6.into()]
}

fn namespace(number: usize) -> String {
    format!("ns-{number}")
}

fn app(number: usize) -> String {
    format!("app-{}", number % APPS_PER_NAMESPACE)
}

fn tier(number: usize) -> String {
    format!("tier-{}", number % 3)
}

fn stage(number: usize) -> String {
    if number.is_multiple_of(5) {
        "live"
    } else {
        "test"
    }
    .to_owned()
}
