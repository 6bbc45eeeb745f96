//! Who carried out our transactions or may have, as the kernel names them to those who listen.

use std::collections::VecDeque;

/// Nobody may ask who sent what, so not all of them are kept; a forgotten one counts as somebody else.
const KEPT: usize = 1024;

/// The netlink ports that transactions were sent from, the oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Senders(VecDeque<u32>);

impl Senders {
    /// Notes the port of one more transaction.
    pub(crate) fn push(&mut self, port: u32) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(port);
    }

    /// Those that came since the last call.
    pub(crate) fn take(&mut self) -> Vec<u32> {
        self.0.drain(..).collect()
    }
}
