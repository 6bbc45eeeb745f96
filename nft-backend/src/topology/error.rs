//! What can keep a topology from being found out or changed.

use std::path::PathBuf;

/// Why nothing is known, or was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// `ip`, or `nsenter` for another namespace, is not installed.
    #[error("`{program}` was not found; install the package {package}")]
    ProgramMissing {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// There is no such network namespace.
    #[error("the network namespace {path} does not exist; the pod may have gone")]
    NoNamespace {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// `ip` did not do what it was asked for.
    #[error("`{command}` was refused: {stderr}")]
    Refused {
        /// What was asked for.
        command: String,
        /// What was said about it.
        stderr: String,
    },
    /// `ip` printed what we do not understand.
    #[error("the answer of `{command}` was not understood: {reason}")]
    NotUnderstood {
        /// What was asked for.
        command: String,
        /// What was strange about it.
        reason: String,
    },
    /// There is no such bridge.
    #[error("there is no bridge `{bridge}`; `ip link show type bridge` lists those of the node")]
    NoBridge {
        /// Its name.
        bridge: String,
    },
    /// Bridges of this kernel cannot call netfilter now.
    #[error(
        "packets between the ports of `{bridge}` cannot be filtered: the kernel has no bridge netfilter; \
         `modprobe br_netfilter` (CONFIG_BRIDGE_NETFILTER), which Kubernetes asks for as well"
    )]
    NoBridgeNetfilter {
        /// The bridge.
        bridge: String,
    },
    /// The bridge was told to call netfilter, and does not.
    #[error("the bridge `{bridge}` was told to pass packets to netfilter and does not")]
    NotSwitched {
        /// The bridge.
        bridge: String,
    },
    /// The operating system did not let us do something else.
    #[error("{doing} failed: {reason}")]
    System {
        /// What was tried.
        doing: String,
        /// What the operating system said.
        reason: String,
    },
}
