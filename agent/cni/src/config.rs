//! The plugin's part of the network configuration, from standard input.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{CniError, Code};
use crate::protocol::Sandbox;

/// The versions of the specification that are spoken. Those before 1.0.0 are there because CNIs still write them
/// (Flannel 0.3.1), and a plugin must speak its list's version.
pub const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// The newest of them.
pub const NEWEST: &str = VERSIONS[VERSIONS.len() - 1];

/// Where the agent listens unless it is told otherwise.
pub const SOCKET: &str = "/run/nopal/cni.sock";

/// How long ADD waits unless it is told otherwise. The runtime gives up on a sandbox after minutes.
const PATIENCE: u64 = 10;

/// The longest that it can be told to wait.
const LONGEST: u64 = 120;

/// What happens to a pod when the agent does not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// It does not start, and the runtime tries again.
    #[default]
    FailClosed,
    /// It starts in quarantine, until its rules are in force.
    FailOpen,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    cni_version: Option<String>,
    #[serde(default)]
    socket: Option<PathBuf>,
    #[serde(default)]
    timeout_seconds: Option<u64>,
    #[serde(default)]
    on_failure: OnFailure,
    #[serde(default)]
    exempt_namespaces: BTreeSet<String>,
    #[serde(default)]
    prev_result: Option<Box<RawValue>>,
    #[serde(default, rename = "cni.dev/valid-attachments")]
    valid_attachments: Option<Vec<WrittenAttachment>>,
}

/// An attachment as GC names it.
#[derive(Debug, Deserialize)]
struct WrittenAttachment {
    #[serde(rename = "containerID")]
    container_id: String,
    ifname: String,
}

/// The plugin's configuration.
#[derive(Debug)]
pub struct Config {
    /// The version of the specification that this call speaks.
    pub cni_version: String,
    /// Where the agent listens.
    pub socket: PathBuf,
    /// How long to wait for it.
    pub patience: Duration,
    /// What happens when it does not answer.
    pub on_failure: OnFailure,
    /// Namespaces whose pods are not held back.
    pub exempt_namespaces: BTreeSet<String>,
    /// What the plugins before this one have done, byte for byte.
    pub prev_result: Option<Box<RawValue>>,
    /// The attachments that are not stale, for GC.
    pub valid_attachments: Option<Vec<Sandbox>>,
}

/// The `cniVersion` that is asked for, as far as it can be read: errors and VERSION answer in it.
pub fn version(input: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        cni_version: String,
    }
    serde_json::from_slice(input)
        .ok()
        .map(|version: Version| version.cni_version)
}

impl Config {
    /// Reads the configuration of one call. Fields that are not ours are the runtime's or other plugins'.
    pub fn read(input: &[u8]) -> Result<Self, CniError> {
        let written: Written = serde_json::from_slice(input).map_err(|error| {
            CniError::new(
                Code::Decode,
                "cannot read the network configuration",
                error.to_string(),
            )
        })?;
        let cni_version = written.cni_version.unwrap_or_default();
        if !VERSIONS.contains(&cni_version.as_str()) {
            let details = format!(
                "cniVersion is {cni_version:?}; nopal-cni speaks {}",
                VERSIONS.join(", ")
            );
            let message = "incompatible CNI version";
            return Err(CniError::new(Code::IncompatibleVersion, message, details));
        }
        let socket = written.socket.unwrap_or_else(|| SOCKET.into());
        if !socket.is_absolute() {
            return Err(invalid("socket is no absolute path"));
        }
        let seconds = written.timeout_seconds.unwrap_or(PATIENCE);
        if !(1..=LONGEST).contains(&seconds) {
            let details = format!("timeoutSeconds is {seconds} and must be from 1 to {LONGEST}");
            return Err(invalid(details));
        }
        let sandbox = |written: WrittenAttachment| Sandbox {
            container_id: written.container_id,
            interface: written.ifname,
        };
        Ok(Self {
            cni_version,
            socket,
            patience: Duration::from_secs(seconds),
            on_failure: written.on_failure,
            exempt_namespaces: written.exempt_namespaces,
            prev_result: written.prev_result,
            valid_attachments: written
                .valid_attachments
                .map(|all| all.into_iter().map(sandbox).collect()),
        })
    }
}

fn invalid(details: impl Into<String>) -> CniError {
    CniError::new(
        Code::InvalidConfig,
        "invalid network configuration",
        details,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(input: &str) -> u32 {
        Config::read(input.as_bytes()).unwrap_err().code.number()
    }

    #[test]
    fn a_bare_configuration_has_defaults_and_foreign_fields_do_not_matter() {
        let input =
            r#"{"cniVersion":"1.1.0","name":"n","type":"nopal-cni","runtimeConfig":{"x":[1]}}"#;
        let config = Config::read(input.as_bytes()).unwrap();
        assert_eq!(config.socket, PathBuf::from(SOCKET));
        assert_eq!(config.patience, Duration::from_secs(10));
        assert_eq!(config.on_failure, OnFailure::FailClosed);
        let open = br#"{"cniVersion":"1.1.0","onFailure":"failOpen"}"#;
        assert_eq!(Config::read(open).unwrap().on_failure, OnFailure::FailOpen);
        assert!(config.prev_result.is_none() && config.valid_attachments.is_none());
    }

    #[test]
    fn what_cannot_be_meant_has_the_code_of_the_specification() {
        assert_eq!(code(""), 6);
        assert_eq!(code("[1"), 6);
        assert_eq!(code(r#"{"cniVersion":"1.0.0","socket":5}"#), 6);
        assert_eq!(code("{}"), 1);
        assert_eq!(code(r#"{"cniVersion":"0.2.0"}"#), 1);
        assert_eq!(code(r#"{"cniVersion":"1.0.0","socket":"s"}"#), 7);
        assert_eq!(code(r#"{"cniVersion":"1.0.0","timeoutSeconds":0}"#), 7);
        assert_eq!(code(r#"{"cniVersion":"1.0.0","onFailure":"shrug"}"#), 6);
    }

    #[test]
    fn the_version_of_a_configuration_that_is_wrong_otherwise_is_still_known() {
        let input = br#"{"cniVersion":"1.0.0","socket":5}"#;
        assert_eq!(version(input).as_deref(), Some("1.0.0"));
        assert_eq!(version(b"nothing"), None);
    }
}
