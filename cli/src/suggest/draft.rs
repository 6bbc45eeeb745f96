//! Collects what workloads need into policies: one for each workload, one rule for each list of ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_core::labels::is_dns_subdomain;
use policy_core::{Cluster, Direction, IpSet, PolicyId, Protocol};

use super::workload::Workload;
use super::{Found, Party};

/// A policy that is suggested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its namespace and name.
    pub id: PolicyId,
    /// The pods that it selects.
    pub subjects: Workload,
    /// For each direction that it is about, its rules.
    pub rules: BTreeMap<Direction, Vec<DraftRule>>,
}

/// A rule that is suggested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftRule {
    /// The pods at the other end.
    pub pods: Vec<Workload>,
    /// The addresses at the other end.
    pub addresses: IpSet,
    /// The ports.
    pub ports: Vec<(Protocol, PortWord)>,
    /// Whether it lets pods ask for names.
    pub is_dns: bool,
}

/// A port as a policy writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortWord {
    /// By number.
    Number(u16),
    /// By the name that the destination's containers give it.
    Name(Box<str>),
}

/// The other end of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Other {
    Pods(Workload),
    Address(IpAddr),
}

type Ports = BTreeSet<(Protocol, PortWord)>;

/// What workloads need.
pub(super) struct Drafts<'c> {
    cluster: &'c Cluster,
    needs: BTreeMap<Workload, BTreeMap<Direction, BTreeMap<Other, Ports>>>,
}

impl<'c> Drafts<'c> {
    pub(super) fn new(cluster: &'c Cluster) -> Self {
        Self {
            cluster,
            needs: BTreeMap::new(),
        }
    }

    /// Adds what a flow needs in a direction; says whether this is anything new.
    pub(super) fn add(&mut self, direction: Direction, flow: &Found) -> bool {
        let (own, other) = match direction {
            Direction::Ingress => (&flow.to, &flow.from),
            Direction::Egress => (&flow.from, &flow.to),
        };
        let Party::Pod(_, subjects) = own else {
            return false;
        };
        let (protocol, number) = flow.port;
        let destination = match &flow.to {
            Party::Pod(_, workload) => Some(workload),
            Party::Address(_) => None,
        };
        let name = destination.and_then(|workload| self.port_name(workload, protocol, number));
        let port = name.map_or(PortWord::Number(number), PortWord::Name);
        let other = match other {
            Party::Pod(_, workload) => Other::Pods(workload.clone()),
            Party::Address(address) => Other::Address(*address),
        };
        let directions = self.needs.entry(subjects.clone()).or_default();
        let others = directions.entry(direction).or_default();
        others.entry(other).or_default().insert((protocol, port))
    }

    /// The name that all pods of a workload give to this port and to no other one. Name servers' ports are known by their
    /// number.
    fn port_name(&self, workload: &Workload, protocol: Protocol, number: u16) -> Option<Box<str>> {
        if workload.is_name_server() {
            return None;
        }
        let mut common: Option<BTreeSet<&str>> = None;
        for pod in workload.pods(self.cluster) {
            let of_protocol = pod.ports.iter().filter(|port| port.protocol == protocol);
            let named = |wanted: bool| {
                let ports = of_protocol
                    .clone()
                    .filter(move |port| (port.port == number) == wanted);
                ports
                    .filter_map(|port| port.name.as_deref())
                    .collect::<BTreeSet<&str>>()
            };
            let own: BTreeSet<&str> = named(true).difference(&named(false)).copied().collect();
            common = Some(match common {
                None => own,
                Some(common) => common.intersection(&own).copied().collect(),
            });
        }
        common?.first().map(|name| (*name).into())
    }

    /// The policies.
    pub(super) fn policies(&self) -> Vec<Draft> {
        let mut taken: BTreeSet<PolicyId> = self.cluster.policies().keys().cloned().collect();
        let drafts = self.needs.iter().map(|(subjects, directions)| {
            let id = self.name(subjects, &taken);
            taken.insert(id.clone());
            let rules = directions
                .iter()
                .map(|(direction, others)| (*direction, rules(others)));
            Draft {
                id,
                subjects: subjects.clone(),
                rules: rules.collect(),
            }
        });
        let mut drafts: Vec<Draft> = drafts.collect();
        drafts.sort_by(|one, other| one.id.cmp(&other.id));
        drafts
    }

    /// A name that no policy has: that of the workload, or of the label that tells most.
    fn name(&self, subjects: &Workload, taken: &BTreeSet<PolicyId>) -> PolicyId {
        const TELLING: [&str; 5] = [
            "app.kubernetes.io/component",
            "app.kubernetes.io/name",
            "app",
            "k8s-app",
            "name",
        ];
        let mut pods = subjects.pods(self.cluster);
        let template = pods.find_map(|pod| Some(pod.id.name.split_once('/')?.1.to_owned()));
        let label = || TELLING.iter().find_map(|key| subjects.labels.value(key));
        let stem = template.or_else(|| label().map(str::to_ascii_lowercase));
        let stem = stem.filter(|name| is_dns_subdomain(name) && name.len() < 200);
        let stem = stem.unwrap_or_else(|| "workload".to_owned());
        let names = std::iter::once(format!("{stem}-flows"));
        let mut names = names.chain((2..).map(|number| format!("{stem}-flows-{number}")));
        let id = |name: String| PolicyId {
            namespace: subjects.namespace.clone(),
            name: name.into(),
        };
        let free = names.find_map(|name| Some(id(name)).filter(|id| !taken.contains(id)));
        free.expect("there is always another number")
    }
}

/// One rule for each list of ports.
fn rules(others: &BTreeMap<Other, Ports>) -> Vec<DraftRule> {
    let mut by_ports: BTreeMap<&Ports, Vec<&Other>> = BTreeMap::new();
    for (other, ports) in others {
        by_ports.entry(ports).or_default().push(other);
    }
    let rules = by_ports.into_iter().map(|(ports, others)| {
        let pods = others.iter().filter_map(|other| match other {
            Other::Pods(workload) => Some(workload.clone()),
            Other::Address(_) => None,
        });
        let pods: Vec<Workload> = pods.collect();
        let addresses = others.iter().filter_map(|other| match other {
            Other::Pods(_) => None,
            Other::Address(address) => Some(*address),
        });
        let addresses: IpSet = addresses.collect();
        let is_dns = !pods.is_empty() && pods.iter().all(Workload::is_name_server);
        DraftRule {
            pods,
            addresses,
            ports: ports.iter().cloned().collect(),
            is_dns,
        }
    });
    rules.collect()
}
