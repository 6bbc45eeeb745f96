//! Reads the annotation that says how policies are taken, on a policy or on a namespace.

use super::Problems;
use super::path::Path;
use crate::policy::{MODE_ANNOTATION, Mode};
use crate::problem::ProblemKind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The mode that an object states; `None` without the annotation. A word that is not known enforces, and `outcome` says
/// of whom.
pub(super) fn mode(
    metadata: &ObjectMeta,
    outcome: &'static str,
    problems: &mut Problems<'_>,
) -> Option<Mode> {
    let annotations = metadata.annotations.as_ref();
    let written = annotations.and_then(|annotations| annotations.get(MODE_ANNOTATION))?;
    Some(match written.as_str() {
        "audit" => Mode::Audit,
        "enforce" => Mode::Enforce,
        _ => {
            let metadata = Path::Object.field("metadata");
            let path = metadata.field("annotations");
            let kind = ProblemKind::UnknownMode {
                written: written.clone(),
                outcome,
            };
            problems.add(&path.field(MODE_ANNOTATION), kind);
            Mode::Enforce
        }
    })
}
