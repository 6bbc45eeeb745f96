//! From a pod to the labels that its workload is known by.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use policy_core::selector::Constraint;
use policy_core::{Cluster, Labels, Pod, PodId, Selector};

use super::Party;
use super::flows::WrittenEnd;
use crate::inventory::{meant, nearest};
use crate::remedy::lasting;

/// Labels that change with a release. They are left out where the others select the same pods.
const RELEASE_LABELS: [&str; 5] = [
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "chart",
    "helm.sh/chart",
    "heritage",
];

/// Pods by what selects them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// Their namespace.
    pub namespace: Arc<str>,
    /// The labels to select them by; never empty.
    pub labels: Labels,
}

impl Workload {
    /// The workload of a pod; `None` where no label lasts, so that nothing could select it alone.
    #[must_use]
    pub fn of(pod: &Pod, cluster: &Cluster) -> Option<Self> {
        let all = lasting(&pod.labels);
        let kept = all.iter().filter(|(key, _)| !RELEASE_LABELS.contains(key));
        let kept: Labels = kept.collect();
        let namespace = pod.id.namespace.clone();
        let few = Self {
            namespace: namespace.clone(),
            labels: kept,
        };
        let whole = Self {
            namespace,
            labels: all,
        };
        let labels = |labels: &Labels| labels.iter().count();
        if labels(&few.labels) > 0 && few.pods(cluster).count() == whole.pods(cluster).count() {
            return Some(few);
        }
        (labels(&whole.labels) > 0).then_some(whole)
    }

    /// The selector of its pods.
    #[must_use]
    pub fn selector(&self) -> Selector {
        let labels = self.labels.iter();
        labels
            .map(|(key, value)| (key, Constraint::one_of([value])))
            .collect()
    }

    /// The pods of the input that it selects.
    pub fn pods<'c>(&self, cluster: &'c Cluster) -> impl Iterator<Item = &'c Arc<Pod>> + use<'c> {
        let selector = self.selector();
        let own = of_namespace(cluster, &self.namespace);
        own.filter(move |pod| pod.is_selectable() && selector.matches(&pod.labels))
    }

    /// Whether its pods answer for names, by the labels that distributions give them.
    pub fn is_name_server(&self) -> bool {
        let value = |key| self.labels.value(key);
        matches!(
            value("k8s-app"),
            Some("kube-dns" | "coredns" | "node-local-dns")
        ) || value("app.kubernetes.io/name") == Some("coredns")
    }
}

/// The pods of a namespace.
fn of_namespace<'c>(
    cluster: &'c Cluster,
    namespace: &str,
) -> impl Iterator<Item = &'c Arc<Pod>> + use<'c> {
    let first = PodId::new(namespace, "");
    let namespace = first.namespace.clone();
    let from = cluster.pods().range(first..);
    from.map(|(_, pod)| pod)
        .take_while(move |pod| pod.id.namespace == namespace)
}

/// Finds the ends of flows.
pub(super) struct Finder<'a> {
    cluster: &'a Cluster,
    owners: BTreeMap<IpAddr, &'a PodId>,
}

impl<'a> Finder<'a> {
    /// `written` holds the addresses that the input states.
    pub(super) fn new(cluster: &'a Cluster, written: &'a Cluster) -> Self {
        let mut owners = BTreeMap::new();
        for pod in written.pods().values().filter(|pod| pod.is_selectable()) {
            owners.extend(pod.addresses.iter().map(|&address| (address, &pod.id)));
        }
        Self { cluster, owners }
    }

    pub(super) fn party(&self, end: &WrittenEnd) -> Result<Party, String> {
        let address = end.address.as_deref().map(|text| {
            let address = text.parse::<IpAddr>();
            address
                .map(|address| address.to_canonical())
                .map_err(|_| format!("{text:?} is no address"))
        });
        let address = address.transpose()?;
        let named = end.name.as_deref().and_then(|name| self.named(name));
        let owner = address.and_then(|address| self.owners.get(&address));
        let pod = named.or_else(|| owner.and_then(|id| self.cluster.pods().get(*id)));
        let Some(pod) = pod else {
            return match (address, &end.name) {
                (Some(address), None) => Ok(Party::Address(address)),
                (_, Some(name)) => Err(format!("{name} is not in the input{}", self.asking(name))),
                (None, None) => Err("names nobody".to_owned()),
            };
        };
        if pod.finished {
            return Err(format!("{} has finished", pod.id));
        }
        // Policies know a pod on its node's network by the node's address alone.
        if pod.host_network {
            let written = address.or_else(|| pod.addresses.first().copied());
            return written
                .map(Party::Address)
                .ok_or_else(|| format!("{} has no address", pod.id));
        }
        match Workload::of(pod, self.cluster) {
            Some(workload) => Ok(Party::Pod(Arc::clone(pod), workload)),
            None => Err(format!(
                "{} has no label that lasts, so no policy can select it alone",
                pod.id
            )),
        }
    }

    /// What may have been meant by a name.
    fn asking(&self, name: &str) -> String {
        let id = name.split_once('/');
        let id = id.map(|(namespace, name)| PodId::new(namespace, name));
        let near = id.and_then(|id| nearest(self.cluster, &id));
        meant(near.map(|near| near.to_string()).as_deref())
    }

    /// A pod by its name, or by the workload that made it: `shop/web-6c9f-x2v` is one of `shop/Deployment/web`.
    fn named(&self, name: &str) -> Option<&'a Arc<Pod>> {
        let (namespace, name) = name.split_once('/')?;
        let exact = self.cluster.pods().get(&PodId::new(namespace, name));
        exact.or_else(|| {
            let own = of_namespace(self.cluster, namespace);
            let made = own.filter_map(|pod| {
                let (_, workload) = pod.id.name.split_once('/')?;
                let rest = name.strip_prefix(workload)?;
                rest.starts_with('-').then_some((workload.len(), pod))
            });
            let made: Vec<(usize, &Arc<Pod>)> = made.collect();
            let longest = made.iter().map(|(length, _)| *length).max()?;
            let mut best = made.iter().filter(|(length, _)| *length == longest);
            // Two workloads of one name: nobody knows whose pod it is.
            let (_, pod) = best.next()?;
            best.next().is_none().then_some(*pod)
        })
    }
}
