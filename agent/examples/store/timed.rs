//! A kernel that tells how long it was at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nft_backend::generation::MarkBits;
use nft_backend::in_force::InForce;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::names::Name;
use nft_backend::netlink::Netlink;
use nft_backend::transaction::Transaction;

/// netlink, with a clock beside it.
pub(crate) struct Timed {
    kernel: Netlink,
    clock: Clock,
}

/// The time that a kernel has taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    /// The time since the last call.
    pub(crate) fn take(&self) -> Duration {
        Duration::from_nanos(self.0.swap(0, Ordering::Relaxed))
    }

    fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::Relaxed);
        done
    }
}

impl Timed {
    /// Times this one.
    pub(crate) fn new(kernel: Netlink) -> Self {
        let clock = Clock::default();
        Self { kernel, clock }
    }

    /// Its clock.
    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }
}

impl Kernel for Timed {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let kernel = &mut self.kernel;
        self.clock.during(|| kernel.apply(transaction))
    }

    fn check(&self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.clock.during(|| self.kernel.check(transaction))
    }

    fn list(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.clock.during(|| self.kernel.list(table))
    }

    fn outline(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.clock.during(|| self.kernel.outline(table))
    }

    fn clear_marks(&mut self, bits: MarkBits) -> Result<(), ApplyError> {
        let kernel = &mut self.kernel;
        self.clock.during(|| kernel.clear_marks(bits))
    }

    fn let_packets_through(&mut self) {
        let kernel = &mut self.kernel;
        self.clock.during(|| kernel.let_packets_through());
    }

    fn take_senders(&mut self) -> Vec<u32> {
        self.kernel.take_senders()
    }
}
