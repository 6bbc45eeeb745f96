//! The ends of a question: `namespace/pod`, `namespace/Kind/name`, or an address.

use std::fmt;
use std::net::IpAddr;

use policy_core::{Pod, PodId};

use super::nearest::{meant, nearest};
use super::{Inventory, address_of};

/// One end of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// As it was asked for.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// Why an end is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndError {
    /// The text names nothing.
    #[error("{0:?} is no end: write namespace/pod, namespace/Kind/name or an address")]
    Malformed(String),
    /// The input does not have it.
    #[error("{id} is not in the input{}", meant(.near.as_deref()))]
    Unknown {
        /// What was asked for.
        id: PodId,
        /// What may have been meant.
        near: Option<String>,
    },
    /// It has finished and is nowhere.
    #[error("{0} has finished: its address may belong to another pod")]
    Finished(PodId),
    /// The two ends share no address family.
    #[error("{from} and {to} have no {family} address both")]
    NoCommonFamily {
        /// The source.
        from: String,
        /// The destination.
        to: String,
        /// The family that was asked for, or `common`.
        family: String,
    },
}

impl Inventory<'_> {
    /// Finds an end by its text.
    pub fn end(&self, text: &str) -> Result<End, EndError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            let address = address.to_canonical();
            return Ok(End {
                name: text.to_owned(),
                addresses: vec![address],
            });
        }
        let parts: Vec<&str> = text.split('/').collect();
        let has_blank = parts.iter().any(|part| part.is_empty());
        if has_blank || !matches!(parts.len(), 2 | 3) {
            return Err(EndError::Malformed(text.to_owned()));
        }
        self.pod_end(PodId::new(parts[0], &parts[1..].join("/")))
    }

    /// The pod, or the workload's template, as an end.
    pub fn pod_end(&self, id: PodId) -> Result<End, EndError> {
        match self.cluster.pods().get(&id) {
            None => {
                let near = nearest(&self.cluster, &id).map(|near| near.to_string());
                Err(EndError::Unknown { id, near })
            }
            Some(pod) if pod.finished => Err(EndError::Finished(id)),
            Some(pod) => Ok(End::of_pod(pod)),
        }
    }
}

impl End {
    /// A pod as an end.
    #[must_use]
    pub fn of_pod(pod: &Pod) -> Self {
        Self {
            name: pod.id.to_string(),
            addresses: pod.addresses.clone(),
        }
    }

    /// The end's address of one family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        address_of(&self.addresses, family == Family::V4)
    }
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order of preference.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The address pairs of two ends, one for each family that both have. `wanted` narrows to one family.
pub fn address_pairs(
    from: &End,
    to: &End,
    wanted: Option<Family>,
) -> Result<Vec<(Family, IpAddr, IpAddr)>, EndError> {
    let families = Family::ALL
        .into_iter()
        .filter(|family| wanted.is_none_or(|wanted| wanted == *family));
    let pairs: Vec<_> = families
        .filter_map(|family| Some((family, from.address(family)?, to.address(family)?)))
        .collect();
    if pairs.is_empty() {
        return Err(EndError::NoCommonFamily {
            from: from.name.clone(),
            to: to.name.clone(),
            family: wanted.map_or_else(|| "common".to_owned(), |family| family.to_string()),
        });
    }
    Ok(pairs)
}
