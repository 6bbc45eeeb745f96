//! `nopal flush`: takes away what is in force.

use nft_backend::config::Config;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::lock::{Lock, LockError};
use nft_backend::names::Name;
use nft_backend::transaction::{Target, Transaction};

use super::{Outcome, kernel};
use crate::args::Flush;
use crate::report;

/// Why the table stays.
#[derive(Debug, thiserror::Error)]
enum FlushError {
    #[error("{}", kernel::explain(.0))]
    Kernel(#[from] ApplyError),
    #[error("{0}; taking the table away would leave it without")]
    Lock(#[from] LockError),
    #[error(
        "the table inet {table} is not one of nopal's: it has {found}; --force takes it away all the same"
    )]
    NotOurs { table: Name, found: String },
}

pub(super) fn run(options: &Flush) -> Outcome {
    match flush(options) {
        Ok(message) => {
            report::print(&format!("{message}\n"));
            Outcome::Fine
        }
        Err(error) => {
            report::print_error(&format!("error: {error}"));
            Outcome::Unreadable
        }
    }
}

fn flush(options: &Flush) -> Result<String, FlushError> {
    let table = Config::default().table;
    let mut kernel = options.place.kernel();
    let Some(in_force) = kernel.outline(&table)? else {
        return Ok(format!(
            "there is no table inet {table}; nothing to take away"
        ));
    };
    let _lock = Lock::take(&kernel, &table)?;
    if let Some(found) = in_force.foreign().filter(|_| !options.force) {
        return Err(FlushError::NotOurs { table, found });
    }
    let mut transaction = Transaction::new(table.clone());
    transaction.delete(Target::Table);
    kernel.apply(&transaction)?;
    Ok(format!(
        "took away table inet {table}; no policy is in force"
    ))
}
