//! What has to be before an agent may work on a table: nobody else does, the kernel can do what is needed, and the last
//! good rules protect the node until the cluster is known.

use std::io;

use nft_backend::config::Config;
use nft_backend::features::{Features, Missing};
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::lock::{Lock, LockError};
use nft_backend::netlink::Netlink;
use nft_backend::nft::Nft;
use nft_backend::notifications::Notifications;

use super::{DataplaneError, KernelDataplane, Restored, restore};
use crate::state::Store;

/// A table that is ours to work on.
pub struct Opened {
    /// The table.
    pub dataplane: KernelDataplane,
    /// Keeps a second instance away while it lives.
    pub lock: Lock,
    /// Whether rules are in force: of an earlier process, or those that were saved.
    pub has_rules: bool,
}

/// Why an agent cannot work here.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another instance works on the table.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// nft cannot be used.
    #[error(transparent)]
    Nft(#[from] ApplyError),
    /// The kernel lacks something.
    #[error(transparent)]
    Features(#[from] Missing),
    /// Nothing can be heard of what others do.
    #[error("cannot listen to changes of tables; run as root or with CAP_NET_ADMIN: {0}")]
    Notifications(#[source] io::Error),
    /// The table cannot be made.
    #[error(transparent)]
    Dataplane(#[from] DataplaneError),
}

/// Opens the table in the network namespace that this runs in, and puts the saved rules in force if none are.
///
/// # Errors
/// When another instance is at work, or the kernel lacks something that enforcement needs. A log is not needed: it is
/// given up with a warning. Saved rules that cannot be used are told, and the cluster's view will do once it is there.
pub fn open(config: Config, node: &str, store: &Store) -> Result<Opened, OpenError> {
    let mut nft = Nft::new();
    let lock = Lock::take(&nft, &config.table)?;
    let features = Features::probe(&nft)?;
    let (config, given_up) = features.adapt(config);
    for given_up in given_up {
        tracing::warn!("{given_up}");
    }
    features.require(&config)?;
    tracing::info!(kernel = features.kernel, nft = %features.nft, "the kernel has all that is needed");
    put_saved_in_force(&mut nft, &config, node, store);
    let in_force = nft.outline(&config.table)?;
    let has_rules = in_force.is_some_and(|found| found.epoch().is_some());
    let notices = Notifications::of(&nft, &config.table).map_err(OpenError::Notifications)?;
    let dataplane = KernelDataplane::new(node, config, Netlink::beside(nft), notices)?;
    Ok(Opened {
        dataplane,
        lock,
        has_rules,
    })
}

fn put_saved_in_force(nft: &mut Nft, config: &Config, node: &str, store: &Store) {
    let saved = match store.read() {
        Ok(Some(saved)) => saved,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(%error, "saved rules");
            return;
        }
    };
    match restore(nft, config, node, &saved) {
        Ok(Restored::Loaded) => {
            tracing::info!("the saved rules are in force until the API server tells newer ones");
        }
        Ok(Restored::Unmarked) => tracing::warn!(
            "the saved rules are in force until the API server tells newer ones; they were made with other mark bits, \
             so they judge each packet and use none"
        ),
        Ok(Restored::InForceAlready) => tracing::info!("rules of an earlier process are in force"),
        Ok(Restored::NotOurs) => tracing::warn!(
            saved_for = saved.node,
            saved_table = saved.table,
            "the saved rules are another node's or another table's and are not used"
        ),
        Ok(Restored::TableOfOthers { found }) => tracing::error!(
            table = %config.table,
            found,
            "somebody else has made a table of this name, so the saved rules are not put in force; \
             if nobody needs it, take it away with nft, otherwise give it another name"
        ),
        Err(error) => tracing::error!(%error, "the saved rules could not be put in force"),
    }
}
