//! The least policies that admit given flows.
//!
//! A pod stands for its workload, by the labels that last. Each workload that needs rules gets one policy, each list of
//! ports one rule. What is written is read and compiled again: it is proven to admit the flows, and found out what it admits
//! besides, since labels can select more than the pods that the flows name.

mod draft;
mod flows;
mod workload;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use policy_core::{
    Because, Cluster, Direction, Flow, FlowPort, Isolation, Mode, Namespace, Pod, PodId, PortSet,
    Protocol, RuleGraph, lower,
};

use crate::inventory::{End, Inventory, address_pairs};
use crate::manifest::{Content, Source, read_source};
use crate::port;

pub use draft::Draft;
pub use flows::{BadFlow, WrittenEnd, WrittenFlow, parse};
pub use workload::Workload;
pub use write::{object, yaml};

/// Policies that admit flows.
#[derive(Debug, Default)]
pub struct Suggestion {
    /// The policies, sorted by namespace and name.
    pub policies: Vec<Draft>,
    /// The flows that no policy can admit, or none was found for, and why.
    pub left_out: Vec<LeftOut>,
    /// What the policies admit and the flows do not name.
    pub besides: Vec<Besides>,
    /// Whether name lookups over one protocol were taken for both.
    pub has_dns: bool,
}

/// A flow that is not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it is written.
    pub line: usize,
    /// Why.
    pub reason: String,
}

/// Connections that the labels of a policy admit as well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Besides {
    /// Who may open them.
    pub from: PodId,
    /// Whom to.
    pub to: PodId,
    /// On what.
    pub ports: PortSet,
}

/// In which directions pods are isolated that no policy isolates yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isolating {
    /// What they receive.
    pub ingress: bool,
    /// What they open.
    pub egress: bool,
}

impl Isolating {
    /// Both, where no policy of the input isolates any pod, none otherwise.
    #[must_use]
    pub fn usual(inventory: &Inventory<'_>) -> Self {
        let graph = RuleGraph::compile(&inventory.cluster);
        let has_any = graph.subjects().next().is_some();
        Self {
            ingress: !has_any,
            egress: !has_any,
        }
    }

    fn holds(self, direction: Direction) -> bool {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }
}

/// A flow whose ends are found.
#[derive(Debug, Clone)]
struct Found {
    line: usize,
    from: Party,
    to: Party,
    port: (Protocol, u16),
}

/// An end of a flow.
#[derive(Debug, Clone)]
enum Party {
    Pod(Arc<Pod>, Workload),
    Address(IpAddr),
}

/// Suggests policies for the flows.
#[must_use]
pub fn suggest(
    inventory: &Inventory<'_>,
    written: &Cluster,
    flows: &[WrittenFlow],
    isolating: Isolating,
) -> Suggestion {
    let cluster = &inventory.cluster;
    let mut suggestion = Suggestion::default();
    let mut found = Vec::new();
    let finder = workload::Finder::new(cluster, written);
    let graph = RuleGraph::compile(cluster);
    for flow in flows {
        match find(&finder, flow).and_then(|flow| admissible(&graph, flow)) {
            Ok(flow) => found.extend(with_dns(flow)),
            Err(reason) => suggestion.left_out.push(LeftOut {
                line: flow.line,
                reason,
            }),
        }
    }
    let mut drafts = draft::Drafts::new(cluster);
    let mut now = cluster.clone();
    // A policy selects by labels, and so perhaps pods of other flows too, which then need rules as well.
    for _ in 0..=found.len() {
        let graph = RuleGraph::compile(&now);
        let mut has_more = false;
        for flow in &found {
            for direction in needs(&graph, cluster, flow, isolating) {
                has_more |= drafts.add(direction, flow);
            }
        }
        if !has_more {
            break;
        }
        suggestion.policies = drafts.policies();
        now = with(cluster, &suggestion.policies);
    }
    let graph = RuleGraph::compile(&now);
    let denied: BTreeSet<usize> = found
        .iter()
        .filter(|flow| !denying(&graph, flow).is_empty())
        .map(|flow| flow.line)
        .collect();
    let reason = "the policies that were found do not admit it";
    let denied = denied.into_iter();
    suggestion.left_out.extend(denied.map(|line| LeftOut {
        line,
        reason: reason.to_owned(),
    }));
    suggestion.left_out.sort_by_key(|left_out| left_out.line);
    let mut rules = suggestion
        .policies
        .iter()
        .flat_map(|draft| draft.rules.values().flatten());
    suggestion.has_dns = rules.any(|rule| rule.is_dns);
    suggestion.besides = besides(cluster, &suggestion.policies, &found);
    suggestion
}

