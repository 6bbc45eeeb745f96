//! Label selectors in canonical form: for each key, which values may stand there and whether it may be missing.
//!
//! `In`, `NotIn`, `Exists` and `DoesNotExist` are each such a constraint, and ANDing two requirements intersects
//! their constraints. So two selectors that demand the same of every key are equal values, and a selector is
//! satisfiable exactly when no key is left without a possibility.

use crate::labels::Labels;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A label predicate: a conjunction over keys. The empty selector matches everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(Arc<[(Box<str>, Constraint)]>);

/// What a selector demands of one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Constraint {
    /// Whether an object without the key matches.
    pub may_lack: bool,
    /// The values that match where the key is present.
    pub values: Values,
}

/// A set of label values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Values {
    /// These.
    Only(BTreeSet<Box<str>>),
    /// All but these.
    Except(BTreeSet<Box<str>>),
}

impl Selector {
    /// The empty selector, which matches everything.
    #[must_use]
    pub fn everything() -> Self {
        Self(Arc::new([]))
    }

    /// A selector that demands `key` to have `value`.
    #[must_use]
    pub fn label(key: &str, value: &str) -> Self {
        Self::from_iter([(key, Constraint::one_of([value]))])
    }

    /// Whether the selector demands nothing.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any labels at all can match.
    pub fn is_satisfiable(&self) -> bool {
        self.0
            .iter()
            .all(|(_, constraint)| constraint.is_satisfiable())
    }

    /// Whether `labels` match.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.unmet(labels).is_none()
    }

    /// The first constraint (by key) that `labels` fail, if any.
    pub fn unmet(&self, labels: &Labels) -> Option<(&str, &Constraint)> {
        self.constraints()
            .find(|(key, constraint)| !constraint.admits(labels.value(key)))
    }

    /// What is demanded of each key, sorted by key.
    pub fn constraints(&self) -> impl Iterator<Item = (&str, &Constraint)> {
        self.0
            .iter()
            .map(|(key, constraint)| (key.as_ref(), constraint))
    }

    /// The selector that matches what both match.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.0
            .iter()
            .chain(other.0.iter())
            .map(|(key, constraint)| (key, constraint.clone()))
            .collect()
    }

    /// What this selector matches and `other` does not, as satisfiable selectors that match nothing in common; none
    /// where `other` matches all of it.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Vec<Self> {
        let mut pieces = Vec::new();
        // The n-th piece meets the first n - 1 constraints of `other` and fails the n-th.
        let mut met = self.clone();
        for (key, constraint) in other.constraints() {
            let fails = Self::from_iter([(key, constraint.complement())]);
            let piece = met.and(&fails);
            if piece.is_satisfiable() {
                pieces.push(piece);
            }
            met = met.and(&Self::from_iter([(key, constraint.clone())]));
            if !met.is_satisfiable() {
                break;
            }
        }
        if !self.is_satisfiable() {
            pieces.clear();
        }
        pieces
    }
}

impl<K: AsRef<str>> FromIterator<(K, Constraint)> for Selector {
    /// ANDs requirements; a key may occur several times.
    fn from_iter<I: IntoIterator<Item = (K, Constraint)>>(requirements: I) -> Self {
        let mut merged: BTreeMap<Box<str>, Constraint> = BTreeMap::new();
        for (key, constraint) in requirements {
            let demanded = match merged.get(key.as_ref()) {
                Some(earlier) => earlier.and(&constraint),
                None => constraint,
            };
            merged.insert(key.as_ref().into(), demanded);
        }
        merged.retain(|_, constraint| !constraint.is_anything());
        Self(merged.into_iter().collect())
    }
}

impl Constraint {
    /// `In`: present, with one of `values`.
    pub fn one_of<V: AsRef<str>>(values: impl IntoIterator<Item = V>) -> Self {
        Self {
            may_lack: false,
            values: Values::Only(boxed(values)),
        }
    }

