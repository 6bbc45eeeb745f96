//! Pods that the input does not have, but that policies speak of or that anybody may start: what policies mean for
//! them matters as much.
//!
//! Their names are in brackets, which no real name can have: `shop/[other]` is any pod of `shop` whose labels no policy
//! asks for, `shop/[app=web]` one with these labels.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::{Namespaces, Peer, Peers, Rule};
use policy_core::selector::Values;
use policy_core::{Labels, Pod, PodId, Policy, Selector};

/// The namespace that stands for all that the input does not have, without labels but its name.
pub const OTHER_NAMESPACE: &str = "[other]";

/// The name of a pod without labels.
const OTHER_POD: &str = "[other]";

/// Namespaces and pods that could be.
#[derive(Default)]
pub(super) struct Possible {
    pub(super) namespaces: BTreeMap<String, Labels>,
    pub(super) pods: BTreeMap<PodId, Pod>,
}

/// A pod for each namespace, one for all namespaces that are not there, and one for each selector of a policy that no
/// pod matches. `asked` are selectors of namespaces and of their pods that a question is about: a pod of a namespace that
/// is not there stands for what they match elsewhere.
pub(super) fn possible(
    namespaces: &BTreeMap<String, Labels>,
    pods: &BTreeMap<PodId, Pod>,
    policies: &[&Policy],
    asked: &[(&Selector, &Selector)],
) -> Possible {
    let mut finder = Finder {
        namespaces,
        pods: by_namespace(pods),
        found: Possible::default(),
    };
    finder.namespace(OTHER_NAMESPACE, Labels::default());
    let names = namespaces.keys().map(String::as_str);
    for name in names.chain([OTHER_NAMESPACE]) {
        finder.pod(name, Labels::default());
    }
    let mut seen: HashSet<(&str, &Namespaces, &Selector)> = HashSet::new();
    for policy in policies {
        let namespace = &*policy.id.namespace;
        finder.own(namespace, &policy.subjects);
        for (namespaces, pods) in peers(policy) {
            // A selector without a namespace selector means another thing in each namespace.
            let home = match namespaces {
                Namespaces::Own => namespace,
                Namespaces::Matching(_) => "",
            };
            if seen.insert((home, namespaces, pods)) {
                match namespaces {
                    Namespaces::Own => finder.own(namespace, pods),
                    Namespaces::Matching(selector) => finder.matching(selector, pods),
                }
            }
        }
    }
    for (namespaces, pods) in asked {
        finder.matching(namespaces, pods);
        let labels = named(OTHER_NAMESPACE, &Labels::default());
        if namespaces.matches(&labels)
            && let Some(labels) = witness(pods)
        {
            finder.pod(OTHER_NAMESPACE, labels);
        }
    }
    finder.found
}

/// Whether a namespace's name stands for namespaces that no file defines and no object names.
pub(crate) fn is_unknown(namespace: &str) -> bool {
    namespace.starts_with('[')
}

/// A namespace's labels with that of its name.
fn named(name: &str, labels: &Labels) -> Labels {
    labels.with(NAMESPACE_NAME_LABEL, name)
}

fn peers(policy: &Policy) -> impl Iterator<Item = (&Namespaces, &Selector)> {
    let rules = policy.ingress.iter().chain(&policy.egress);
    let lists = rules.filter_map(|rule| match rule {
        Rule::Allow {
            peers: Peers::Listed(peers),
            ..
        } => Some(peers),
        Rule::Allow { .. } | Rule::NotUnderstood => None,
    });
    lists.flatten().filter_map(|peer| match peer {
        Peer::Pods { namespaces, pods } => Some((namespaces, pods)),
        Peer::Block(_) => None,
    })
}

type ByNamespace<'a> = BTreeMap<&'a str, BTreeSet<&'a Labels>>;

fn by_namespace(pods: &BTreeMap<PodId, Pod>) -> ByNamespace<'_> {
    let mut found = ByNamespace::new();
    for (id, pod) in pods.iter().filter(|(_, pod)| pod.is_selectable()) {
        found.entry(&id.namespace).or_default().insert(&pod.labels);
    }
    found
}

struct Finder<'a> {
    namespaces: &'a BTreeMap<String, Labels>,
    pods: ByNamespace<'a>,
    found: Possible,
}

impl Finder<'_> {
    /// For a selector of the pods of one namespace.
    fn own(&mut self, namespace: &str, pods: &Selector) {
        let known = self.pods.get(namespace).into_iter().flatten();
        if !known.into_iter().any(|labels| pods.matches(labels))
            && let Some(labels) = witness(pods)
        {
            self.pod(namespace, labels);
        }
    }

    /// For a selector of namespaces and one of their pods.
    fn matching(&mut self, selector: &Selector, pods: &Selector) {
        let mut matching: Vec<String> = self
            .namespaces
            .iter()
            .filter(|(name, labels)| selector.matches(&named(name, labels)))
            .map(|(name, _)| name.clone())
            .collect();
        let has_pod = |name: &String| {
            let labels = self.pods.get(name.as_str()).into_iter().flatten();
            labels.into_iter().any(|labels| pods.matches(labels))
        };
        if matching.iter().any(has_pod) {
            return;
        }
        if selector.matches(&named(OTHER_NAMESPACE, &Labels::default())) {
            matching = vec![OTHER_NAMESPACE.to_owned()];
        }
        if matching.is_empty() {
            let Some(labels) = witness(selector) else {
                return;
            };
            let name = labels.value(NAMESPACE_NAME_LABEL);
            let name = name.map_or_else(|| format!("[{}]", written(&labels)), str::to_owned);
            if !selector.matches(&named(&name, &labels)) {
                return;
            }
            self.namespace(&name, labels);
            matching.push(name);
        }
        if let Some(labels) = witness(pods) {
            for namespace in matching {
                self.pod(&namespace, labels.clone());
            }
        }
    }

    fn namespace(&mut self, name: &str, labels: Labels) {
        self.found.namespaces.insert(name.to_owned(), labels);
    }

    fn pod(&mut self, namespace: &str, labels: Labels) {
        let name = if labels.iter().next().is_none() {
            OTHER_POD.to_owned()
        } else {
            format!("[{}]", written(&labels))
        };
        let id = PodId::new(namespace, &name);
        let pod = Pod {
            id: id.clone(),
            labels,
            node: None,
            addresses: Vec::new(),
            host_addresses: Vec::new(),
            host_network: false,
            finished: false,
            terminating: false,
            ports: Arc::new([]),
        };
        self.found.pods.insert(id, pod);
    }
}

/// The fewest labels that a selector matches; `None` where nothing does.
pub(crate) fn witness(selector: &Selector) -> Option<Labels> {
    let mut labels: Vec<(&str, String)> = Vec::new();
    for (key, constraint) in selector.constraints() {
        if constraint.may_lack {
            continue;
        }
        match &constraint.values {
            Values::Only(values) => labels.push((key, values.first()?.to_string())),
            Values::Except(values) => {
                let mut free = "any".to_owned();
                while values.contains(free.as_str()) {
                    free.push('x');
                }
                labels.push((key, free));
            }
        }
    }
    Some(labels.into_iter().collect())
}

fn written(labels: &Labels) -> String {
    let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}
