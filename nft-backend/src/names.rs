//! Names of chains, sets, maps and counters, said once.
//!
//! nft refuses its own keywords (`dst`, `fwd`) as names and the kernel refuses more than 255 bytes,
//! so every name that is not one of the fixed words below has a prefix with an underscore, and
//! leaves room for the suffix of an [`Epoch`].

use std::fmt;
use std::sync::Arc;

use crate::hash::fnv;

/// The base chain: the only chain that hangs on a hook.
pub const BASE: &str = "nopal_forward";
/// The set that holds the mark of the generation in force.
pub const GENERATION: &str = "generation";
/// Marks the flow with the generation in force and accepts.
pub const STAMP: &str = "stamp";
/// Writes the mark of the generation in force.
pub const WRITE_MARK: &str = "write_mark";
/// Accepts ICMP errors about flows that carry the generation in force.
pub const ICMP_ERRORS: &str = "icmp_errors";
/// Sends a packet to the original or the reversed stages.
pub const CLASSIFY: &str = "classify";
/// Dispatch on the destination, original direction.
pub const INGRESS: &str = "ingress";
/// Dispatch on the source, original direction.
pub const EGRESS: &str = "egress";
/// What TCP connections pass that connection tracking did not see begin.
pub const PICKED_UP: &str = "picked_up";
/// The addresses that nobody can say whose they are, while some pod of the node is isolated.
pub const LINK_LOCAL: &str = "link_local";
/// Dispatch on the source of a reply, which is the destination of its flow.
pub const R_INGRESS: &str = "r_ingress";
/// Dispatch on the destination of a reply, which is the source of its flow.
pub const R_EGRESS: &str = "r_egress";
/// Counts what is denied.
pub const DENIED: &str = "denied";
/// Counts what passes because its class is only audited.
pub const AUDITED: &str = "audited";

/// Holds the digest of the ruleset in force; no rule looks at it.
pub const DIGEST: &str = "digest";

/// Whether a chain of this name is one of the fixed ones around the classes.
pub(crate) fn is_structural(chain: &Name) -> bool {
    let fixed = [
        BASE,
        ICMP_ERRORS,
        STAMP,
        WRITE_MARK,
        CLASSIFY,
        PICKED_UP,
        INGRESS,
        EGRESS,
        R_INGRESS,
        R_EGRESS,
    ];
    fixed.contains(&chain.as_str())
}

/// The class of addresses that several live pods claim.
pub const CONTESTED: &str = "contested";

/// The kernel takes 255 bytes; the suffix `_e4294967295` of an epoch takes 12 of them.
const LONGEST: usize = 255 - 12;
/// A label may be followed by a prefix like `ir_` and a suffix like `_qr4294967295`.
const LONGEST_LABEL: usize = LONGEST - 20;
/// A label's text may be followed by a letter, a hash and a number.
const LONGEST_TEXT: usize = LONGEST_LABEL - 40;
const TABLE_PREFIX: &str = "nopal";

/// The name of a table, chain, set, map or counter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A name must begin with a letter.
    #[error("the name {0:?} does not begin with a letter")]
    FirstCharacter(String),
    /// nft takes letters, digits and underscores.
    #[error("the name {0:?} has a character other than letters, digits and underscores")]
    Character(String),
    /// The kernel takes 255 bytes, of which some are kept for a suffix.
    #[error("the name {0:?} is too long")]
    TooLong(String),
    /// A name without an underscore could be a keyword of nft.
    #[error("the name {0:?} has no underscore, so it could be a keyword of nft")]
    MayBeKeyword(String),
    /// Our table is recognised by its name, so that nobody else's is ever touched.
    #[error("the table name {0:?} does not begin with `nopal`")]
    ForeignTable(String),
}