fn find(finder: &workload::Finder<'_>, flow: &WrittenFlow) -> Result<Found, String> {
    let FlowPort::Port(protocol, number) = flow.port else {
        return Err("policies cannot admit protocols without ports alone".to_owned());
    };
    let from = finder
        .party(&flow.from)
        .map_err(|message| format!("from: {message}"))?;
    let to = finder
        .party(&flow.to)
        .map_err(|message| format!("to: {message}"))?;
    if matches!((&from, &to), (Party::Address(_), Party::Address(_))) {
        return Err("neither end is a pod that policies can select".to_owned());
    }
    Ok(Found {
        line: flow.line,
        from,
        to,
        port: (protocol, number),
    })
}

/// The flow, where some rule could admit it.
fn admissible(graph: &RuleGraph, flow: Found) -> Result<Found, String> {
    for end in [&flow.from, &flow.to] {
        if let Party::Pod(pod, _) = end
            && graph.addresses(pod).len() < pod.addresses.len()
        {
            return Err(format!("{} is not the only pod with its address", pod.id));
        }
    }
    let pairs = address_pairs(&flow.from.end(), &flow.to.end(), None);
    pairs.map_err(|error| error.to_string())?;
    Ok(flow)
}

/// Names are asked for over UDP, and over TCP when the answer is long: who may do the one must do the other.
fn with_dns(flow: Found) -> Vec<Found> {
    let Party::Pod(_, workload) = &flow.to else {
        return vec![flow];
    };
    if !workload.is_name_server()
        || !matches!(flow.port, (Protocol::Udp | Protocol::Tcp, 53 | 5353))
    {
        return vec![flow];
    }
    let both = [Protocol::Udp, Protocol::Tcp].into_iter();
    both.map(|protocol| Found {
        port: (protocol, flow.port.1),
        ..flow.clone()
    })
    .collect()
}

/// In which directions a flow needs rules.
fn needs(
    graph: &RuleGraph,
    cluster: &Cluster,
    flow: &Found,
    isolating: Isolating,
) -> BTreeSet<Direction> {
    if passes_always(graph, flow) {
        return BTreeSet::new();
    }
    let mut needed = denying(graph, flow);
    let ends = [
        (Direction::Ingress, &flow.to),
        (Direction::Egress, &flow.from),
    ];
    for (direction, end) in ends {
        // A list of flows is never all that is asked of a name server.
        if let Party::Pod(pod, workload) = end
            && isolating.holds(direction)
            && !workload.is_name_server()
            && is_open(cluster, pod, direction)
        {
            needed.insert(direction);
        }
    }
    needed
}

/// Whether no policy decides the flow: a pod reaches itself and its node. Replicas of one template are not one pod.
fn passes_always(graph: &RuleGraph, flow: &Found) -> bool {
    if let Party::Pod(pod, _) = &flow.from
        && pod.id.name.contains('/')
    {
        return false;
    }
    let pairs = address_pairs(&flow.from.end(), &flow.to.end(), None).unwrap_or_default();
    let (protocol, number) = flow.port;
    let port = FlowPort::Port(protocol, number);
    let is_above = |because: &Because| matches!(because, Because::OwnAddress | Because::OwnNode);
    let mut decisions = pairs.iter().map(|(_, from, to)| {
        let (from, to) = (*from, *to);
        graph.evaluate(&Flow { from, to, port })
    });
    !pairs.is_empty() && decisions.all(|decision| decision.because.iter().all(is_above))
}

/// Whether no policy of the input isolates the pod.
fn is_open(cluster: &Cluster, pod: &Pod, direction: Direction) -> bool {
    let mut policies = cluster.policies().values();
    !policies.any(|policy| {
        policy.id.namespace == pod.id.namespace
            && policy.isolates(direction)
            && policy.subjects.matches(&pod.labels)
    })
}

