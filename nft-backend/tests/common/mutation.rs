//! Small changes of a cluster.

use policy_core::testing::{Objects, Rng};
use serde_json::{Value, json};

/// The objects after one change: a pod comes, goes or gets other labels, or a policy comes, goes or says something else.
pub(crate) fn mutate(objects: &Objects, rng: &mut Rng, number: u64) -> Objects {
    let mut written = objects.written().to_vec();
    let of = |kind: &str, written: &[Value]| -> Vec<usize> {
        let is_kind = |index: &usize| written[*index]["kind"] == kind;
        (0..written.len()).filter(is_kind).collect()
    };
    let (pods, policies) = (of("Pod", &written), of("NetworkPolicy", &written));
    let name = format!("new-{number}");
    match rng.below(7) {
        0 | 1 if !pods.is_empty() => {
            let mut pod = written[*rng.pick(&pods)].clone();
            pod["metadata"]["name"] = json!(name);
            pod["status"]["podIPs"] = json!([
                {"ip": format!("10.77.0.{number}")}, {"ip": format!("fd00:77::{number}")}]);
            pod["status"]["podIP"] = json!(format!("10.77.0.{number}"));
            written.push(pod);
        }
        2 if !pods.is_empty() => {
            written.remove(*rng.pick(&pods));
        }
        3 if !pods.is_empty() => {
            let labels = written[*rng.pick(&pods)]["metadata"]["labels"].clone();
            written[*rng.pick(&pods)]["metadata"]["labels"] = labels;
        }
        4 if !policies.is_empty() => {
            written.remove(*rng.pick(&policies));
        }
        5 if !policies.is_empty() => {
            let mut policy = written[*rng.pick(&policies)].clone();
            policy["metadata"]["name"] = json!(name);
            written.push(policy);
        }
        _ if !policies.is_empty() => {
            let spec = written[*rng.pick(&policies)]["spec"].clone();
            written[*rng.pick(&policies)]["spec"] = spec;
        }
        _ => {}
    }
    Objects::read(written).unwrap()
}
