//! `nopal suggest`: the least policies that admit given flows.

use std::io::Read;
use std::path::Path;

use super::{Outcome, load};
use crate::args::{Arguments, Isolate, Suggest};
use crate::inventory::{Inventory, MadeUp};
use crate::manifest::STANDARD_INPUT;
use crate::report;
use crate::suggest::{Isolating, parse, suggest};

/// More text than this is not read.
const MOST_BYTES: u64 = 1 << 30;

pub(super) fn run(arguments: &Arguments, options: &Suggest) -> Outcome {
    let flows = &options.flows;
    let is_input = |path: &Path| path.as_os_str() == STANDARD_INPUT;
    if is_input(flows) && options.input.paths.iter().any(|path| is_input(path)) {
        report::print_error("error: standard input cannot hold both the objects and the flows");
        return Outcome::Unreadable;
    }
    let text = match read(flows, is_input(flows)) {
        Ok(text) => text,
        Err(error) => {
            report::print_error(&format!("error: {}: {error}", flows.display()));
            return Outcome::Unreadable;
        }
    };
    let (written, errors) = parse(&text);
    for error in &errors {
        report::print_error(&format!("error: {}: {error}", flows.display()));
    }
    if written.is_empty() && errors.is_empty() {
        report::print_error(&format!("error: {}: holds no flow", flows.display()));
        return Outcome::Unreadable;
    }
    let Some(manifests) = load::some(arguments, &options.input) else {
        return Outcome::Unreadable;
    };
    if !manifests.errors.is_empty() {
        report::print_error(
            "error: no suggestion: what could not be read may be a policy or a pod",
        );
        return Outcome::Unreadable;
    }
    let (inventory, _) = load::inventory(&manifests, MadeUp::Addresses);
    let stated = Inventory::new(&manifests, MadeUp::Nothing).cluster;
    let isolating = match options.isolate {
        None => Isolating::usual(&inventory),
        Some(isolate) => Isolating {
            ingress: matches!(isolate, Isolate::Ingress | Isolate::Both),
            egress: matches!(isolate, Isolate::Egress | Isolate::Both),
        },
    };
    let suggestion = suggest(&inventory, &stated, &written, isolating);
    report::print(&report::suggestion::suggestion(&suggestion, options.format));
    for note in report::suggestion::notes(&suggestion) {
        report::print_error(&note);
    }
    if !errors.is_empty() {
        Outcome::Unreadable
    } else if suggestion.left_out.is_empty() {
        Outcome::Fine
    } else {
        Outcome::Found
    }
}

fn read(path: &Path, is_input: bool) -> std::io::Result<String> {
    let mut text = String::new();
    if is_input {
        std::io::stdin()
            .take(MOST_BYTES)
            .read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)?
            .take(MOST_BYTES)
            .read_to_string(&mut text)?;
    }
    Ok(text)
}
