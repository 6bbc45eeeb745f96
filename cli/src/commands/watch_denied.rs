//! `nopal watch-denied`: tells about each packet that the rules in force deny or audit.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use nft_backend::nflog::{Heard, Listener};

use super::{Outcome, load};
use crate::args::{Arguments, ClusterArguments, Format, InputArguments, WatchDenied};
use crate::demo::stop_on_signals;
use crate::denials::Names;
use crate::inventory::MadeUp;
use crate::report;

/// A signal that comes just before waiting begins is noticed so late.
const PATIENCE: Duration = Duration::from_millis(200);

pub(super) fn run(arguments: &Arguments, options: &WatchDenied) -> Outcome {
    let stop = match stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => return refuse(&format!("cannot listen for signals: {error}")),
    };
    let names = match names(arguments, options) {
        Ok(names) => names,
        Err(outcome) => return outcome,
    };
    let mut listener = match Listener::join(options.place.netns.as_deref(), options.group) {
        Ok(listener) => listener,
        Err(error) => return refuse(&error.to_string()),
    };
    report::print_error(&format!("listening to nflog group {}", options.group));
    let mut left = options.count;
    while !stop.load(Ordering::Relaxed) {
        let refused = match listener.listen(PATIENCE) {
            Ok(Heard::Refused(refused)) => refused,
            Ok(Heard::Lost) => {
                report::print_error(
                    "warning: packets were told faster than they could be read; some lines are lost",
                );
                continue;
            }
            Ok(Heard::Nothing) => continue,
            Err(error) => return refuse(&error.to_string()),
        };
        for refused in refused {
            let denial = names.denial(refused, Timestamp::now());
            let line = match options.format {
                Format::Text => report::denials::text(&denial),
                Format::Json => report::denials::json(&denial),
            };
            left = left.map(|left| left - 1);
            if report::try_print(&line).is_err() || left == Some(0) {
                return Outcome::Fine;
            }
        }
    }
    Outcome::Fine
}

/// The names in the input, if there is one. What cannot be read would be told without its name for hours, so it ends
/// the command.
fn names(arguments: &Arguments, options: &WatchDenied) -> Result<Names, Outcome> {
    if options.paths.is_empty() {
        return Ok(Names::default());
    }
    let input = InputArguments {
        paths: options.paths.clone(),
        cluster: ClusterArguments::default(),
        namespace: options.namespace.clone(),
    };
    let manifests = load::read(arguments, &input);
    let (inventory, outcome) = load::inventory(&manifests, MadeUp::Nothing);
    if outcome != Outcome::Fine {
        return Err(outcome);
    }
    Ok(Names::of(inventory.cluster, options.node.as_deref()))
}

fn refuse(message: &str) -> Outcome {
    report::print_error(&format!("error: {message}"));
    Outcome::Unreadable
}
