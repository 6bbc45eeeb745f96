//! The service accounts that RBAC gives something: those of `RoleBindings` and `ClusterRoleBindings`.
//!
//! Nothing here is an error: what cannot be read names nobody.

use super::scalar::Scalar;
use super::tree::{Node, Value};

/// A service account that some role is bound to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BoundAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The accounts that a binding in `namespace` names.
pub(super) fn bound(node: &Node<'_>, namespace: &str) -> Vec<BoundAccount> {
    let own = node.get("metadata").and_then(|own| text(own, "namespace"));
    let subjects = match node.get("subjects").map(|node| &node.resolved().value) {
        Some(Value::Sequence(subjects)) => subjects.as_slice(),
        _ => &[],
    };
    let accounts = subjects
        .iter()
        .filter(|subject| text(subject, "kind") == Some("ServiceAccount"));
    let accounts = accounts.filter_map(|subject| {
        let written = text(subject, "namespace").or(own).unwrap_or(namespace);
        Some(BoundAccount {
            namespace: written.to_owned(),
            name: text(subject, "name")?.to_owned(),
        })
    });
    accounts.collect()
}

fn text<'n>(node: &'n Node<'_>, field: &str) -> Option<&'n str> {
    match node.get(field).and_then(Node::scalar) {
        Some(Scalar::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}
