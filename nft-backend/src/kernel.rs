//! What the rest of the program wants from a kernel, and how it can refuse.

use std::path::PathBuf;
use std::time::Duration;

use crate::generation::MarkBits;
use crate::in_force::InForce;
use crate::names::Name;
use crate::transaction::Transaction;

/// A kernel that holds tables: the real one behind netlink or nft, or the fake one of tests.
pub trait Kernel {
    /// Carries out the whole transaction, or nothing of it.
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError>;

    /// Tells whether the kernel would carry out the transaction, and changes nothing.
    fn check(&self, transaction: &Transaction) -> Result<(), ApplyError>;

    /// What is in force in our table; `None` when there is no such table.
    ///
    /// Just after a large load the kernel can leave elements out, while it still moves them to a
    /// larger hash table (seen on kernel 6.18 with 100,000 elements in one set). Lookups of packets
    /// find them all the same. So whoever finds elements missing lists once more.
    fn list(&self, table: &Name) -> Result<Option<InForce>, ApplyError>;

    /// The same without the elements of sets and maps, which take most of the time. It is all that
    /// a load needs to know.
    fn outline(&self, table: &Name) -> Result<Option<InForce>, ApplyError>;

    /// Sets these bits to zero in the mark of every conntrack entry.
    /// [`generation`](crate::generation) says when that is needed.
    fn clear_marks(&mut self, bits: MarkBits) -> Result<(), ApplyError>;

    /// Waits until every packet has left the rules that came to them before this call: before a change whose both sides no
    /// single packet may meet, such as the deletion of the maps that packets were led by (modules `under_way`, `passage`).
    fn let_packets_through(&mut self);

    /// The netlink ports that sent the transactions which were carried out since the last call, or may have been, one
    /// for each, so that a [`guard`](mod@crate::guard) tells them from what others do. A kernel that does
    /// not know has every change taken for somebody else's, which costs a comparison.
    fn take_senders(&mut self) -> Vec<u32> {
        Vec::new()
    }
}

/// Why the kernel did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// There is no nft program.
    #[error("{program} was not found; install nftables {needed} or later")]
    NftMissing {
        /// The program that was tried.
        program: PathBuf,
        /// The oldest version that will do.
        needed: NftVersion,
    },
    /// The nft program lacks what we use.
    #[error("nft {found} is too old; install nftables {needed} or later")]
    NftTooOld {
        /// Its version.
        found: NftVersion,
        /// The oldest version that will do.
        needed: NftVersion,
    },
    /// We may not change this kernel's tables.
    #[error("not permitted; run as root or with CAP_NET_ADMIN and CAP_SYS_ADMIN: {stderr}")]
    NotPermitted {
        /// What was said about it.
        stderr: String,
    },
    /// There is no such network namespace.
    #[error("the network namespace {path} does not exist; `ip netns list` shows those with a name")]
    NoNamespace {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The kernel or nft did not take the transaction. Nothing was changed.
    #[error("the transaction was refused; nothing was changed: {stderr}")]
    Refused {
        /// What was said about it.
        stderr: String,
    },
    /// nft did not end in time and was killed. The transaction may be in force or not; list to see.
    #[error("nft did not end within {} s and was stopped; list the table to see what is in force", .limit.as_secs_f32())]
    TimedOut {
        /// The time it had.
        limit: Duration,
    },
    /// The kernel's answer to a transaction was lost. The transaction may be in force or not; list to see.
    #[error("the kernel's answer was lost ({reason}); list the table to see what is in force")]
    OutcomeUnknown {
        /// What became of it.
        reason: String,
    },
    /// Somebody killed nft. The transaction may be in force or not; list to see.
    #[error("nft was killed by somebody; list the table to see what is in force")]
    Killed,
    /// nft printed what we do not understand.
    #[error("the answer of nft was not understood: {reason}")]
    NotUnderstood {
        /// What was strange about it.
        reason: String,
    },
    /// The operating system did not let us do something else.
    #[error("{doing} failed: {reason}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the operating system said.
        reason: String,
    },
}

/// A version of the nft program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NftVersion {
    /// Major, minor and patch.
    pub numbers: [u16; 3],
}

impl NftVersion {
    /// The oldest version that this program was tested with.
    pub const NEEDED: Self = Self { numbers: [1, 0, 6] };

    /// Reads `nftables v1.0.6 (Lester Gooch #5)`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let version = text
            .split_whitespace()
            .find_map(|word| word.strip_prefix('v'))?;
        let mut parts = version.split('.').map(str::parse);
        let mut numbers = [0; 3];
        for number in &mut numbers {
            match parts.next() {
                Some(part) => *number = part.ok()?,
                None => break,
            }
        }
        Some(Self { numbers })
    }
}

impl std::fmt::Display for NftVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_nft_prints() {
        let version = |text| NftVersion::parse(text).map(|version| version.to_string());
        assert_eq!(
            version("nftables v1.0.6 (Lester Gooch #5)").as_deref(),
            Some("1.0.6")
        );
        assert_eq!(version("nftables v1.1 (X)").as_deref(), Some("1.1.0"));
        assert_eq!(version("busybox"), None);
        assert!(
            NftVersion {
                numbers: [1, 0, 10]
            } > NftVersion::NEEDED
        );
    }
}
