//! `nopal lint`: what is wrong with policies.

use super::{Outcome, baseline, load};
use crate::args::{Arguments, Lint};
use crate::fix::{Fixed, fix};
use crate::lint::{Finding, Selection, Severity, lint, unknown_codes};
use crate::manifest::{Manifests, STANDARD_INPUT};
use crate::report::{self, findings::Report};

pub(super) fn run(arguments: &Arguments, options: &Lint) -> Outcome {
    let unknown = unknown_codes(options.select.iter().chain(&options.ignore));
    if !unknown.is_empty() {
        return refuse(&format!("no rule is named {}", unknown.join(" or ")));
    }
    let selection = Selection {
        select: options.select.clone(),
        ignore: options.ignore.clone(),
        is_open_world: options.open_world,
        profile: options.profile,
    };
    let mut manifests = load::read(arguments, &options.input);
    let mut findings = match told(&manifests, options, &selection) {
        Ok(findings) => findings,
        Err(message) => return refuse(&message),
    };
    if options.diff {
        return print_diff(&manifests, &fix(&findings, options.unsafe_fixes));
    }
    if options.fix {
        let fixed = fix(&findings, options.unsafe_fixes);
        if let Err(message) = write(&fixed) {
            return refuse(&message);
        }
        let count: usize = fixed.iter().map(|fixed| fixed.count).sum();
        if count > 0 {
            report::print_error(&format!("fixed {count} in {} files", fixed.len()));
            manifests = load::read(arguments, &options.input);
            findings = match told(&manifests, options, &selection) {
                Ok(findings) => findings,
                Err(message) => return refuse(&message),
            };
        }
    }
    print(arguments, options, &manifests, &findings)
}

/// What is found and was not there before.
fn told(
    manifests: &Manifests,
    options: &Lint,
    selection: &Selection,
) -> Result<Vec<Finding>, String> {
    let mut findings = lint(manifests, selection);
    if let Some(file) = &options.baseline {
        baseline::retain_new(&mut findings, &baseline::of_report(file)?);
    }
    if let Some(revision) = &options.new_from {
        let before = baseline::of_revision(revision, &options.input, selection)?;
        baseline::retain_new(&mut findings, &before);
    }
    findings.retain(|finding| finding.certainty <= options.certainty.least());
    Ok(findings)
}

fn print(
    arguments: &Arguments,
    options: &Lint,
    manifests: &Manifests,
    findings: &[Finding],
) -> Outcome {
    let color = arguments.color.is_on();
    let printed = Report {
        findings,
        errors: &manifests.errors,
        shows_info: options.show_info,
        columns: report::columns(),
    };
    report::print(&report::findings::render(&printed, options.format, color));
    let filed = Report {
        columns: None,
        ..printed
    };
    for output in &options.output_file {
        let text = report::findings::render(&filed, output.format, false);
        if let Err(error) = std::fs::write(&output.file, text) {
            let file = output.file.display();
            return refuse(&format!("{file} cannot be written: {error}"));
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

fn print_diff(manifests: &Manifests, fixed: &[Fixed]) -> Outcome {
    let diffs: String = fixed.iter().map(Fixed::diff).collect();
    report::print(&diffs);
    if !manifests.errors.is_empty() {
        Outcome::Unreadable
    } else if fixed.is_empty() {
        Outcome::Fine
    } else {
        Outcome::Found
    }
}

fn write(fixed: &[Fixed]) -> Result<(), String> {
    let is_standard_input = |fixed: &&Fixed| fixed.source.name() == "<stdin>";
    if fixed.iter().any(|fixed| is_standard_input(&fixed)) {
        return Err(format!(
            "{STANDARD_INPUT} (standard input) cannot be fixed: use --diff, or name a file"
        ));
    }
    for fixed in fixed {
        let name = fixed.source.name();
        if std::path::Path::new(name).is_dir() {
            return Err(format!(
                "{name} is rendered by a tool: what it is made of has to be fixed by hand"
            ));
        }
        std::fs::write(name, &fixed.text)
            .map_err(|error| format!("{name} cannot be written: {error}"))?;
    }
    Ok(())
}

fn refuse(message: &str) -> Outcome {
    report::print_error(&format!("error: {message}"));
    Outcome::Unreadable
}
