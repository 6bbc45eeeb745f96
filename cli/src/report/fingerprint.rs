//! Names for findings that stay the same while lines move: made of the rule, the object, the field and its text.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::problem::Segment;
use serde_json::Value;

use crate::lint::Finding;

/// More of a value's text does not make its finding easier to tell.
const LONGEST_TEXT: usize = 200;

/// A fingerprint for each finding. Equal ones are told apart by their order.
pub(crate) fn fingerprints<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<String> {
    let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
    let numbered = findings.map(|finding| {
        let hash = hash(&identity(finding));
        let count = seen.entry(hash).or_default();
        *count += 1;
        format!("{hash:016x}:{count}")
    });
    numbered.collect()
}

/// The fingerprints that a report of `nopal lint --format json` holds; else what the text is.
pub(crate) fn known(report: &str) -> Result<BTreeSet<String>, String> {
    let report: Value =
        serde_json::from_str(report).map_err(|error| format!("no report of nopal ({error})"))?;
    let findings = report["findings"].as_array();
    let known = findings.map(|findings| {
        let known = findings
            .iter()
            .map(|finding| finding["fingerprint"].as_str());
        known.map(|known| known.map(str::to_owned)).collect()
    });
    known
        .flatten()
        .ok_or_else(|| "a report of another version of nopal".to_owned())
}

/// What a finding is about, without anything that moves when other lines or list entries come and go.
fn identity(finding: &Finding) -> String {
    let fields = finding
        .path
        .segments()
        .iter()
        .filter_map(|segment| match segment {
            Segment::Field(name) => Some(name.as_str()),
            Segment::Index(_) => None,
        });
    let path: Vec<&str> = fields.collect();
    let text = finding.place.source.slice(finding.place.span);
    let text: String = text.chars().take(LONGEST_TEXT).collect();
    let (code, object) = (finding.code, &finding.object);
    format!("{code}\n{object}\n{}\n{text}", path.join("."))
}

/// FNV-1a: the same on every machine and in every version.
fn hash(text: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    text.bytes().fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    })
}
