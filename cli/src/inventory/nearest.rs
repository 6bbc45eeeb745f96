//! What may have been meant by a name that the input does not have.

use policy_core::{Cluster, PodId};

/// The pod or template that is named nearly so: the workload of this name where none was written, the same name in
/// another namespace, or a name with a typing error.
pub(crate) fn nearest(cluster: &Cluster, id: &PodId) -> Option<PodId> {
    let wanted = last(id);
    let most = (wanted.chars().count() / 4).clamp(1, 2);
    let pods = cluster.pods().values().filter(|pod| !pod.finished);
    let near = pods.filter_map(|pod| {
        let is_elsewhere = pod.id.namespace != id.namespace;
        let distance = strsim::osa_distance(wanted, last(&pod.id));
        let is_near = distance <= if is_elsewhere { 0 } else { most };
        is_near.then_some((is_elsewhere, distance, &pod.id))
    });
    near.min().map(|(_, _, id)| id.clone())
}

/// The name without the kind.
fn last(id: &PodId) -> &str {
    id.name.rsplit('/').next().unwrap_or_default()
}

/// `; did you mean shop/Deployment/web?`, where there is something to ask.
pub(crate) fn meant(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean {near}?"))
}
