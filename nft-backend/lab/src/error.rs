//! What can keep a lab from being built or used.

use std::io;
use std::net::IpAddr;

/// Why the lab could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The effective user is not root; network namespaces need it.
    #[error("network namespaces need root")]
    NotRoot,
    /// iproute2 is not installed or cannot be started.
    #[error("cannot start `ip` of iproute2")]
    IpMissing(#[source] io::Error),
    /// `ip` ended with an error.
    #[error("`{command}` was refused: {stderr}")]
    IpRefused {
        /// The command, or the line of the batch, that failed.
        command: String,
        /// What `ip` had to say.
        stderr: String,
    },
    /// `ip` did not end.
    #[error("`{command}` did not end within {seconds} seconds")]
    TimedOut {
        /// The command that was stopped.
        command: String,
        /// How long it had.
        seconds: u64,
    },
    /// A CNI plugin is not installed.
    #[error("there is no CNI plugin `{plugin}` in {directories}")]
    PluginMissing {
        /// The plugin.
        plugin: &'static str,
        /// Where it was looked for.
        directories: String,
    },
    /// A CNI plugin did not attach a pod.
    #[error("the CNI plugin `{plugin}` did not attach `{pod}`: {message}")]
    PluginRefused {
        /// The plugin.
        plugin: &'static str,
        /// The namespace of the pod.
        pod: String,
        /// What the plugin had to say.
        message: String,
    },
    /// A tunnel between the nodes needs two ends of one family.
    #[error("the nodes have no address family in common, so no tunnel can join them")]
    NoCommonFamily,
    /// The caller's stop flag was raised.
    #[error("interrupted")]
    Interrupted,
    /// The prefix of the namespaces' names is unusable.
    #[error("`{0}` is no prefix of a namespace: 1 to 32 letters, digits and dashes are")]
    BadPrefix(String),
    /// The environment says how patient to be, and it is not a number that can be meant.
    #[error("NOPAL_LAB_PATIENCE is `{0}`, not a whole number from 1 to 100")]
    BadPatience(String),
    /// Two nodes, or two pods, have one name.
    #[error("`{0}` stands twice in the topology")]
    DuplicateName(String),
    /// Two owners have one address, so packets to it have no clear end.
    #[error("`{first}` and `{second}` both have the address {address}")]
    DuplicateAddress {
        /// The address.
        address: IpAddr,
        /// The owner named first in the topology.
        first: String,
        /// The owner named later.
        second: String,
    },
    /// A pod without an address cannot be wired.
    #[error("pod `{0}` has no address")]
    NoAddress(String),
    /// The address is not one that is routed between machines.
    #[error("`{owner}` has the address {address}, which cannot be routed")]
    Unroutable {
        /// Who has it.
        owner: String,
        /// Unspecified, loopback, link-local, multicast, broadcast or IPv4-mapped.
        address: IpAddr,
    },
    /// No node of the topology has the name.
    #[error("the lab has no node `{0}`")]
    UnknownNode(String),
    /// No pod of the topology has the name.
    #[error("the lab has no pod `{0}`")]
    UnknownPod(String),
    /// No namespace of the lab has the address.
    #[error("nobody in the lab has the address {0}")]
    UnknownAddress(IpAddr),
    /// One end is IPv4, the other IPv6.
    #[error("{from} and {to} are of different families")]
    MixedFamilies {
        /// The source.
        from: IpAddr,
        /// The destination.
        to: IpAddr,
    },
    /// A connection that should last could not be opened.
    #[error("no connection from {from} to {to} port {port}")]
    NotConnected {
        /// The client.
        from: IpAddr,
        /// The server.
        to: IpAddr,
        /// The server's port.
        port: u16,
    },
    /// The system refused something else.
    #[error("cannot {action}")]
    Io {
        /// What was tried, with the object's name.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl LabError {
    /// For `map_err`: says what was tried when the system refused.
    pub(crate) fn io<E: Into<io::Error>>(action: impl Into<String>) -> impl FnOnce(E) -> Self {
        let action = action.into();
        move |source| Self::Io {
            action,
            source: source.into(),
        }
    }
}
