//! What service accounts ask of an API server, from the record that it keeps of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::HarnessError;

/// The record, in the control plane's folder.
const RECORD: &str = "audit.log";

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// The API group of the resource; empty for the core.
    pub group: String,
    /// The resource, such as `pods`.
    pub resource: String,
    /// What was to be done with it, in the words of RBAC.
    pub verb: String,
    /// Whether the account has the right to.
    pub is_allowed: bool,
    /// Whether a watch was to begin with what there is (`sendInitialEvents`): a list as a stream.
    pub is_streaming_list: bool,
}

/// The options that make an API server keep the record. Nothing is written of other users.
pub(crate) fn options(folder: &Path) -> Result<[String; 2], HarnessError> {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
            {"level": "None"},
        ],
    });
    let path = folder.join("audit.json");
    let written = fs::write(&path, policy.to_string());
    written.map_err(HarnessError::io(format!("write {}", path.display())))?;
    Ok([
        format!("--audit-policy-file={}", path.display()),
        format!("--audit-log-path={}", folder.join(RECORD).display()),
    ])
}

/// What the account has asked for until now, each with how often. What is no resource, such as the API's version, is not
/// told.
pub(crate) fn read(
    folder: &Path,
    namespace: &str,
    account: &str,
) -> Result<BTreeMap<Asked, usize>, HarnessError> {
    let failed = || HarnessError::io("read what was asked of the API server");
    let text = fs::read_to_string(folder.join(RECORD)).map_err(failed())?;
    let user = format!("system:serviceaccount:{namespace}:{account}");
    let mut asked = BTreeMap::new();
    // A watch is noted when it begins and when it ends.
    let mut seen = BTreeSet::new();
    // The last line may be on its way.
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        let event: Value =
            serde_json::from_str(line).map_err(|error| failed()(io::Error::other(error)))?;
        let object = &event["objectRef"];
        if event["user"]["username"] != user || object.is_null() {
            continue;
        }
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if !seen.insert(word(&event["auditID"])) {
            continue;
        }
        let kind = Asked {
            group: word(&object["apiGroup"]),
            resource: word(&object["resource"]),
            verb: word(&event["verb"]),
            is_allowed: event["annotations"]["authorization.k8s.io/decision"] == "allow",
            is_streaming_list: word(&event["requestURI"]).contains("sendInitialEvents=true"),
        };
        *asked.entry(kind).or_default() += 1;
    }
    Ok(asked)
}
