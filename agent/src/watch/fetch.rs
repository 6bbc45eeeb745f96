//! One pod, asked for by its name.

use kube::{Api, Client};
use policy_core::PodId;

use super::change::Change;
use super::object::{Pods, Seen};
use super::relist::change;

/// The newest view of a pod, as a watch would tell it; `None` when there is no such pod.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn fetch(client: &Client, id: &PodId) -> Result<Option<Change>, kube::Error> {
    let api = Api::<Seen<Pods>>::namespaced_with(client.clone(), &id.namespace, &());
    // A GET without a resourceVersion is answered from etcd, not from what an API server remembers.
    let seen = api.get_opt(&id.name).await?;
    Ok(seen.map(|seen| change(seen).1))
}