    /// `NotIn`: missing, or with none of `values`.
    pub fn none_of<V: AsRef<str>>(values: impl IntoIterator<Item = V>) -> Self {
        Self {
            may_lack: true,
            values: Values::Except(boxed(values)),
        }
    }

    /// `Exists`: present, whatever the value.
    pub fn exists() -> Self {
        Self {
            may_lack: false,
            values: Values::Except(BTreeSet::new()),
        }
    }

    /// `DoesNotExist`: missing.
    pub fn lacks() -> Self {
        Self {
            may_lack: true,
            values: Values::Only(BTreeSet::new()),
        }
    }

    /// Whether an object whose label has `value` (or which lacks the label) is admitted.
    pub fn admits(&self, value: Option<&str>) -> bool {
        match value {
            None => self.may_lack,
            Some(value) => match &self.values {
                Values::Only(values) => values.contains(value),
                Values::Except(values) => !values.contains(value),
            },
        }
    }

    /// Whether the key can be missing or have some value. Label values are unbounded, so "all but these" always
    /// leaves one.
    pub fn is_satisfiable(&self) -> bool {
        self.may_lack || !matches!(&self.values, Values::Only(values) if values.is_empty())
    }

    /// Admits what this constraint does not.
    fn complement(&self) -> Self {
        Self {
            may_lack: !self.may_lack,
            values: match &self.values {
                Values::Only(values) => Values::Except(values.clone()),
                Values::Except(values) => Values::Only(values.clone()),
            },
        }
    }

    fn is_anything(&self) -> bool {
        self.may_lack && matches!(&self.values, Values::Except(values) if values.is_empty())
    }

    fn and(&self, other: &Self) -> Self {
        let values = match (&self.values, &other.values) {
            (Values::Only(a), Values::Only(b)) => Values::Only(a & b),
            (Values::Only(a), Values::Except(b)) | (Values::Except(b), Values::Only(a)) => {
                Values::Only(a - b)
            }
            (Values::Except(a), Values::Except(b)) => Values::Except(a | b),
        };
        Self {
            may_lack: self.may_lack && other.may_lack,
            values,
        }
    }
}

fn boxed<V: AsRef<str>>(values: impl IntoIterator<Item = V>) -> BTreeSet<Box<str>> {
    values
        .into_iter()
        .map(|value| value.as_ref().into())
        .collect()
}

impl fmt::Display for Selector {
    /// In `kubectl`'s selector language, `everything` when empty: `app=web,tier in (a,b),!legacy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_everything() {
            return f.write_str("everything");
        }
        for (position, (key, constraint)) in self.constraints().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            constraint.write(key, f)?;
        }
        Ok(())
    }
}

impl Constraint {
    /// The constraint on `key` in `kubectl`'s selector language.
    pub fn describe(&self, key: &str) -> String {
        struct Described<'a>(&'a Constraint, &'a str);
        impl fmt::Display for Described<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write(self.1, f)
            }
        }
        Described(self, key).to_string()
    }

    fn write(&self, key: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &BTreeSet<Box<str>>| {
            values
                .iter()
                .map(AsRef::as_ref)
                .collect::<Vec<&str>>()
                .join(",")
        };
        match (&self.values, self.may_lack) {
            (Values::Only(values), true) if values.is_empty() => write!(f, "!{key}"),
            (Values::Only(values), false) if values.len() == 1 => {
                write!(f, "{key}={}", list(values))
            }
            (Values::Only(values), false) => write!(f, "{key} in ({})", list(values)),
            (Values::Only(values), true) => write!(f, "{key} missing or in ({})", list(values)),
            (Values::Except(values), false) if values.is_empty() => f.write_str(key),
            (Values::Except(values), false) => write!(f, "{key},{key} notin ({})", list(values)),
            (Values::Except(values), true) => write!(f, "{key} notin ({})", list(values)),
        }
    }
}
