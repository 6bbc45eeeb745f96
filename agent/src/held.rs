//! A fake kernel for tests, which stays in the hand of the test while an agent works with it.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nft_backend::fake::FakeKernel;
use nft_backend::generation::MarkBits;
use nft_backend::in_force::InForce;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::names::Name;
use nft_backend::notifications::{Notice, Notices};
use nft_backend::transaction::Transaction;

/// A kernel that the test keeps a hand on, and what it has told of others' changes and nobody has read yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(Arc<Mutex<(FakeKernel, Vec<Notice>)>>);

impl Held {
    /// Does something to the kernel, or asks it.
    pub(crate) fn kernel<T>(&self, act: impl FnOnce(&mut FakeKernel) -> T) -> T {
        act(&mut self.0.lock().unwrap().0)
    }

    /// Somebody takes everything away; `is_told` whether the kernel says that something happened.
    pub(crate) fn lose_all(&self, is_told: bool) {
        let (kernel, notices) = &mut *self.0.lock().unwrap();
        *kernel = FakeKernel::new();
        notices.extend(is_told.then_some(Notice::Lost));
    }
}

impl Notices for Held {
    fn read(&mut self) -> io::Result<Vec<Notice>> {
        Ok(std::mem::take(&mut self.0.lock().unwrap().1))
    }

    fn wait(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }
}

impl Kernel for Held {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.kernel(|kernel| kernel.apply(transaction))
    }

    fn check(&self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.kernel(|kernel| kernel.check(transaction))
    }

    fn list(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.kernel(|kernel| kernel.list(table))
    }

    fn outline(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.kernel(|kernel| kernel.outline(table))
    }

    fn clear_marks(&mut self, bits: MarkBits) -> Result<(), ApplyError> {
        self.kernel(|kernel| kernel.clear_marks(bits))
    }

    fn let_packets_through(&mut self) {
        self.kernel(FakeKernel::let_packets_through);
    }
}
