//! The kernel by netlink, with nft beside it.

use std::collections::BTreeSet;
use std::path::Path;

use nix::errno::Errno;

use super::batch::{Unencodable, encode};
use super::exchange::{Failure, Refusal, carry_out};
use super::question::{generation, number, question};
use super::set::Shape;
use super::sets::Sets;
use super::socket::{Socket, open};
use super::uapi::{
    NFT_MSG_GETSET, NFT_MSG_NEWSET, NFTA_SET_FLAGS, NFTA_SET_KEY_TYPE, NFTA_SET_NAME,
    NFTA_SET_TABLE,
};
use super::writer::Writer;
use crate::generation::MarkBits;
use crate::in_force::InForce;
use crate::kernel::{ApplyError, Kernel};
use crate::names::Name;
use crate::nft::Nft;
use crate::passage;
use crate::senders::Senders;
use crate::transaction::Transaction;

/// How often a batch is written anew because somebody else changed nftables meanwhile.
const ATTEMPTS: usize = 10;

/// The tables of one network namespace, by netlink.
///
/// Transactions go to the kernel on a socket that stays open; it is opened with the first one. Listing and checking are
/// nft's, and so is a transaction that cannot go by netlink: that is logged once for each kind of reason. While this lives, so does its
/// namespace; one that is made anew under the same name is another.
pub struct Netlink {
    nft: Nft,
    socket: Option<Box<dyn Socket>>,
    sets: Sets,
    /// The number of the next message.
    sequence: u32,
    senders: Senders,
    /// What was warned of already.
    warned: BTreeSet<Obstacle>,
}

/// Why a transaction was not carried out by netlink.
enum Trouble {
    /// It failed.
    Failed(ApplyError),
    /// Nothing was changed, and nft may be able to, for this reason in words.
    ForNft(Obstacle, String),
}

/// What keeps a transaction from going by netlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    /// The kernel does not talk with us at all.
    Refused,
    /// The kernel does not know a command, or not in this form.
    UnknownForm,
    /// The batch was out of date each time when it came to the kernel.
    Outrun,
    /// It has no form that could be sent.
    Unencodable,
}

impl Obstacle {
    fn warn(self, reason: &str) {
        match self {
            Self::Refused => {
                tracing::warn!(
                    reason,
                    "no nftables by netlink here; the nft program steps in"
                );
            }
            Self::UnknownForm => {
                tracing::warn!(
                    reason,
                    "the kernel takes a command otherwise than by our netlink; the nft program steps in"
                );
            }
            Self::Outrun => {
                tracing::warn!(
                    reason,
                    "other programs change nftables faster than our netlink; the nft program steps in"
                );
            }
            Self::Unencodable => {
                tracing::warn!(
                    reason,
                    "a change has no form in our netlink; the nft program steps in"
                );
            }
        }
    }
}

impl Default for Netlink {
    fn default() -> Self {
        Self::new()
    }
}

impl Netlink {
    /// The tables of the namespace that this program runs in.
    pub fn new() -> Self {
        Self::beside(Nft::new())
    }

    /// The tables of the namespace at this path or with this name, as for [`Nft::in_namespace`].
    #[must_use]
    pub fn in_namespace(self, namespace: impl AsRef<Path>) -> Self {
        Self::beside(self.nft.in_namespace(namespace))
    }

    /// The tables that this nft changes, which lists them and steps in.
    pub fn beside(nft: Nft) -> Self {
        Self {
            nft,
            socket: None,
            sets: Sets::default(),
            sequence: 1,
            senders: Senders::default(),
            warned: BTreeSet::new(),
        }
    }

    /// The nft that lists the tables.
    pub const fn nft(&self) -> &Nft {
        &self.nft
    }

