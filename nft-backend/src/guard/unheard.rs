//! Large transactions of ours, which nobody listens to.

use crate::generation::MarkBits;
use crate::in_force::InForce;
use crate::kernel::{ApplyError, Kernel};
use crate::names::Name;
use crate::notifications::Notices;
use crate::transaction::Transaction;

/// From so many elements on it is worth two calls of the kernel not to be told of each.
const LARGE: usize = 1_000;

/// A guard's kernel, as the guard's own changes go to it: its notices pause while a large one is carried out.
pub(super) struct Unheard<'a, K, N> {
    kernel: &'a mut K,
    notices: &'a mut N,
    /// The ports of own transactions that are told and that nobody has read of yet.
    told: &'a mut Vec<u32>,
}

impl<'a, K: Kernel, N: Notices> Unheard<'a, K, N> {
    /// The kernel and what tells of it; `told` receives the ports of own transactions that will be told.
    pub(super) fn new(kernel: &'a mut K, notices: &'a mut N, told: &'a mut Vec<u32>) -> Self {
        Self {
            kernel,
            notices,
            told,
        }
    }
}

impl<K: Kernel, N: Notices> Kernel for Unheard<'_, K, N> {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        if transaction.elements() < LARGE || self.notices.pause().is_err() {
            return self.kernel.apply(transaction);
        }
        self.told.extend(self.kernel.take_senders());
        let applied = self.kernel.apply(transaction);
        self.kernel.take_senders();
        self.notices.resume(u32::from(applied.is_ok()));
        applied
    }

    fn check(&self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.kernel.check(transaction)
    }

    fn list(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.kernel.list(table)
    }

    fn outline(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.kernel.outline(table)
    }

    fn clear_marks(&mut self, bits: MarkBits) -> Result<(), ApplyError> {
        self.kernel.clear_marks(bits)
    }

    fn let_packets_through(&mut self) {
        self.kernel.let_packets_through();
    }

    fn take_senders(&mut self) -> Vec<u32> {
        self.kernel.take_senders()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;
    use crate::element::Element;
    use crate::names::Name;
    use crate::notifications::Notice;
    use crate::transaction::Object;

    /// A kernel whose transactions have the ports 1, 2, 3 and so on, until it refuses one.
    struct Ports {
        last: u32,
        senders: Vec<u32>,
        refuses: u32,
    }

    impl Kernel for Ports {
        fn apply(&mut self, _: &Transaction) -> Result<(), ApplyError> {
            self.last += 1;
            if self.last == self.refuses {
                let stderr = "on demand".to_owned();
                return Err(ApplyError::Refused { stderr });
            }
            self.senders.push(self.last);
            Ok(())
        }

        fn check(&self, _: &Transaction) -> Result<(), ApplyError> {
            Ok(())
        }

        fn list(&self, _: &Name) -> Result<Option<InForce>, ApplyError> {
            Ok(None)
        }

        fn outline(&self, _: &Name) -> Result<Option<InForce>, ApplyError> {
            Ok(None)
        }

        fn clear_marks(&mut self, _: MarkBits) -> Result<(), ApplyError> {
            Ok(())
        }

        fn let_packets_through(&mut self) {}

        fn take_senders(&mut self) -> Vec<u32> {
            std::mem::take(&mut self.senders)
        }
    }

    /// Notices that say how often they paused, and what they were told then.
    #[derive(Default)]
    struct Pauses {
        cannot: bool,
        paused: u32,
        resumed: Vec<u32>,
    }

    impl Notices for Pauses {
        fn read(&mut self) -> io::Result<Vec<Notice>> {
            Ok(Vec::new())
        }

        fn wait(&self, _: Duration) -> io::Result<()> {
            Ok(())
        }

        fn pause(&mut self) -> io::Result<()> {
            if self.cannot {
                return Err(io::ErrorKind::Unsupported.into());
            }
            self.paused += 1;
            Ok(())
        }

        fn resume(&mut self, own: u32) {
            self.resumed.push(own);
        }
    }

    fn transaction(elements: usize) -> Transaction {
        let marks = (0..).take(elements).map(Element::Mark);
        let mut transaction = Transaction::new(Name::fixed("nopal"));
        transaction.add(Object::Elements {
            set: Name::fixed("s"),
            elements: marks.collect(),
        });
        transaction
    }

    /// The ports that will be told, of transactions with so many elements.
    fn told(notices: &mut Pauses, refuses: u32, sizes: &[usize]) -> Vec<u32> {
        let (mut told, last, senders) = (Vec::new(), 0, Vec::new());
        let mut kernel = Ports {
            last,
            senders,
            refuses,
        };
        let mut unheard = Unheard::new(&mut kernel, notices, &mut told);
        for (number, size) in (1..).zip(sizes) {
            let applied = unheard.apply(&transaction(*size));
            assert_eq!(applied.is_err(), number == refuses);
        }
        told.extend(kernel.take_senders());
        told
    }

    #[test]
    fn nothing_is_told_of_large_transactions_alone() {
        let mut notices = Pauses::default();
        let sizes = [1, LARGE, LARGE - 1, LARGE + 1, 2];
        assert_eq!(told(&mut notices, 0, &sizes), [1, 3, 5]);
        assert_eq!((notices.paused, notices.resumed), (2, vec![1, 1]));
    }

    #[test]
    fn one_that_was_refused_is_not_counted() {
        let mut notices = Pauses::default();
        assert_eq!(told(&mut notices, 2, &[1, LARGE, LARGE]), [1]);
        assert_eq!((notices.paused, notices.resumed), (2, vec![0, 1]));
    }

    #[test]
    fn where_nothing_can_pause_all_is_told() {
        let mut notices = Pauses {
            cannot: true,
            ..Pauses::default()
        };
        assert_eq!(told(&mut notices, 0, &[1, LARGE]), [1, 2]);
        assert_eq!(notices.resumed, [0; 0]);
    }
}
