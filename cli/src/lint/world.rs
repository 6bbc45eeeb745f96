//! The pods and namespaces of the input, for rules that ask whom a selector selects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::Namespaces;
use policy_core::{Labels, Mode, Pod, PodId, Selector};

use crate::inventory::Inventory;
use crate::manifest::{Content, Manifests, Object, UNSTATED_NAMESPACE};

/// What the input says of the cluster.
#[derive(Debug, Default)]
pub struct World {
    namespaces: BTreeMap<Arc<str>, Labels>,
    modes: BTreeMap<Arc<str>, Mode>,
    /// Finished pods are among them: they have the labels that the next run of their job will have.
    pods: BTreeMap<Arc<str>, Vec<Arc<Pod>>>,
    host_pods: BTreeMap<Arc<str>, Vec<Arc<Pod>>>,
    /// The namespaces in which pods may run that the input does not show: an operator makes them.
    partly_shown: BTreeSet<String>,
    /// The pods (or templates) whose namespace is not known.
    unplaced: BTreeSet<PodId>,
    /// The pods that ask another name server than the cluster's.
    without_cluster_dns: BTreeSet<PodId>,
    /// Whether some pod or node has addresses of this family, or a node's network or a Service.
    has_v4: bool,
    has_v6: bool,
}

impl World {
    /// Takes the pods (and workload templates) and namespaces of the input.
    #[must_use]
    pub fn new(manifests: &Manifests) -> Self {
        let cluster = Inventory::without_policies(manifests).cluster;
        let mut world = Self {
            namespaces: cluster
                .namespaces()
                .values()
                .map(|namespace| (namespace.name.clone(), namespace.labels.clone()))
                .collect(),
            modes: cluster
                .namespaces()
                .values()
                .map(|namespace| (namespace.name.clone(), namespace.mode))
                .collect(),
            without_cluster_dns: manifests
                .objects
                .iter()
                .filter_map(without_cluster_dns)
                .collect(),
            partly_shown: manifests.makers.clone(),
            unplaced: manifests
                .objects
                .iter()
                .filter(|object| !object.is_placed)
                .filter_map(|object| object.pod().map(|(pod, _)| pod))
                .collect(),
            ..Self::default()
        };
        // A namespace that policies alone mention exists too.
        let objects = manifests.objects.iter();
        let policies = objects.filter(|object| matches!(object.content, Content::Policy(_)));
        for name in policies.filter_map(|policy| policy.reference.namespace.as_deref()) {
            if !world.namespaces.contains_key(name) {
                let labels = Labels::default().with(NAMESPACE_NAME_LABEL, name);
                world.namespaces.insert(name.into(), labels);
            }
        }
        let nodes = cluster.nodes().values().flat_map(|node| &node.addresses);
        let pods = cluster.pods().values().flat_map(|pod| &pod.addresses);
        for address in nodes.chain(pods) {
            world.has_v4 |= address.is_ipv4();
            world.has_v6 |= address.is_ipv6();
        }
        for (has_v4, has_v6) in manifests.objects.iter().map(families) {
            world.has_v4 |= has_v4;
            world.has_v6 |= has_v6;
        }
        for pod in cluster.pods().values() {
            let namespace = Arc::clone(&pod.id.namespace);
            let pods = if pod.host_network {
                &mut world.host_pods
            } else {
                &mut world.pods
            };
            pods.entry(namespace).or_default().push(pod.clone());
        }
        world
    }

    /// Whether the input shows a cluster with addresses of both families.
    pub fn is_dual_stack(&self) -> bool {
        self.has_v4 && self.has_v6
    }

    /// The pods of a namespace that selectors can select.
    pub fn pods_in(&self, namespace: &str) -> &[Arc<Pod>] {
        self.pods.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// All pods that selectors can select.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values().flatten()
    }

