//! `nopal flush`: takes away what is in force.

use nft_backend::config::Config;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::transaction::{Target, Transaction};

use super::{Outcome, kernel};
use crate::args::Flush;
use crate::report;

pub(super) fn run(options: &Flush) -> Outcome {
    match flush(options) {
        Ok(message) => {
            report::print(&format!("{message}\n"));
            Outcome::Fine
        }
        Err(error) => {
            report::print_error(&format!("error: {}", kernel::explain(&error)));
            Outcome::Unreadable
        }
    }
}

fn flush(options: &Flush) -> Result<String, ApplyError> {
    let table = Config::default().table;
    let mut kernel = options.place.kernel();
    if kernel.outline(&table)?.is_none() {
        return Ok(format!(
            "there is no table inet {table}; nothing to take away"
        ));
    }
    let mut transaction = Transaction::new(table.clone());
    transaction.delete(Target::Table);
    kernel.apply(&transaction)?;
    Ok(format!(
        "took away table inet {table}; no policy is in force"
    ))
}
