//! Addresses that the runtime has given to pods of this node, laid over what the API says of them.
//!
//! An attachment holds its addresses from ADD to DEL. The rules:
//! - a pod has the addresses of its status and those of its attachment: the status comes later, and may be of an
//!   earlier sandbox of the pod for a while;
//! - the last ADD of an address counts, since this node's CNI gives it again only after the earlier sandbox has gone.
//!   A pod *of this node* whose status still has it has it no longer. What the API shows for pods of other nodes is not
//!   touched: an address that two live pods claim then is closed, as the core does with every such address;
//! - an attachment with a uid is for the pod of that uid alone. While the API shows an earlier pod of the name, or none,
//!   it holds nothing, and takes nothing from others;
//! - of two views of a pod the one with the higher resourceVersion counts, since a GET may be ahead of the watch.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use nopal_cni::protocol::{Attachment, Sandbox};
use policy_core::{Event, Pod, PodId};

use crate::watch::Change;

/// The pods of one node, and what the runtime says of them.
#[derive(Debug)]
pub struct Overlay {
    node: Arc<str>,
    pods: BTreeMap<PodId, Known>,
    /// In the order of their ADDs.
    attachments: Vec<Attachment>,
}

/// A pod of this node as the API shows it.
#[derive(Debug)]
struct Known {
    pod: Pod,
    uid: String,
    version: u64,
    /// It comes from a GET, and no watch has shown it yet.
    is_fetched: bool,
}

/// What an ADD meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attached {
    /// The pod is known; what its attachment changes.
    Known(Vec<Event>),
    /// The API has not shown this pod yet.
    Unknown,
}

/// The pod that an attachment is for.
pub fn pod_id(attachment: &Attachment) -> PodId {
    PodId::new(&attachment.pod.namespace, &attachment.pod.name)
}

impl Known {
    fn is_of(&self, attachment: &Attachment) -> bool {
        let uid = attachment.pod.uid.as_deref().unwrap_or_default();
        pod_id(attachment) == self.pod.id
            && (uid.is_empty() || self.uid.is_empty() || uid == self.uid)
    }
}

impl Overlay {
    /// The pods of `node`, of which none is known yet, with attachments of an earlier process, in their order.
    pub fn new(node: &str, attachments: Vec<Attachment>) -> Self {
        Self {
            node: node.into(),
            pods: BTreeMap::new(),
            attachments,
        }
    }

    /// All attachments, in the order of their ADDs.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// Takes a change of a pod over, as a watch tells it; what it says to the engine is put right in place. Gives what
    /// it changes for other pods.
    pub fn take(&mut self, change: &mut Change) -> Vec<Event> {
        match &change.event {
            Some(Event::Pod(pod)) if pod.node.as_ref() == Some(&self.node) => {
                let (pod, is_fetched) = (pod.clone(), false);
                self.learn(pod, change, is_fetched)
            }
            Some(Event::PodGone(id)) => {
                let id = id.clone();
                self.forget(&id, change)
            }
            _ => Vec::new(),
        }
    }

    /// The same for the answer to a GET.
    pub fn take_fetched(&mut self, change: &mut Change) -> Vec<Event> {
        match &change.event {
            Some(Event::Pod(pod)) if pod.node.as_ref() == Some(&self.node) => {
                let (pod, is_fetched) = (pod.clone(), true);
                self.learn(pod, change, is_fetched)
            }
            _ => Vec::new(),
        }
    }

    /// A sandbox of a pod has these addresses now. What the same pod had on this interface is gone with it.
    pub fn attach(&mut self, attachment: Attachment) -> Attached {
        let mut touched: BTreeSet<IpAddr> = attachment.addresses.iter().copied().collect();
        self.attachments.retain(|other| {
            let is_replaced = other.sandbox == attachment.sandbox
                || (pod_id(other) == pod_id(&attachment)
                    && other.sandbox.interface == attachment.sandbox.interface);
            if is_replaced {
                touched.extend(&other.addresses);
            }
            !is_replaced
        });
        let id = pod_id(&attachment);
        let is_known = self.is_known(&attachment);
        self.attachments.push(attachment);
        if !is_known {
            return Attached::Unknown;
        }
        Attached::Known(self.affected(&touched, &id))
    }

    /// Whether the API has shown the pod that the attachment is for.
    pub fn is_known(&self, attachment: &Attachment) -> bool {
        let known = self.pods.get(&pod_id(attachment));
        known.is_some_and(|known| known.is_of(attachment))
    }

