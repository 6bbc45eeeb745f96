//! Which workload a pod belongs to.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use policy_core::PodId;

use crate::manifest::{Content, Manifests};

/// The label that a Deployment's controller gives to the `ReplicaSet` that it makes, and that `ReplicaSet` to its pods.
const HASH_LABEL: &str = "pod-template-hash";

/// For each pod that a workload made, this workload as `Kind/name`.
#[derive(Debug, Default)]
pub struct Owners {
    of_pod: BTreeMap<PodId, String>,
}

impl Owners {
    /// Reads owner references; a `ReplicaSet` or Job stands for the Deployment or `CronJob` that made it.
    #[must_use]
    pub fn new(manifests: &Manifests) -> Self {
        let mut makers: BTreeMap<(&str, &str, &str), &OwnerReference> = BTreeMap::new();
        for object in &manifests.objects {
            let Content::Workload(workload) = &object.content else {
                continue;
            };
            let reference = &object.reference;
            if let Some(owner) = controller(&workload.metadata) {
                let namespace = reference.namespace.as_deref().unwrap_or_default();
                makers.insert((namespace, &reference.kind, &reference.name), owner);
            }
        }
        let mut owners = Self::default();
        for object in &manifests.objects {
            let Content::Pod(pod) = &object.content else {
                continue;
            };
            let Some(owner) = controller(&pod.metadata) else {
                continue;
            };
            let namespace = object.reference.namespace.as_deref().unwrap_or_default();
            let known = makers.get(&(namespace, owner.kind.as_str(), owner.name.as_str()));
            let name = match known {
                Some(maker) => format!("{}/{}", maker.kind, maker.name),
                None => made_by(&pod.metadata, owner),
            };
            let id = PodId::new(namespace, &object.reference.name);
            owners.of_pod.insert(id, name);
        }
        owners
    }

    /// The workload of a pod, `Kind/name`; a pod that none made is its own, and a template has its workload's name.
    pub fn workload<'o>(&'o self, pod: &'o PodId) -> &'o str {
        self.of_pod.get(pod).map_or(&pod.name, String::as_str)
    }
}

/// The workload that made a pod, as `Kind/name`, by what the pod itself says.
pub(crate) fn maker(metadata: &ObjectMeta) -> Option<String> {
    controller(metadata).map(|owner| made_by(metadata, owner))
}

fn made_by(metadata: &ObjectMeta, owner: &OwnerReference) -> String {
    by_hash(metadata, owner).unwrap_or_else(|| format!("{}/{}", owner.kind, owner.name))
}

fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let owners = metadata.owner_references.as_ref()?;
    owners.iter().find(|owner| owner.controller == Some(true))
}

/// `ReplicaSet/web-5d4f` with the hash `5d4f` is of `Deployment/web`, also where the input lacks the `ReplicaSet`.
fn by_hash(metadata: &ObjectMeta, owner: &OwnerReference) -> Option<String> {
    let hash = metadata.labels.as_ref()?.get(HASH_LABEL)?;
    let name = owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
    (owner.kind == "ReplicaSet").then(|| format!("Deployment/{name}"))
}
