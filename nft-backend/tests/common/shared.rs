//! A kernel in memory that a stranger can change too. What it tells of that is lost, so that whoever listens has to
//! compare.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use nft_backend::generation::MarkBits;
use nft_backend::in_force::InForce;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::names::Name;
use nft_backend::notifications::{Notice, Notices};
use nft_backend::transaction::{Target, Transaction};

/// Clones are hands on the same kernel.
#[derive(Debug, Default)]
pub(crate) struct Shared<K> {
    pub(crate) kernel: Rc<RefCell<K>>,
    notices: Rc<RefCell<VecDeque<Notice>>>,
}

impl<K> Clone for Shared<K> {
    fn clone(&self) -> Self {
        Self {
            kernel: Rc::clone(&self.kernel),
            notices: Rc::clone(&self.notices),
        }
    }
}

impl<K: Kernel> Kernel for Shared<K> {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.kernel.borrow_mut().apply(transaction)
    }

    fn check(&self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.kernel.borrow().check(transaction)
    }

    fn list(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.kernel.borrow().list(table)
    }

    fn outline(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.kernel.borrow().outline(table)
    }

    fn clear_marks(&mut self, bits: MarkBits) -> Result<(), ApplyError> {
        self.kernel.borrow_mut().clear_marks(bits)
    }

    fn let_packets_through(&mut self) {
        self.kernel.borrow_mut().let_packets_through();
    }
}

impl<K> Notices for Shared<K> {
    fn read(&mut self) -> io::Result<Vec<Notice>> {
        Ok(self.notices.borrow_mut().drain(..).collect())
    }

    fn wait(&self, timeout: Duration) -> io::Result<()> {
        thread::sleep(timeout.min(Duration::from_millis(20)));
        Ok(())
    }
}

impl<K: Kernel> Shared<K> {
    /// Somebody deletes the table.
    pub(crate) fn delete_table(&mut self, table: &Name) {
        let mut transaction = Transaction::new(table.clone());
        transaction.delete(Target::Table);
        self.meddle(&transaction).unwrap();
    }

    /// Somebody deletes all elements of the first set that has some.
    pub(crate) fn delete_elements(&mut self, table: &Name) {
        let in_force = self.list(table).unwrap().unwrap();
        let mut sets = in_force.sets.into_iter();
        let (set, found) = sets
            .find(|(name, set)| name.as_str().contains("_h4_") && !set.elements.is_empty())
            .unwrap();
        let elements = found.elements;
        let mut transaction = Transaction::new(table.clone());
        transaction.delete(Target::Elements { set, elements });
        self.meddle(&transaction).unwrap();
    }

    /// Somebody changes the table.
    pub(crate) fn meddle(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.apply(transaction)?;
        self.lose();
        Ok(())
    }

    /// Messages are lost.
    pub(crate) fn lose(&self) {
        self.notices.borrow_mut().push_back(Notice::Lost);
    }
}