    fn commit(&mut self, transaction: &Transaction) -> Result<(), Trouble> {
        for _ in 0..ATTEMPTS {
            self.learn(transaction)?;
            let Some(batch) = encode(transaction, &self.sets, self.sequence)? else {
                return Ok(());
            };
            self.sequence = batch.last.wrapping_add(2);
            let socket = self.socket()?;
            let port = socket.port();
            let outcome = carry_out(socket, &batch);
            if matches!(outcome, Ok(()) | Err(Failure::Unknown(_))) {
                self.senders.push(port);
            }
            match outcome {
                Ok(()) => {
                    self.sets.follow(transaction);
                    return Ok(());
                }
                Err(Failure::Stale) => self.sets.forget(),
                Err(failure) => return Err(explain(failure, transaction)),
            }
        }
        let reason = format!("{ATTEMPTS} attempts were out of date");
        Err(Trouble::ForNft(Obstacle::Outrun, reason))
    }

    /// Learns what the transaction's elements must be written like.
    fn learn(&mut self, transaction: &Transaction) -> Result<(), Trouble> {
        let table = &transaction.table;
        if !self.sets.is_about(table) {
            let sequence = self.next_number();
            let generation = generation(self.socket()?, sequence);
            let generation = generation.map_err(refused)?;
            self.sets.begin(table, generation);
        }
        for set in self.sets.unknown(transaction) {
            let request = |writer: &mut Writer| {
                writer.put_text(NFTA_SET_TABLE, table.as_str());
                writer.put_text(NFTA_SET_NAME, set.as_str());
            };
            let read = |message: &super::Received<'_>| {
                let key = number(message, NFT_MSG_NEWSET, NFTA_SET_KEY_TYPE)?;
                // A set without flags has no such attribute.
                let flags = message.number(NFTA_SET_FLAGS).unwrap_or_default();
                Some(Shape::listed(key, flags))
            };
            let sequence = self.next_number();
            let shape = question(self.socket()?, NFT_MSG_GETSET, sequence, request, read);
            let none = || {
                Trouble::Failed(ApplyError::Refused {
                    stderr: format!("set inet {table} {set}: {}", Errno::ENOENT.desc()),
                })
            };
            let shape = shape.map_err(refused)?.ok_or_else(none)?;
            self.sets.learn(set.clone(), shape);
        }
        Ok(())
    }

    fn next_number(&mut self) -> u32 {
        let number = self.sequence;
        self.sequence = number.wrapping_add(1);
        number
    }

    fn socket(&mut self) -> Result<&mut dyn Socket, Trouble> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.open()?,
        };
        Ok(self.socket.insert(socket).as_mut())
    }

    fn open(&self) -> Result<Box<dyn Socket>, Trouble> {
        let namespace = self.nft.namespace();
        if let Some(path) = namespace.filter(|path| !path.exists()) {
            let path = path.to_owned();
            return Err(Trouble::Failed(ApplyError::NoNamespace { path }));
        }
        open(namespace).map_err(|error| Trouble::ForNft(Obstacle::Refused, error.to_string()))
    }
}

impl Kernel for Netlink {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let Err(trouble) = self.commit(transaction) else {
            return Ok(());
        };
        self.sets.forget();
        match trouble {
            Trouble::Failed(error) => Err(error),
            Trouble::ForNft(obstacle, reason) => {
                if self.warned.insert(obstacle) {
                    obstacle.warn(&reason);
                }
                self.nft.apply(transaction)
            }
        }
    }

    fn check(&self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.nft.check(transaction)
    }

    fn list(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.nft.list(table)
    }

    fn outline(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.nft.outline(table)
    }

    fn clear_marks(&mut self, bits: MarkBits) -> Result<(), ApplyError> {
        self.nft.clear_marks(bits)
    }

    fn let_packets_through(&mut self) {
        passage::wait(self.nft.namespace());
    }

    fn take_senders(&mut self) -> Vec<u32> {
        let mut senders = self.senders.take();
        senders.extend(self.nft.take_senders());
        senders
    }
}

