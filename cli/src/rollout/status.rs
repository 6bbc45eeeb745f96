//! What an agent says of itself, against what is wanted. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// What has to be in force.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The resourceVersion of each policy, by `namespace/name`.
    pub versions: BTreeMap<String, u64>,
    /// When these are all policies that there are: the version of that list. Another policy that is not younger must have
    /// gone.
    pub complete_at: Option<u64>,
}

/// A policy's place and version.
#[derive(Debug, Deserialize)]
pub(super) struct PolicyObject {
    pub(super) metadata: PolicyMetadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyMetadata {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) resource_version: String,
}

/// An agent's `/v1/status`, as far as it matters here. Fields that an agent of another version has besides do not.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    ready: bool,
    #[serde(default)]
    mode: String,
    in_force: InForce,
    #[serde(default)]
    unenforceable: Vec<serde_json::Value>,
    #[serde(default)]
    quarantined: BTreeSet<String>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct InForce {
    #[serde(default)]
    policies: BTreeMap<String, Version>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    resource_version: u64,
}

impl Status {
    /// Why what is wanted is not in force; `None` when it is.
    pub fn lag(&self, wanted: &Wanted) -> Option<String> {
        if !self.ready {
            return Some(self.with_error("its agent has no complete view in force yet"));
        }
        let has = |id: &str| self.in_force.policies.get(id).map(|it| it.resource_version);
        let mut lags = wanted.versions.iter().filter_map(|(id, &version)| {
            match has(id) {
                None => Some(format!("it does not have {id} yet")),
                // The newest version of a policy is what everybody gets to.
                Some(held) if held < version => {
                    Some(format!("it has {id} in version {held} and not {version}"))
                }
                Some(_) => None,
            }
        });
        let held = self.in_force.policies.iter();
        let gone = held.filter(|(id, held)| {
            let is_of_then = wanted
                .complete_at
                .is_some_and(|at| held.resource_version <= at);
            is_of_then && !wanted.versions.contains_key(*id)
        });
        let mut gone = gone.map(|(id, _)| format!("it still has {id}, which was deleted"));
        let first = lags.next().or_else(|| gone.next())?;
        let more = lags.count() + gone.count();
        let more = match more {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Some(self.with_error(&format!("{first}{more}")))
    }

    /// What there is to say though everything is in force.
    pub(super) fn notes(&self, node: &str) -> BTreeSet<String> {
        let mut notes = BTreeSet::new();
        if self.mode == "audit" {
            notes.insert(format!("{node}: its agent only audits, and denies nothing"));
        }
        if !self.unenforceable.is_empty() {
            let count = self.unenforceable.len();
            notes.insert(format!(
                "{node}: rules cannot hold for {count} addresses of its pods; its agent's log and status tell why"
            ));
        }
        if !self.quarantined.is_empty() {
            let pods: Vec<&str> = self.quarantined.iter().map(String::as_str).collect();
            notes.insert(format!("{node}: in quarantine are {}", pods.join(", ")));
        }
        notes
    }

    fn with_error(&self, lag: &str) -> String {
        match &self.error {
            Some(error) => format!("{lag}; its last sync failed: {error}"),
            None => lag.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn status(policies: &Value) -> Status {
        let document = json!({
            "node": "a", "ready": true, "mode": "enforce",
            "inForce": {"newest": {}, "policies": policies, "problems": {}},
            "unenforceable": [], "somethingNew": 1,
        });
        serde_json::from_value(document).unwrap()
    }

    fn wanted(complete_at: Option<u64>) -> Wanted {
        let versions = [("shop/db", 7), ("shop/web", 9)];
        Wanted {
            versions: versions
                .map(|(id, version)| (id.to_owned(), version))
                .into(),
            complete_at,
        }
    }

    #[test]
    fn the_wanted_versions_or_later_ones_are_in_force() {
        let has = |db: u64, web: u64| {
            status(&json!({
                "shop/db": {"resourceVersion": db, "generation": 1},
                "shop/web": {"resourceVersion": web, "generation": 1},
            }))
        };
        assert_eq!(has(7, 9).lag(&wanted(Some(10))), None);
        assert_eq!(has(8, 12).lag(&wanted(None)), None);
        let lag = has(6, 8).lag(&wanted(None)).unwrap();
        assert_eq!(lag, "it has shop/db in version 6 and not 7, and 1 more");
        let none = status(&json!({})).lag(&wanted(None)).unwrap();
        assert_eq!(none, "it does not have shop/db yet, and 1 more");
    }

    #[test]
    fn a_deleted_policy_must_have_gone_and_a_younger_one_may_be_there() {
        let held = json!({
            "shop/db": {"resourceVersion": 7}, "shop/web": {"resourceVersion": 9},
            "shop/old": {"resourceVersion": 10}, "shop/new": {"resourceVersion": 11},
        });
        let lag = status(&held).lag(&wanted(Some(10))).unwrap();
        assert_eq!(lag, "it still has shop/old, which was deleted");
        assert_eq!(status(&held).lag(&wanted(Some(9))), None);
        assert_eq!(status(&held).lag(&wanted(None)), None);
        let nothing = Wanted {
            complete_at: Some(8),
            ..Wanted::default()
        };
        let lag = status(&json!({"shop/db": {"resourceVersion": 7}})).lag(&nothing);
        assert_eq!(lag.unwrap(), "it still has shop/db, which was deleted");
    }

    #[test]
    fn an_agent_that_is_not_ready_or_fails_says_so() {
        let mut unready = status(&json!({}));
        unready.ready = false;
        unready.error = Some("no space".to_owned());
        assert_eq!(
            unready.lag(&Wanted::default()).unwrap(),
            "its agent has no complete view in force yet; its last sync failed: no space"
        );
        let mut audits = status(&json!({}));
        audits.mode = "audit".to_owned();
        audits.unenforceable = vec![json!({}), json!({})];
        assert_eq!(audits.notes("a").len(), 2);
    }
}