    /// The pods that use their node's network, which selectors never select.
    pub fn host_pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.host_pods.values().flatten()
    }

    /// Those of one namespace.
    pub fn host_pods_in(&self, namespace: &str) -> &[Arc<Pod>] {
        self.host_pods.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// Whether a pod asks the cluster's name server.
    pub fn uses_cluster_dns(&self, pod: &PodId) -> bool {
        !self.without_cluster_dns.contains(pod)
    }

    /// Whether a pod that uses its node's network has the labels: selectors never select it.
    pub fn is_on_host_network(&self, namespace: &str, selector: &Selector) -> bool {
        let pods = self.host_pods.get(namespace);
        let mut pods = pods.into_iter().flatten();
        pods.any(|pod| selector.matches(&pod.labels))
    }

    /// The mode of a namespace's policies that state none.
    pub fn mode_of(&self, namespace: &str) -> Mode {
        self.modes.get(namespace).copied().unwrap_or_default()
    }

    /// The names and labels of the namespaces.
    pub fn namespaces(&self) -> &BTreeMap<Arc<str>, Labels> {
        &self.namespaces
    }

    /// The namespaces of a peer of a policy in `own`.
    pub fn matching<'w>(
        &'w self,
        own: &'w str,
        namespaces: &'w Namespaces,
    ) -> impl Iterator<Item = &'w str> {
        let all = self.namespaces.iter();
        all.filter(move |(name, labels)| match namespaces {
            Namespaces::Own => name.as_ref() == own,
            Namespaces::Matching(selector) => selector.matches(labels),
        })
        .map(|(name, _)| name.as_ref())
    }

    /// Whether the input holds any pod.
    pub fn has_pods(&self) -> bool {
        !self.pods.is_empty()
    }

    /// The pods that a peer of a policy in `own` is.
    pub fn selected<'w>(
        &'w self,
        own: &'w str,
        namespaces: &'w Namespaces,
        selector: &'w Selector,
    ) -> impl Iterator<Item = &'w Arc<Pod>> {
        let pods = self
            .matching(own, namespaces)
            .flat_map(|namespace| self.pods_in(namespace));
        pods.filter(|pod| selector.matches(&pod.labels))
    }

    /// Whether some pod of a namespace matches; `None` where the input has no pod of that namespace or not all, or where a
    /// controller may put on the labels that the selector asks for.
    pub fn has_match(&self, namespace: &str, selector: &Selector) -> Option<bool> {
        let shown = self.has_shown_match(namespace, selector);
        if shown == Some(false) && self.is_partly_shown(namespace) {
            return None;
        }
        shown
    }

    /// The same, as if no pods were there but those that the input shows.
    pub fn has_shown_match(&self, namespace: &str, selector: &Selector) -> Option<bool> {
        let pods = self.pods_in(namespace);
        let is_matched = pods.iter().any(|pod| selector.matches(&pod.labels));
        let is_known = || {
            !pods.is_empty()
                && !asks_for_injected(selector)
                && !self.may_be_moved_here(namespace, selector)
        };
        (is_matched || is_known()).then_some(is_matched)
    }

    /// Whether pods that name no namespace match: they may be applied to this one.
    fn may_be_moved_here(&self, namespace: &str, selector: &Selector) -> bool {
        if self.unplaced.is_empty() || namespace == UNSTATED_NAMESPACE {
            return false;
        }
        let mut pods = self.pods_in(UNSTATED_NAMESPACE).iter();
        pods.any(|pod| self.unplaced.contains(&pod.id) && selector.matches(&pod.labels))
    }

    /// Whether the namespace of a pod is known.
    pub fn is_placed(&self, pod: &PodId) -> bool {
        !self.unplaced.contains(pod)
    }

    /// Whether pods may run in a namespace that the input does not show, since an operator makes them.
    pub fn is_partly_shown(&self, namespace: &str) -> bool {
        self.partly_shown.contains(namespace)
    }
}

/// The pod (or template) of an object, if its `dnsPolicy` is `None` or `Default`.
fn without_cluster_dns(object: &Object) -> Option<PodId> {
    let (pod, spec) = object.pod()?;
    let asks_others = matches!(spec?.dns_policy.as_deref(), Some("None" | "Default"));
    asks_others.then_some(pod)
}

/// The families, IPv4 and IPv6, that the networks of a Node or the addresses of a Service are of.
fn families(object: &Object) -> (bool, bool) {
    let spoken: Vec<&str> = match &object.content {
        Content::Node(node) => {
            let spec = node.spec.iter();
            spec.flat_map(|spec| spec.pod_cidrs.iter().flatten().chain(&spec.pod_cidr))
                .map(String::as_str)
                .collect()
        }
        Content::Service(service) => {
            let Some(spec) = &service.spec else {
                return (false, false);
            };
            if spec.ip_family_policy.as_deref() == Some("RequireDualStack") {
                return (true, true);
            }
            spec.cluster_ips
                .iter()
                .chain(&spec.ip_families)
                .flatten()
                .map(String::as_str)
                .collect()
        }
        _ => return (false, false),
    };
    let is_v6 = |text: &&str| *text == "IPv6" || text.contains(':');
    let is_v4 = |text: &&str| *text == "IPv4" || text.contains('.');
    (spoken.iter().any(is_v4), spoken.iter().any(is_v6))
}

/// Whether a selector asks for labels that a controller puts on pods when it makes them, so that manifests lack them.
pub(super) fn asks_for_injected(selector: &Selector) -> bool {
    selector
        .constraints()
        .any(|(key, constraint)| !constraint.may_lack && is_injected(key))
}

pub(super) fn is_injected(key: &str) -> bool {
    let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
    matches!(
        key,
        "pod-template-hash"
            | "controller-revision-hash"
            | "pod-template-generation"
            | "statefulset.kubernetes.io/pod-name"
            | "apps.kubernetes.io/pod-index"
            | "job-name"
            | "controller-uid"
            | "spilo-role"
            | "topology.kubernetes.io/zone"
            | "topology.kubernetes.io/region"
    ) || prefix == "batch.kubernetes.io"
        || MAKERS_OF_LABELS
            .iter()
            .any(|domain| prefix.ends_with(domain))
}

/// Domains of labels that operators put on the pods that they make, and meshes on those that they join.
const MAKERS_OF_LABELS: [&str; 12] = [
    "argoproj.io",
    "cnpg.io",
    "crunchydata.com",
    "istio.io",
    "jobset.x-k8s.io",
    "k8s.elastic.co",
    "knative.dev",
    "kubevirt.io",
    "linkerd.io",
    "ray.io",
    "strimzi.io",
    "tekton.dev",
];
