//! Why a control plane is not there.

use std::io;
use std::path::PathBuf;

/// What went wrong. Nothing is skipped: a test that needs a program fails without it.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// A program is not installed or built.
    #[error("{program} is not in {folder}; `{remedy}` makes it, or set KUBEBUILDER_ASSETS")]
    Missing {
        /// The program.
        program: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
        /// What provides it.
        remedy: &'static str,
    },
    /// The operating system refused something.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A program did not become ready in time, or ended.
    #[error("{program} is not ready: {reason}; its log ends with:\n{log}")]
    NotReady {
        /// The program.
        program: &'static str,
        /// How that shows.
        reason: String,
        /// The end of what it said.
        log: String,
    },
    /// kubectl or Helm said no.
    #[error("{program} {arguments} failed: {stderr}")]
    Client {
        /// Which of them.
        program: &'static str,
        /// What it was asked.
        arguments: String,
        /// What it said.
        stderr: String,
    },
}

impl HarnessError {
    /// For `map_err`: what was tried when the operating system refused.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
