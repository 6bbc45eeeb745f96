//! Lowers one entry of `ingress` or `egress`: its peers and its ports.

use super::Problems;
use super::path::Path;
use super::selector::selector;
use crate::cidr::Cidr;
use crate::flow::Protocol;
use crate::policy::{IpBlock, Namespaces, Peer, Peers, PortSpec, Ports, Rule};
use crate::problem::ProblemKind;
use crate::selector::Selector;
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Lowers a rule. `peers` are its `from` or `to`, which `peers_field` tells. A rule of which any part was not
/// understood matches nothing.
pub(super) fn rule(
    peers: Option<&[NetworkPolicyPeer]>,
    peers_field: &str,
    ports: Option<&[NetworkPolicyPort]>,
    path: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Rule {
    let peers_path = path.field(peers_field);
    let lowered_peers: Vec<_> = peers
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(index, object)| peer(object, &peers_path.index(index), problems))
        .collect();
    let ports_path = path.field("ports");
    let lowered_ports: Vec<_> = ports
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(index, object)| port(object, &ports_path.index(index), problems))
        .collect();
    match (all(lowered_peers), all(lowered_ports)) {
        // An absent `from` or `to` matches every peer, and an empty one does too; likewise `ports`
        // (API reference, NetworkPolicyIngressRule).
        (Some(peers), Some(ports)) => Rule::Allow {
            peers: if peers.is_empty() {
                Peers::Everyone
            } else {
                Peers::Listed(peers)
            },
            ports: if ports.is_empty() {
                Ports::All
            } else {
                Ports::Listed(ports)
            },
        },
        _ => Rule::NotUnderstood,
    }
}

fn all<T>(parts: Vec<Option<T>>) -> Option<Vec<T>> {
    parts.into_iter().collect()
}

fn peer(object: &NetworkPolicyPeer, path: &Path<'_>, problems: &mut Problems<'_>) -> Option<Peer> {
    let has_selector = object.pod_selector.is_some() || object.namespace_selector.is_some();
    let mut whole = |part: Option<&LabelSelector>, field: &str| match part {
        None => Some(None),
        Some(part) => {
            let understood = selector(part, &path.field(field), problems);
            understood.wholly.then_some(Some(understood.selector))
        }
    };
    let pods = whole(object.pod_selector.as_ref(), "podSelector");
    let namespaces = whole(object.namespace_selector.as_ref(), "namespaceSelector");
    if let Some(block) = &object.ip_block {
        let block = ip_block(block, &path.field("ipBlock"), problems);
        if has_selector {
            problems.add(path, ProblemKind::BlockBesideSelector);
            return None;
        }
        return block.map(Peer::Block);
    }
    if !has_selector {
        problems.add(path, ProblemKind::EmptyPeer);
        return None;
    }
    Some(Peer::Pods {
        namespaces: namespaces?.map_or(Namespaces::Own, Namespaces::Matching),
        pods: pods?.unwrap_or_else(Selector::everything),
    })
}

fn ip_block(object: &IPBlock, path: &Path<'_>, problems: &mut Problems<'_>) -> Option<IpBlock> {
    let cidr = cidr(&object.cidr, &path.field("cidr"), problems);
    let except_path = path.field("except");
    let mut except = Some(Vec::new());
    for (index, text) in object.except.iter().flatten().enumerate() {
        let path = except_path.index(index);
        let carved = self::cidr(text, &path, problems);
        if let (Some(cidr), Some(carved)) = (cidr, carved)
            && !cidr.strictly_contains(&carved)
        {
            let kind = ProblemKind::ExceptNotInCidr {
                except: carved.to_string(),
                cidr: cidr.to_string(),
            };
            problems.add(&path, kind);
            except = None;
            continue;
        }
        match (&mut except, carved) {
            (Some(except), Some(carved)) => except.push(carved),
            _ => except = None,
        }
    }
    Some(IpBlock {
        cidr: cidr?,
        except: except?,
    })
}

fn cidr(text: &str, path: &Path<'_>, problems: &mut Problems<'_>) -> Option<Cidr> {
    let Some(written) = Cidr::parse(text) else {
        problems.add(
            path,
            ProblemKind::InvalidCidr {
                written: text.to_owned(),
            },
        );
        return None;
    };
    if written.legacy {
        let kind = ProblemKind::LegacyCidr {
            written: text.to_owned(),
            canonical: written.cidr.to_string(),
        };
        problems.add(path, kind);
    }
    Some(written.cidr)
}

fn port(
    object: &NetworkPolicyPort,
    path: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Option<PortSpec> {
    let protocol = object.protocol.as_deref().unwrap_or("TCP");
    let known_protocol = Protocol::from_api(protocol);
    if known_protocol.is_none() {
        let kind = ProblemKind::UnknownProtocol {
            written: protocol.to_owned(),
        };
        problems.add(&path.field("protocol"), kind);
    }
    match (&object.port, object.end_port) {
        (None, None) => Some(PortSpec::Range(known_protocol?, 0, u16::MAX)),
        (None, Some(_)) => {
            problems.add(&path.field("endPort"), ProblemKind::EndPortWithoutPort);
            None
        }
        (Some(IntOrString::Int(first)), last) => {
            let (first, last) = range(*first, last, path, problems)?;
            Some(PortSpec::Range(known_protocol?, first, last))
        }
        (Some(IntOrString::String(name)), end_port) => {
            let is_name = is_port_name(name);
            if !is_name {
                let kind = ProblemKind::InvalidPortName {
                    written: name.clone(),
                };
                problems.add(&path.field("port"), kind);
            }
            if end_port.is_some() {
                let kind = ProblemKind::EndPortWithNamedPort { name: name.clone() };
                problems.add(&path.field("endPort"), kind);
            }
            let understood = is_name && end_port.is_none();
            understood.then_some(PortSpec::Named(known_protocol?, name.as_str().into()))
        }
    }
}

fn range(
    first: i32,
    last: Option<i32>,
    path: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Option<(u16, u16)> {
    let mut number = |written: i32, field: &str| {
        let number = u16::try_from(written).ok().filter(|&number| number > 0);
        if number.is_none() {
            let kind = ProblemKind::InvalidPort {
                written: written.into(),
            };
            problems.add(&path.field(field), kind);
        }
        number
    };
    let first = number(first, "port");
    let last = match last {
        Some(last) => number(last, "endPort"),
        None => first,
    };
    let (first, last) = (first?, last?);
    if last < first {
        let kind = ProblemKind::EndPortBelowPort {
            port: first.into(),
            end_port: last.into(),
        };
        problems.add(&path.field("endPort"), kind);
        return None;
    }
    Some((first, last))
}

/// Whether `name` is an IANA service name: at most 15 lower-case letters, digits and hyphens, at least one letter, no
/// hyphen at an end or beside another.
fn is_port_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=15).contains(&name.len())
        && name.bytes().all(allowed)
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}
