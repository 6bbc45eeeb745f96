//! `nopal lint`: what is wrong with policies.

use super::{Outcome, load};
use crate::args::{Arguments, Lint};
use crate::lint::{Selection, Severity, lint, unknown_codes};
use crate::report::{self, findings::Report};

pub(super) fn run(arguments: &Arguments, options: &Lint) -> Outcome {
    let unknown = unknown_codes(options.select.iter().chain(&options.ignore));
    if !unknown.is_empty() {
        report::print_error(&format!("error: no rule is named {}", unknown.join(" or ")));
        return Outcome::Unreadable;
    }
    let manifests = load::read(arguments, &options.input);
    let selection = Selection {
        select: options.select.clone(),
        ignore: options.ignore.clone(),
        is_open_world: options.open_world,
    };
    let mut findings = lint(&manifests, &selection);
    findings.retain(|finding| finding.certainty <= options.certainty.least());
    let color = arguments.color.is_on();
    let printed = Report {
        findings: &findings,
        errors: &manifests.errors,
        shows_info: options.show_info,
    };
    report::print(&report::findings::render(&printed, options.format, color));
    for output in &options.output_file {
        let text = report::findings::render(&printed, output.format, false);
        if let Err(error) = std::fs::write(&output.file, text) {
            let file = output.file.display();
            report::print_error(&format!("error: {file} cannot be written: {error}"));
            return Outcome::Unreadable;
        }
    }
    let counts = findings
        .iter()
        .any(|finding| finding.severity != Severity::Info);
    if !manifests.errors.is_empty() {
        Outcome::Unreadable
    } else if counts && !options.exit_zero {
        Outcome::Found
    } else {
        Outcome::Fine
    }
}
