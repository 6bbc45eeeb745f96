//! `nopal apply`: puts the rules of a node in force.

use nft_backend::config::Config;
use nft_backend::kernel::Kernel;
use nft_backend::load::{LoadError, StandingFlows, Step, load as put_in_force, plan};
use nft_backend::ruleset::Ruleset;

use super::{Outcome, kernel, load, node};
use crate::args::{Apply, Arguments};
use crate::lint::{Finding, Selection, Severity, lint};
use crate::manifest::Manifests;
use crate::report;
use crate::report::findings::{Format, Report};

/// The rules that speak of what the API server would refuse, or what nopal does not understand.
const REFUSED: [&str; 3] = ["NP0", "NP105", "NP902"];

pub(super) fn run(arguments: &Arguments, options: &Apply) -> Outcome {
    let manifests = load::read(arguments, &options.input);
    let config = Config::default();
    let ruleset = match node::rules(&manifests, &options.node, &config) {
        Ok((ruleset, Outcome::Fine)) => ruleset,
        Ok(_) => {
            report::print_error(
                "error: nothing was applied: what could not be read may be a policy or a pod",
            );
            return Outcome::Unreadable;
        }
        Err(outcome) => return outcome,
    };
    let refused = refused(&manifests);
    report::print_warnings(&report::findings::render(
        &Report {
            findings: &refused,
            errors: &[],
            shows_info: false,
        },
        Format::Concise,
        false,
    ));
    match apply(options, &ruleset, &config) {
        Ok(changes) => {
            report::print(&changes);
            if refused.is_empty() {
                Outcome::Fine
            } else {
                Outcome::Found
            }
        }
        Err(error) => {
            report::print_error(&format!("error: {}", kernel::explain_load(&error)));
            Outcome::Unreadable
        }
    }
}

/// What the API server would refuse; it is enforced closed.
fn refused(manifests: &Manifests) -> Vec<Finding> {
    let selection = Selection {
        select: REFUSED.map(str::to_owned).to_vec(),
        ..Selection::default()
    };
    lint(manifests, &selection)
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect()
}

/// Says what changed, or would.
fn apply(options: &Apply, ruleset: &Ruleset, config: &Config) -> Result<String, LoadError> {
    let failed = |step| move |source| LoadError::Step { step, source };
    let mut kernel = options.place.kernel();
    kernel.version().map_err(failed(Step::List))?;
    let standing = StandingFlows::Recheck;
    let before = kernel.outline(&config.table).map_err(failed(Step::List))?;
    let load = plan(ruleset, config, before.as_ref(), standing)?;
    if options.check {
        kernel.check(&load.create).map_err(failed(Step::Create))?;
    } else {
        put_in_force(&mut kernel, ruleset, config, standing)?;
    }
    Ok(report::apply::changes(&options.node, &load, options.check))
}
