//! Labels, and the API's rules for their keys and values.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The labels of a pod or namespace. Clones share their text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The value of `key`, if the label is there.
    pub fn value(&self, key: &str) -> Option<&str> {
        let found = self
            .0
            .binary_search_by(|(held, _)| held.as_ref().cmp(key))
            .ok()?;
        Some(&self.0[found].1)
    }

    /// Where the shared text lies: labels from one pool are equal exactly when this is.
    pub(crate) fn location(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// All labels, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// These labels with `key` set to `value`.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Self {
        let mut labels: BTreeMap<&str, &str> = self.iter().collect();
        labels.insert(key, value);
        labels.into_iter().collect()
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Labels {
    /// Collects labels; of a repeated key the last value stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        let sorted: BTreeMap<Box<str>, Box<str>> = labels
            .into_iter()
            .map(|(key, value)| (key.as_ref().into(), value.as_ref().into()))
            .collect();
        Self(sorted.into_iter().collect())
    }
}

/// Whether the API server accepts `key`: an optional DNS-1123 prefix and `/`, then at most 63 letters, digits, `-`,
/// `_` and `.`, with a letter or digit at both ends.
pub fn is_label_key(key: &str) -> bool {
    let name = match key.split_once('/') {
        Some((prefix, name)) if is_dns_subdomain(prefix) => name,
        Some(_) => return false,
        None => key,
    };
    !name.is_empty() && is_label_value(name)
}

/// Whether the API server accepts `value`: empty, or at most 63 letters, digits, `-`, `_` and `.`, with a letter or
/// digit at both ends.
pub fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return true;
    };
    bytes.len() <= 63
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// Whether `name` is an RFC 1123 subdomain: what object names must be.
pub fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_part)
}

/// Whether `name` is an RFC 1123 label of at most 63 bytes: what namespace names must be.
pub fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_dns_part(name)
}

fn is_dns_part(part: &str) -> bool {
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    lower(first) && lower(last) && bytes.iter().all(|&byte| lower(byte) || byte == b'-')
}