impl From<Unencodable> for Trouble {
    fn from(error: Unencodable) -> Self {
        Self::ForNft(Obstacle::Unencodable, error.to_string())
    }
}

fn explain(failure: Failure, transaction: &Transaction) -> Trouble {
    match failure {
        Failure::Refused(refusal) => explain_refusal(&refusal, transaction),
        Failure::Unusable(errno) => refused(errno),
        Failure::Stale => Trouble::ForNft(Obstacle::Outrun, words(Errno::ERESTART)),
        Failure::Unknown(errno) => Trouble::Failed(ApplyError::OutcomeUnknown {
            reason: words(errno),
        }),
    }
}

/// A command that the kernel does not know, or not in this form, may have another one for nft, which knows more kernels.
fn explain_refusal(refusal: &Refusal, transaction: &Transaction) -> Trouble {
    let command = refusal
        .command
        .and_then(|index| transaction.commands.get(index));
    let mut said = command.map_or_else(
        || format!("table inet {}", transaction.table),
        |command| command.summary(&transaction.table),
    );
    said.push_str(": ");
    said.push_str(&words(refusal.errno));
    if let Some(message) = &refusal.message {
        said.push_str(": ");
        said.push_str(message);
    }
    match refusal.errno {
        Errno::EOPNOTSUPP | Errno::EINVAL => Trouble::ForNft(Obstacle::UnknownForm, said),
        Errno::EPERM | Errno::EACCES => Trouble::Failed(ApplyError::NotPermitted { stderr: said }),
        _ => Trouble::Failed(ApplyError::Refused { stderr: said }),
    }
}

fn refused(errno: Errno) -> Trouble {
    Trouble::ForNft(Obstacle::Refused, words(errno))
}

