//! The chained CNI plugin: see the library `nopal-cni`, all that this program is linked with.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    nopal_cni::plugin::run(std::env::vars_os(), io::stdin().lock(), &mut io::stdout())
}
