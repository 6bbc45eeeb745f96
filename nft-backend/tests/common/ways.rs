//! The two ways into the kernel.

use nft_backend::kernel::Kernel;
use nft_backend::netlink::Netlink;
use nft_backend::nft::Nft;

/// How transactions come into the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Nft,
    Netlink,
}

impl Way {
    pub(crate) const ALL: [Self; 2] = [Self::Nft, Self::Netlink];

    /// The kernel whose tables this nft lists.
    pub(crate) fn kernel(self, nft: Nft) -> Box<dyn Kernel> {
        match self {
            Self::Nft => Box::new(nft),
            Self::Netlink => Box::new(Netlink::beside(nft)),
        }
    }
}
