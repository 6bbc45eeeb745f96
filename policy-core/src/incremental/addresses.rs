//! Whose each address is, kept while pods come, change and go.

use super::population::PodNumber;
use crate::inventory::ClassId;
use crate::ip_set::IpSet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// For each address, the live pods that say it is theirs.
#[derive(Debug, Default)]
pub(super) struct Addresses(BTreeMap<IpAddr, Vec<Claim>>);

/// A pod's claim to an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) pod: PodNumber,
    pub(super) class: ClassId,
    /// Whether the pod is on the node.
    pub(super) is_local: bool,
    pub(super) is_terminating: bool,
}

impl Addresses {
    /// Takes a pod's claim down; a repeated one counts once.
    pub(super) fn claim(&mut self, address: IpAddr, claim: Claim) {
        let claims = self.0.entry(address).or_default();
        if claims.iter().all(|held| held.pod != claim.pod) {
            claims.push(claim);
        }
    }

    /// Takes a pod's claim back.
    pub(super) fn release(&mut self, address: IpAddr, pod: PodNumber) {
        if let Some(claims) = self.0.get_mut(&address) {
            claims.retain(|held| held.pod != pod);
            if claims.is_empty() {
                self.0.remove(&address);
            }
        }
    }

    /// Everybody who claims an address.
    pub(super) fn claims(&self, address: IpAddr) -> &[Claim] {
        self.0.get(&address).map_or(&[], Vec::as_slice)
    }

    /// The pod that an address belongs to.
    pub(super) fn owner(&self, address: IpAddr) -> Option<&Claim> {
        owner_among(self.claims(address))
    }

    /// The addresses in `block` that are one pod's, with that pod's class.
    pub(super) fn within(&self, block: &IpSet) -> impl Iterator<Item = (IpAddr, ClassId)> {
        let within = block
            .ranges()
            .flat_map(|(first, last)| self.0.range(first..=last));
        within.filter_map(|(&address, claims)| Some((address, owner_among(claims)?.class)))
    }

    /// The number of addresses.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The owner, when the claims leave just one possibility: an address is given out again only after the sandbox that had
/// it is gone.
fn owner_among(claims: &[Claim]) -> Option<&Claim> {
    if let [only] = claims {
        return Some(only);
    }
    let mut staying = claims.iter().filter(|claim| !claim.is_terminating);
    match (staying.next(), staying.next()) {
        (Some(owner), None) => Some(owner),
        _ => None,
    }
}