/// The directions in which policies deny the flow, or would if they were enforced.
fn denying(graph: &RuleGraph, flow: &Found) -> BTreeSet<Direction> {
    let (from, to) = (flow.from.end(), flow.to.end());
    let mut found = BTreeSet::new();
    for (_, from, to) in address_pairs(&from, &to, None).unwrap_or_default() {
        let (protocol, number) = flow.port;
        let port = FlowPort::Port(protocol, number);
        for because in graph.evaluate(&Flow { from, to, port }).because {
            match because {
                Because::Isolates { direction, .. } | Because::Audited { direction, .. } => {
                    found.insert(direction);
                }
                _ => {}
            }
        }
    }
    found
}

impl Party {
    fn end(&self) -> End {
        match self {
            Self::Pod(pod, _) => End::of_pod(pod),
            Self::Address(address) => End {
                name: address.to_string(),
                addresses: vec![*address],
            },
        }
    }
}

/// The cluster with these policies, read from what is printed.
fn with(cluster: &Cluster, drafts: &[Draft]) -> Cluster {
    let mut changed = cluster.clone();
    let source = Source::new("suggested".to_owned(), yaml(drafts));
    let read = read_source(&Arc::new(source), "default");
    for object in &read.objects {
        if let Content::Policy(policy) = &object.content {
            let (policy, _) = lower::policy(&policy.object, &policy.unread);
            changed.insert_policy(policy);
        }
    }
    changed
}

/// What the policies alone admit between pods of the input, without what the flows name between their workloads.
fn besides(cluster: &Cluster, drafts: &[Draft], flows: &[Found]) -> Vec<Besides> {
    let mut bare = Cluster::default();
    for namespace in cluster.namespaces().values() {
        bare.insert_namespace(Namespace {
            mode: Mode::default(),
            ..namespace.clone()
        });
    }
    let live = cluster.pods().values().filter(|pod| pod.is_selectable());
    let pods: Vec<Arc<Pod>> = live.cloned().collect();
    for pod in &pods {
        bare.insert_pod(pod.as_ref().clone());
    }
    let graph = RuleGraph::compile(&with(&bare, drafts));
    let mut listed: BTreeMap<(&Workload, &Workload), PortSet> = BTreeMap::new();
    for flow in flows {
        if let (Party::Pod(_, from), Party::Pod(_, to)) = (&flow.from, &flow.to) {
            let (protocol, number) = flow.port;
            let ports = listed.entry((from, to)).or_default();
            *ports = ports.union(&port::set(FlowPort::Port(protocol, number)));
        }
    }
    let workloads: Vec<Option<Workload>> =
        pods.iter().map(|pod| Workload::of(pod, cluster)).collect();
    // Workloads are asked once, by their first pod.
    let mut first: BTreeMap<(&str, Option<&Workload>), usize> = BTreeMap::new();
    for (index, pod) in pods.iter().enumerate() {
        let key = (&*pod.id.namespace, workloads[index].as_ref());
        first.entry(key).or_insert(index);
    }
    let mut found = BTreeSet::new();
    for &one in first.values() {
        for direction in Direction::ALL {
            if graph.isolation(&pods[one], direction) != Isolation::Enforced {
                continue;
            }
            for &other in first.values().filter(|&&other| other != one) {
                let (from, to) = match direction {
                    Direction::Ingress => (other, one),
                    Direction::Egress => (one, other),
                };
                let ends = workloads[from].as_ref().zip(workloads[to].as_ref());
                let named = ends.and_then(|ends| listed.get(&ends));
                let ports = graph_allows(&graph, &pods[from], &pods[to]);
                let ports = ports.difference(named.unwrap_or(&PortSet::empty()));
                if !ports.is_empty() {
                    let (from, to) = (pods[from].id.clone(), pods[to].id.clone());
                    found.insert(Besides { from, to, ports });
                }
            }
        }
    }
    found.into_iter().collect()
}

fn graph_allows(graph: &RuleGraph, from: &Pod, to: &Pod) -> PortSet {
    let pairs = from
        .addresses
        .iter()
        .flat_map(|from| to.addresses.iter().map(move |to| (from, to)));
    let pairs = pairs.filter(|(from, to)| from.is_ipv4() == to.is_ipv4());
    pairs.fold(PortSet::empty(), |all, (from, to)| {
        all.union(&graph.allowed(*from, *to))
    })
}