    /// Attachments that are not `kept` are gone; gives what that changes.
    pub fn retain(&mut self, is_kept: impl Fn(&Attachment) -> bool) -> Vec<Event> {
        let mut gone = Vec::new();
        self.attachments.retain(|attachment| {
            let stays = is_kept(attachment);
            if !stays {
                gone.push(attachment.clone());
            }
            stays
        });
        let mut events = Vec::new();
        for attachment in gone {
            let id = pod_id(&attachment);
            // No watch has shown the pod, and one that began anew would not tell that it is gone.
            let is_of = |known: &Known| known.is_fetched && known.is_of(&attachment);
            if self.pods.get(&id).is_some_and(is_of) {
                self.pods.remove(&id);
                events.push(Event::PodGone(id.clone()));
            }
            let touched = attachment.addresses.iter().copied().collect();
            events.extend(self.affected(&touched, &id));
        }
        events
    }

    /// Whether the attachment is known just like this.
    ///
    /// # Errors
    /// How it differs.
    pub fn check(&self, attachment: &Attachment) -> Result<(), String> {
        let Some(known) = self.find(&attachment.sandbox) else {
            return Err(
                "there was no ADD for this container and interface, or a DEL since".to_owned(),
            );
        };
        if pod_id(known) != pod_id(attachment) {
            return Err(format!("it was added for pod {}", pod_id(known)));
        }
        let sorted = |addresses: &[IpAddr]| addresses.iter().copied().collect::<BTreeSet<_>>();
        if sorted(&known.addresses) != sorted(&attachment.addresses) {
            return Err(format!(
                "it was added with the addresses {:?}",
                known.addresses
            ));
        }
        Ok(())
    }

    fn find(&self, sandbox: &Sandbox) -> Option<&Attachment> {
        self.attachments
            .iter()
            .find(|attachment| attachment.sandbox == *sandbox)
    }

    fn learn(&mut self, pod: Pod, change: &mut Change, is_fetched: bool) -> Vec<Event> {
        let id = pod.id.clone();
        if let Some(known) = self.pods.get_mut(&id) {
            let is_older = change.version != 0 && change.version < known.version;
            if is_older {
                change.event = None;
                return Vec::new();
            }
        }
        let before = self.touched_by(&id);
        let known = Known {
            pod,
            uid: change.identity.uid.clone(),
            version: change.version,
            is_fetched,
        };
        self.pods.insert(id.clone(), known);
        change.event = self.event(&id);
        self.others(&before, &id)
    }

    fn forget(&mut self, id: &PodId, change: &mut Change) -> Vec<Event> {
        let Some(known) = self.pods.get(id) else {
            return Vec::new();
        };
        // The end of an earlier pod of this name; or a list that was begun before the GET.
        let is_older = match change.version {
            0 => known.is_fetched,
            version => version < known.version,
        };
        if is_older {
            change.event = None;
            return Vec::new();
        }
        let before = self.touched_by(id);
        self.pods.remove(id);
        self.others(&before, id)
    }

    /// The addresses of which a pod's coming or going may change the holder.
    fn touched_by(&self, id: &PodId) -> BTreeSet<IpAddr> {
        let own = self.attachments.iter().filter(|other| pod_id(other) == *id);
        own.flat_map(|attachment| attachment.addresses.iter().copied())
            .collect()
    }

    /// The pod, and all others of this node that have one of these addresses, as they are now.
    fn affected(&self, addresses: &BTreeSet<IpAddr>, id: &PodId) -> Vec<Event> {
        let mut events: Vec<Event> = self.event(id).into_iter().collect();
        events.extend(self.others(addresses, id));
        events
    }

    fn others(&self, addresses: &BTreeSet<IpAddr>, id: &PodId) -> Vec<Event> {
        if addresses.is_empty() {
            return Vec::new();
        }
        let has_one = |known: &Known| {
            let attached = self.attachments.iter().filter(|other| known.is_of(other));
            let attached = attached.flat_map(|attachment| &attachment.addresses);
            attached
                .chain(&known.pod.addresses)
                .any(|address| addresses.contains(address))
        };
        self.pods
            .iter()
            .filter(|(other, known)| *other != id && has_one(known))
            .filter_map(|(other, _)| self.event(other))
            .collect()
    }

    /// The pod with the addresses that it has by all that is known.
    fn event(&self, id: &PodId) -> Option<Event> {
        let known = self.pods.get(id)?;
        let mut pod = known.pod.clone();
        pod.addresses
            .retain(|&address| self.holder(address).is_none_or(|holder| holder == id));
        let own = self.attachments.iter().filter(|other| known.is_of(other));
        for &address in own.flat_map(|attachment| &attachment.addresses) {
            if self.holder(address) == Some(id) && !pod.addresses.contains(&address) {
                pod.addresses.push(address);
            }
        }
        Some(Event::Pod(pod))
    }

    /// The pod of this node that was given the address last.
    fn holder(&self, address: IpAddr) -> Option<&PodId> {
        let of_known = |attachment: &&Attachment| {
            attachment.addresses.contains(&address) && self.is_known(attachment)
        };
        let last = self.attachments.iter().rev().find(of_known)?;
        self.pods.get_key_value(&pod_id(last)).map(|(id, _)| id)
    }
}

#[cfg(test)]
pub(crate) mod tests;
