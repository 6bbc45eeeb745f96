//! Errors as the CNI specification has them: a code, a message and details, as JSON on standard output.

use serde_json::json;

/// What the code of an error says (CNI specification, "Error").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The configuration's `cniVersion` is not one that we speak.
    IncompatibleVersion,
    /// The container is not known.
    UnknownContainer,
    /// A variable of the environment is missing or wrong.
    InvalidEnvironment,
    /// Standard input cannot be read.
    Io,
    /// Standard input is no JSON of the right shape.
    Decode,
    /// The configuration asks for what cannot be done.
    InvalidConfig,
    /// It may work later: the runtime tries the pod's sandbox again.
    TryAgainLater,
    /// The plugin cannot serve ADD now.
    NotAvailable,
}

impl Code {
    /// The number in the specification.
    pub fn number(self) -> u32 {
        match self {
            Self::IncompatibleVersion => 1,
            Self::UnknownContainer => 3,
            Self::InvalidEnvironment => 4,
            Self::Io => 5,
            Self::Decode => 6,
            Self::InvalidConfig => 7,
            Self::TryAgainLater => 11,
            Self::NotAvailable => 50,
        }
    }
}

/// An error of the plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {details}")]
pub struct CniError {
    /// What kind of error.
    pub code: Code,
    /// What could not be done.
    pub message: String,
    /// Why, and the way out.
    pub details: String,
}

impl CniError {
    /// An error.
    pub fn new(code: Code, message: impl Into<String>, details: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: details.into(),
        }
    }

    /// The object that the runtime reads from standard output.
    pub fn to_json(&self, cni_version: &str) -> String {
        json!({
            "cniVersion": cni_version,
            "code": self.code.number(),
            "msg": self.message,
            "details": self.details,
        })
        .to_string()
    }
}
