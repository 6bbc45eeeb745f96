//! What a class is known by, and has its label from, as long as it lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use policy_core::{ContainerPort, PolicyId};

use crate::names::Label;

/// The policies that isolate the pods of a class in a direction, and for ingress the named ports by which these
/// policies mean different numbers. It decides what the pods may exchange in the direction, so that pods of one identity
/// are one class; pods of other policies with the same permissions have a class of their own, so that a policy of theirs
/// changes no class but theirs. Whether the class is audited belongs to it too: so a class that comes into force is a new
/// one, which pods are led to, and no chain of the node changes its rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    /// Whether all policies are in audit mode.
    pub(crate) is_audited: bool,
    pub(crate) policies: BTreeSet<PolicyId>,
    pub(crate) named_ports: Vec<ContainerPort>,
}

impl Identity {
    /// The label that follows the identity alone. Different identities can have the same one, by accident.
    pub(crate) fn label(&self) -> Label {
        let first = self.policies.first().map(ToString::to_string);
        Label::stable(&first.unwrap_or_default(), &self.to_string())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_audited {
            f.write_str("audited ")?;
        }
        for policy in &self.policies {
            write!(f, "{policy} ")?;
        }
        for port in &self.named_ports {
            let name = port.name.as_deref().unwrap_or_default();
            write!(f, "{name}={}/{} ", port.protocol, port.port)?;
        }
        Ok(())
    }
}

/// The identities of the classes of one direction, by the label that each would like to have. Where several would have
/// the same, they are counted in their own order, which depends on nothing else.
#[derive(Debug, Default)]
pub(crate) struct Labels(BTreeMap<Label, BTreeSet<Identity>>);

impl Labels {
    /// Takes an identity in.
    pub(crate) fn insert(&mut self, identity: &Identity) {
        let of_label = self.0.entry(identity.label()).or_default();
        of_label.insert(identity.clone());
    }

    /// Takes an identity out.
    pub(crate) fn remove(&mut self, identity: &Identity) {
        let label = identity.label();
        if let Some(of_label) = self.0.get_mut(&label) {
            of_label.remove(identity);
            if of_label.is_empty() {
                self.0.remove(&label);
            }
        }
    }

    /// The label of an identity that was taken in.
    pub(crate) fn of(&self, identity: &Identity) -> Label {
        let label = identity.label();
        let of_label = self.0.get(&label).into_iter().flatten();
        label.distinct(1 + of_label.take_while(|other| *other < identity).count())
    }

    /// The identities that would like to have the same label as this one.
    pub(crate) fn rivals(&self, identity: &Identity) -> impl Iterator<Item = &Identity> {
        let of_label = self.0.get(&identity.label()).into_iter().flatten();
        of_label.filter(move |other| *other != identity)
    }
}