impl Name {
    /// A name for a chain, set, map or counter. It must begin with a letter, consist of letters,
    /// digits and underscores, have an underscore, and leave room for an epoch.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check(text, LONGEST)?;
        if !text.contains('_') {
            return Err(NameError::MayBeKeyword(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// A name for our table. It must begin with `nopal`: the backend deletes what it does not know
    /// in its table, so a slip in the configuration must not hand it another program's.
    pub fn table(text: &str) -> Result<Self, NameError> {
        check(text, LONGEST)?;
        if !text.starts_with(TABLE_PREFIX) {
            return Err(NameError::ForeignTable(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// One of the fixed words of this module, or one with its digit.
    pub(crate) fn fixed(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// A name that the kernel told us.
    pub(crate) fn listed(text: &str) -> Self {
        Self(text.into())
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of this object in the given epoch: `ingress_e7`.
    #[must_use]
    pub fn at(&self, epoch: Epoch) -> Self {
        Self(format!("{self}_e{epoch}").into())
    }

    /// The epoch that the name ends with, if any.
    pub fn epoch(&self) -> Option<Epoch> {
        self.split_epoch().map(|(_, epoch)| epoch)
    }

    /// The name without the epoch that it ends with, and that epoch.
    pub(crate) fn split_epoch(&self) -> Option<(Self, Epoch)> {
        let (name, number) = self.0.rsplit_once("_e")?;
        Some((Self(name.into()), Epoch(number.parse().ok()?)))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a class of pods or of a shared peer set, which becomes part of the names of its
/// chains and sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Arc<str>);

impl Label {
    /// A label as it is: letters, digits and underscores, the first a letter, at most 223 bytes.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check(text, LONGEST_LABEL)?;
        Ok(Self(text.into()))
    }

    /// A label that is no Kubernetes name's: it has no hash.
    pub(crate) fn fixed(text: &'static str) -> Self {
        Self(text.into())
    }

    /// A label that begins with a Kubernetes name and ends with a hash of `identity`: `shop/web-1` gives
    /// `shop_web_1_89a53f71`. Other characters become underscores, and what is too long is cut; the hash keeps labels
    /// apart whose texts become equal. The same identity gives the same label, whatever else there is.
    pub fn stable(text: &str, identity: &str) -> Self {
        let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let mut label: String = text.chars().map(allowed).take(LONGEST_TEXT).collect();
        if !label.starts_with(|c: char| c.is_ascii_alphabetic()) {
            label.insert(0, 'n');
        }
        let hash = fnv(identity);
        Self(format!("{label}_{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff)).into())
    }

    /// The label for the `number`th of several that would be equal, counted from 1, which keeps it as it is.
    #[must_use]
    pub(crate) fn distinct(&self, number: usize) -> Self {
        if number <= 1 {
            self.clone()
        } else {
            Self(format!("{self}_{number}").into())
        }
    }

    /// The label for the `number`th part of what this one is for: `i0_shop_web_1_89a53f71`.
    #[must_use]
    pub(crate) fn numbered(&self, letter: char, number: usize) -> Self {
        Self(format!("{letter}{number}_{self}").into())
    }

    /// The text of the label.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of one load or increment. Every object that it makes carries it at the end of its name,
/// so that old and new contents of the table stand beside each other until the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u32);

impl Epoch {
    /// The epoch of the first load.
    pub const FIRST: Self = Self(1);

    /// The epoch with this number, read back from the kernel.
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The epoch after this one. The number comes round after four billion changes; the objects of
    /// the epochs before the last are long deleted by then.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn check(text: &str, longest: usize) -> Result<(), NameError> {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(NameError::FirstCharacter(text.to_owned()));
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(NameError::Character(text.to_owned()));
    }
    if text.len() > longest {
        return Err(NameError::TooLong(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_a_keyword_is_refused() {
        assert_eq!(
            Name::new("dst"),
            Err(NameError::MayBeKeyword("dst".to_owned()))
        );
        assert!(Name::new("i_dst").is_ok());
    }

    #[test]
    fn a_table_of_somebody_else_is_refused() {
        assert!(matches!(
            Name::table("filter"),
            Err(NameError::ForeignTable(_))
        ));
        assert!(Name::table("nopal_test").is_ok());
    }

    #[test]
    fn a_name_keeps_room_for_its_epoch() {
        let longest = format!("i_{}", "x".repeat(LONGEST - 2));
        let name = Name::new(&longest).unwrap().at(Epoch(u32::MAX));
        assert_eq!(name.as_str().len(), 255);
        assert!(matches!(
            Name::new(&format!("{longest}x")),
            Err(NameError::TooLong(_))
        ));
    }

    #[test]
    fn the_epoch_is_read_from_the_end_of_a_name() {
        let name = Name::fixed("i_shop_e2_web").at(Epoch(7));
        assert_eq!(name.as_str(), "i_shop_e2_web_e7");
        assert_eq!(name.epoch(), Some(Epoch(7)));
        assert_eq!(Name::fixed("nopal_forward").epoch(), None);
    }

    #[test]
    fn a_label_takes_any_kubernetes_name() {
        let label = Label::stable("shop/web-1.a", "shop/web-1.a");
        assert!(label.as_str().starts_with("shop_web_1_a_"), "{label}");
        assert!(Label::new(label.as_str()).is_ok());
        let long = Label::stable(&"x".repeat(400), "").distinct(usize::MAX);
        assert!(Label::new(long.as_str()).is_ok());
        assert!(Label::new(Label::stable("1/a", "").as_str()).is_ok());
    }

    #[test]
    fn labels_of_one_text_differ_by_their_identity() {
        let label = |identity| Label::stable("shop/web", identity);
        assert_eq!(label("a"), label("a"));
        assert_ne!(label("a"), label("b"));
        assert_ne!(label("a"), label("a").distinct(2));
        assert_eq!(label("a"), label("a").distinct(1));
    }
}