fn words(errno: Errno) -> String {
    format!("{} ({errno:?})", errno.desc())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::element::{Element, Key};
    use crate::netlink::log::logged;
    use crate::netlink::script::{PORT, Reply, Script, answer, generation};
    use crate::netlink::uapi::NFT_MSG_GETGEN;
    use crate::transaction::Object;
    use crate::value::AddressRange;

    /// A kernel whose answer to the `n`th batch is `answers(n)`, with nft out of reach.
    fn kernel(
        answers: impl Fn(usize) -> Vec<(Place, Errno)> + Send + 'static,
    ) -> (Netlink, Arc<AtomicUsize>) {
        let batches = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&batches);
        let script = move |sent: &[(u16, u32)]| -> Reply {
            let (kind, first) = sent[0];
            if kind == NFT_MSG_GETGEN {
                return (Ok(()), vec![Ok(generation(first, 7))]);
            }
            let number = counted.fetch_add(1, Ordering::Relaxed);
            let last = sent[sent.len() - 2].1;
            let answers = answers(number)
                .into_iter()
                .map(|(place, errno)| match place {
                    Place::Batch => Ok(answer(first, errno as i32, "")),
                    Place::Last => Ok(answer(last, errno as i32, "in other words")),
                    Place::Socket => Err(errno),
                });
            (Ok(()), answers.collect())
        };
        let mut netlink = Netlink::beside(Nft::new().with_program("/nowhere/nft"));
        netlink.socket = Some(Box::new(Script::new(script)));
        (netlink, batches)
    }

    #[derive(Clone, Copy)]
    enum Place {
        Batch,
        Last,
        Socket,
    }

    const FINE: Errno = Errno::UnknownErrno;

    fn transaction() -> Transaction {
        let mut transaction = Transaction::new(Name::fixed("nopal"));
        transaction.add(Object::Table);
        transaction.create(Object::Counter(Name::fixed("denied")));
        transaction
    }

    #[test]
    fn a_batch_of_another_generation_is_written_anew() {
        let (mut netlink, batches) = kernel(|number| match number {
            0..3 => vec![(Place::Batch, Errno::ERESTART)],
            _ => vec![(Place::Last, FINE)],
        });
        netlink.apply(&transaction()).unwrap();
        assert_eq!(batches.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_lost_answer_is_told_and_nothing_is_sent_again() {
        let (mut netlink, batches) = kernel(|_| vec![(Place::Socket, Errno::ENOBUFS)]);
        let error = netlink.apply(&transaction()).unwrap_err();
        assert!(
            matches!(error, ApplyError::OutcomeUnknown { .. }),
            "{error}"
        );
        assert_eq!(batches.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_batch_that_may_be_in_force_has_its_sender_noted_and_no_other() {
        for (answers, noted) in [
            (vec![(Place::Last, FINE)], &[PORT][..]),
            (vec![(Place::Socket, Errno::ENOBUFS)], &[PORT]),
            (vec![], &[PORT]),
            (vec![(Place::Last, Errno::EEXIST)], &[]),
        ] {
            let (mut netlink, _) = kernel(move |_| answers.clone());
            let _ = netlink.apply(&transaction());
            assert_eq!(netlink.take_senders(), noted);
        }
    }

    #[test]
    fn a_refused_command_is_named_with_the_reason() {
        let (mut netlink, _) = kernel(|_| vec![(Place::Last, Errno::EEXIST)]);
        let error = netlink.apply(&transaction()).unwrap_err();
        let stderr = "create counter inet nopal denied: File exists (EEXIST): in other words";
        assert_eq!(
            error,
            ApplyError::Refused {
                stderr: stderr.to_owned()
            }
        );
    }

    /// A transaction with an element that its set cannot hold.
    fn unencodable() -> Transaction {
        let (mut transaction, set) = (transaction(), Name::fixed("s"));
        transaction.create(Object::Set {
            name: set.clone(),
            key: Key::Mark,
            interval: false,
        });
        let elements = [Element::Address(AddressRange::single([10, 0, 0, 1].into()))].into();
        transaction.add(Object::Elements { set, elements });
        transaction
    }

    #[test]
    fn nft_steps_in_and_each_kind_of_reason_is_told_once() {
        let answers = |number| match number {
            0..ATTEMPTS => vec![(Place::Batch, Errno::ERESTART)],
            ATTEMPTS => vec![(Place::Batch, Errno::EPERM)],
            11 => vec![(Place::Batch, Errno::EOPNOTSUPP)],
            12 => vec![(Place::Last, Errno::EOPNOTSUPP)],
            _ => vec![(Place::Last, Errno::EINVAL)],
        };
        let (mut netlink, batches) = kernel(answers);
        let unencodable = unencodable();
        let fine = transaction();
        let ((), log) = logged(|| {
            for transaction in [
                &fine,
                &unencodable,
                &fine,
                &fine,
                &unencodable,
                &fine,
                &fine,
            ] {
                let error = netlink.apply(transaction).unwrap_err();
                assert!(matches!(error, ApplyError::NftMissing { .. }), "{error}");
            }
        });
        assert_eq!(batches.load(Ordering::Relaxed), 14);
        let expected = [
            "other programs change nftables faster than our netlink; the nft program steps in \
             reason=\"10 attempts were out of date\"",
            "a change has no form in our netlink; the nft program steps in \
             reason=\"10.0.0.1 is no element of the set s\"",
            "no nftables by netlink here; the nft program steps in \
             reason=\"Operation not permitted (EPERM)\"",
            "the kernel takes a command otherwise than by our netlink; the nft program steps in \
             reason=\"create counter inet nopal denied: Operation not supported on transport endpoint (EOPNOTSUPP): \
             in other words\"",
        ];
        assert_eq!(log, expected.map(|line| format!("message={line}")));
    }

    #[test]
    fn an_empty_transaction_is_not_sent() {
        let (mut netlink, batches) = kernel(|_| Vec::new());
        netlink
            .apply(&Transaction::new(Name::fixed("nopal")))
            .unwrap();
        assert_eq!(batches.load(Ordering::Relaxed), 0);
    }
}
