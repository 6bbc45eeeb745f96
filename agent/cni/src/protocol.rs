//! What plugin and agent say to each other: one request, one reply, then the connection ends.
//!
//! Each is JSON behind its length (four bytes, the highest first). Everything is bounded before it is believed: a
//! message, the number of addresses and attachments in it, and the length of each text.

use std::io::{self, Read, Write};
use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of this protocol. Plugin and agent come from one image; they differ while one of them is replaced.
pub const VERSION: u32 = 1;

/// How many bytes a message may have.
pub const MAX_MESSAGE: usize = 256 * 1024;

/// How many addresses a pod may have.
pub const MAX_ADDRESSES: usize = 32;

/// How many attachments GC may name: more than a node has pods.
pub const MAX_ATTACHMENTS: usize = 2048;

/// How many bytes a text may have: a path's limit in Linux.
pub const MAX_TEXT: usize = 4096;

/// A container's interface, the identity of an attachment in the CNI specification.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sandbox {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`.
    pub interface: String,
}

/// A pod, as the runtime names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid, where the runtime gives one.
    pub uid: Option<String>,
}

/// A pod's interface with its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attachment {
    /// Which.
    pub sandbox: Sandbox,
    /// Whose.
    pub pod: PodRef,
    /// The path of its network namespace.
    pub netns: String,
    /// The link on the node's side, where it is known.
    pub host_interface: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// What is asked of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Put the pod's rules in force; the reply comes when they are.
    Attach(Attachment),
    /// The sandbox is gone.
    Detach(Sandbox),
    /// Is it known like this, and are its rules in force?
    Check(Attachment),
    /// Would [`Attach`](Self::Attach) work now?
    Status,
    /// Sandboxes that are not named are gone.
    Collect(Vec<Sandbox>),
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// It is so.
    Done,
    /// It cannot be done now; the reason.
    TryAgain(String),
    /// The attachment is not known like this; how it differs.
    Unknown(String),
    /// The request cannot be understood or must not be fulfilled; the reason.
    Refused(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<T> {
    version: u32,
    body: T,
}

/// Why a message cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The other side is of another version.
    #[error(
        "it speaks version {0} of the protocol and not {VERSION}; agent and plugin are of different versions"
    )]
    Version(u32),
    /// It is too long, or empty.
    #[error("a message of {0} bytes; from 1 to {MAX_MESSAGE} are allowed")]
    Length(usize),
    /// It has more than is allowed.
    #[error("{what} of {found}; at most {limit} are allowed")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        found: usize,
        /// How much may be.
        limit: usize,
    },
    /// It is not what the protocol has.
    #[error("it cannot be read: {0}")]
    Shape(#[from] serde_json::Error),
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The length that a message begins with, if it is allowed.
pub fn length(header: [u8; 4]) -> Result<usize, ProtocolError> {
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    match length {
        1..=MAX_MESSAGE => Ok(length),
        _ => Err(ProtocolError::Length(length)),
    }
}

/// A whole message, with its length before it.
pub fn encode<T: Serialize>(body: &T) -> Result<Vec<u8>, ProtocolError> {
    let envelope = Envelope {
        version: VERSION,
        body,
    };
    let text = serde_json::to_vec(&envelope)?;
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let header = length.to_be_bytes();
    self::length(header)?;
    Ok([header.as_slice(), &text].concat())
}

/// A request from the bytes after its length.
pub fn order(bytes: &[u8]) -> Result<Order, ProtocolError> {
    let order: Order = decode(bytes)?;
    check(&order)?;
    Ok(order)
}

/// A reply from the bytes after its length.
pub fn reply(bytes: &[u8]) -> Result<Reply, ProtocolError> {
    decode(bytes)
}

/// Sends a request and waits for its reply.
pub fn converse(stream: &mut (impl Read + Write), order: &Order) -> Result<Reply, ProtocolError> {
    check(order)?;
    stream.write_all(&encode(order)?)?;
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    let length = length(header)?;
    let mut bytes = Vec::new();
    // The memory grows with what comes, not with what was announced.
    let limit = u64::try_from(length).unwrap_or(u64::MAX);
    stream.take(limit).read_to_end(&mut bytes)?;
    reply(&bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ProtocolError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    if bytes.len() > MAX_MESSAGE {
        return Err(ProtocolError::Length(bytes.len()));
    }
    // Another version may have another shape, so the version alone is read first.
    let Version { version } = serde_json::from_slice(bytes)?;
    if version != VERSION {
        return Err(ProtocolError::Version(version));
    }
    let envelope: Envelope<T> = serde_json::from_slice(bytes)?;
    Ok(envelope.body)
}

fn check(order: &Order) -> Result<(), ProtocolError> {
    match order {
        Order::Attach(attachment) | Order::Check(attachment) => {
            let PodRef {
                namespace,
                name,
                uid,
            } = &attachment.pod;
            limit("addresses", attachment.addresses.len(), MAX_ADDRESSES)?;
            let texts = [namespace, name, &attachment.netns];
            let optional = uid.iter().chain(&attachment.host_interface);
            for text in texts.into_iter().chain(optional) {
                limit("a text's bytes", text.len(), MAX_TEXT)?;
            }
            check_sandbox(&attachment.sandbox)
        }
        Order::Detach(sandbox) => check_sandbox(sandbox),
        Order::Collect(valid) => {
            limit("attachments", valid.len(), MAX_ATTACHMENTS)?;
            valid.iter().try_for_each(check_sandbox)
        }
        Order::Status => Ok(()),
    }
}

fn check_sandbox(sandbox: &Sandbox) -> Result<(), ProtocolError> {
    limit("a text's bytes", sandbox.container_id.len(), MAX_TEXT)?;
    limit("a text's bytes", sandbox.interface.len(), MAX_TEXT)
}

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), ProtocolError> {
    if found > limit {
        return Err(ProtocolError::Limit { what, found, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attachment(addresses: Vec<IpAddr>) -> Attachment {
        Attachment {
            sandbox: Sandbox {
                container_id: "c1".to_owned(),
                interface: "eth0".to_owned(),
            },
            pod: PodRef {
                namespace: "shop".to_owned(),
                name: "web".to_owned(),
                uid: None,
            },
            netns: "/run/netns/p".to_owned(),
            host_interface: None,
            addresses,
        }
    }

    fn orders() -> impl Strategy<Value = Order> {
        let sandbox = (".{0,40}", ".{0,20}").prop_map(|(container_id, interface)| Sandbox {
            container_id,
            interface,
        });
        let attach = (
            sandbox.clone(),
            proptest::collection::vec(any::<IpAddr>(), 0..MAX_ADDRESSES),
        );
        let attach = attach.prop_map(|(sandbox, addresses)| Attachment {
            sandbox,
            ..attachment(addresses)
        });
        prop_oneof![
            attach.clone().prop_map(Order::Attach),
            attach.prop_map(Order::Check),
            sandbox.clone().prop_map(Order::Detach),
            proptest::collection::vec(sandbox, 0..20).prop_map(Order::Collect),
            Just(Order::Status),
        ]
    }

    /// The bytes after the length, which must agree with it.
    fn body(message: &[u8]) -> &[u8] {
        let (header, body) = message.split_first_chunk().unwrap();
        assert_eq!(length(*header).unwrap(), body.len());
        body
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(given in orders()) {
            prop_assert_eq!(order(body(&encode(&given).unwrap())).unwrap(), given);
        }

        #[test]
        fn bytes_of_any_kind_are_refused_or_understood_and_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        ) {
            let _ = reply(&bytes);
            if let Ok(understood) = order(&bytes) {
                prop_assert!(check(&understood).is_ok());
            }
        }

        #[test]
        fn a_message_with_changed_bytes_is_refused_or_within_the_limits(
            given in orders(), position in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut message = encode(&given).unwrap();
            let position = position.index(message.len());
            message[position] = byte;
            if let Ok(understood) = order(&message[4..]) {
                prop_assert!(check(&understood).is_ok());
            }
        }

        #[test]
        fn a_length_is_believed_only_within_the_limit(header in any::<[u8; 4]>()) {
            if let Ok(length) = length(header) {
                prop_assert!((1..=MAX_MESSAGE).contains(&length));
            }
        }
    }

    #[test]
    fn more_than_is_allowed_is_refused_on_both_sides() {
        let many = vec![IpAddr::from([10, 0, 0, 1]); MAX_ADDRESSES + 1];
        let large = Order::Attach(attachment(many));
        let bytes = encode(&large).unwrap();
        assert!(matches!(
            order(&bytes[4..]),
            Err(ProtocolError::Limit { .. })
        ));
        let mut nobody = io::Cursor::new(Vec::new());
        assert!(matches!(
            converse(&mut nobody, &large),
            Err(ProtocolError::Limit { .. })
        ));
        let long = Order::Detach(Sandbox {
            container_id: "c".repeat(MAX_TEXT + 1),
            interface: "eth0".to_owned(),
        });
        assert!(order(&encode(&long).unwrap()[4..]).is_err());
        assert!(encode(&"x".repeat(MAX_MESSAGE)).is_err());
    }

    #[test]
    fn another_version_is_told_as_such_whatever_its_shape() {
        let error = order(br#"{"version":2,"news":[]}"#).unwrap_err();
        assert!(matches!(error, ProtocolError::Version(2)), "{error}");
        let extra = br#"{"version":1,"body":"status","more":1}"#;
        assert!(matches!(order(extra), Err(ProtocolError::Shape(_))));
    }
}
