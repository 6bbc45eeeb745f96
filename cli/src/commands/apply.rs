//! `nopal apply`: puts the rules of a node in force.

use nft_backend::config::Config;
use nft_backend::features::{Features, Missing};
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::load::{LoadError, StandingFlows, load as put_in_force, plan};
use nft_backend::lock::{Lock, LockError};
use nft_backend::nft::Nft;
use nft_backend::ruleset::Ruleset;
use nft_backend::topology::{LocalPod, NodeNetwork};

use super::{Outcome, kernel, load, node};
use crate::args::{Apply, Arguments};
use crate::lint::{Finding, Selection, Severity, lint};
use crate::manifest::Manifests;
use crate::report;
use crate::report::findings::{Format, Report};
use crate::report::topology;

/// The rules that speak of what the API server would refuse, or what nopal does not understand.
const REFUSED: [&str; 3] = ["NP0", "NP105", "NP902"];

/// Why the rules are not in force.
#[derive(Debug, thiserror::Error)]
enum NotApplied {
    #[error("{}", kernel::explain(.0))]
    Kernel(#[from] ApplyError),
    #[error(transparent)]
    Features(#[from] Missing),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("{}", kernel::explain_load(.0))]
    Load(#[from] LoadError),
}

pub(super) fn run(arguments: &Arguments, options: &Apply) -> Outcome {
    let Some(manifests) = load::some(arguments, &options.input) else {
        return Outcome::Unreadable;
    };
    let kernel = options.place.kernel();
    let config = match config(&kernel, options.counting.config()) {
        Ok(config) => config,
        Err(error) => {
            report::print_error(&format!("error: {error}"));
            return Outcome::Unreadable;
        }
    };
    let local = match node::local(&manifests, &options.node) {
        Ok(local) if local.outcome == Outcome::Fine => local,
        Ok(_) => {
            report::print_error(
                "error: nothing was applied: what could not be read may be a policy or a pod",
            );
            return Outcome::Unreadable;
        }
        Err(outcome) => return outcome,
    };
    let ruleset = match node::rendered(&local.graph, &options.node, &config) {
        Ok(ruleset) => ruleset,
        Err(outcome) => return outcome,
    };
    let refused = refused(&manifests);
    report::print_warnings(&report::findings::render(
        &Report {
            findings: &refused,
            errors: &[],
            shows_info: false,
            columns: None,
        },
        Format::Concise,
        false,
    ));
    let network = NodeNetwork::of(&kernel);
    match apply(options, kernel, &ruleset, &config) {
        Ok(changes) => {
            report::print(&changes);
            let wired = wire(&network, &local.pods, options.check);
            let refused = if refused.is_empty() {
                Outcome::Fine
            } else {
                Outcome::Found
            };
            wired.max(refused)
        }
        Err(error) => {
            report::print_error(&format!("error: {error}"));
            Outcome::Unreadable
        }
    }
}

/// Has the packets of the pods come to the rules, which are in force by now, and tells whose do not.
fn wire(network: &NodeNetwork, pods: &[LocalPod], is_check: bool) -> Outcome {
    let looked = if is_check {
        let detected = network.detect(pods);
        detected.map(|report| topology::would_be(&report))
    } else {
        let enforced = network.enforce(pods);
        enforced.map(|enforced| topology::enforced(&enforced))
    };
    let told = looked.unwrap_or_else(|error| topology::unknown(&error));
    report::print(&told.done);
    report::print_warnings(&told.open);
    if told.open.is_empty() {
        Outcome::Fine
    } else {
        Outcome::Found
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

/// What of the configuration this kernel can carry out. What is given up for that is told.
fn config(kernel: &Nft, wanted: Config) -> Result<Config, NotApplied> {
    let features = Features::probe(kernel)?;
    let (config, given_up) = features.adapt(wanted);
    for given_up in given_up {
        report::print_warnings(&given_up);
    }
    features.require(&config)?;
    Ok(config)
}

/// Says what changed, or would. Nobody else works on the table meanwhile.
fn apply(
    options: &Apply,
    mut kernel: Nft,
    ruleset: &Ruleset,
    config: &Config,
) -> Result<String, NotApplied> {
    let standing = StandingFlows::Recheck;
    let lock = if options.check {
        None
    } else {
        Some(Lock::take(&kernel, &config.table)?)
    };
    let before = kernel.outline(&config.table)?;
    let load = plan(ruleset, config, before.as_ref(), standing)?;
    if options.check {
        kernel.check(&load.create)?;
    } else {
        put_in_force(&mut kernel, ruleset, config, standing)?;
    }
    drop(lock);
    Ok(report::apply::changes(&options.node, &load, options.check))
}
