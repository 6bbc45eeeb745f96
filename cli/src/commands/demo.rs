//! `nopal demo`: the input as a cluster of network namespaces, and packets to see whether it does what it should.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nft_backend::nft::Nft;
use nopal_lab::LabError;
use policy_core::RuleGraph;

use super::{Outcome, kernel, load};
use crate::args::{Arguments, ClusterArguments, Demo, Format, InputArguments};
use crate::demo::{self, Cast, Limits, Plan, Stage, StageError};
use crate::inventory::MadeUp;
use crate::manifest::{self, Manifests, Source};
use crate::report;

/// What is shown when no input is given.
const EXAMPLE: &str = include_str!("../../demo/shop.yaml");

pub(super) fn run(arguments: &Arguments, options: &Demo) -> Outcome {
    if options.clean {
        return clean();
    }
    let stop = match demo::stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => return refuse(&format!("cannot listen for signals: {error}")),
    };
    if let Err(error) = Nft::new().version() {
        return refuse(&kernel::explain(&error));
    }
    let Some(manifests) = read(arguments, options) else {
        return Outcome::Unreadable;
    };
    let (inventory, outcome) = load::inventory(&manifests, MadeUp::AddressesAndNodes);
    let graph = RuleGraph::compile(&inventory.cluster);
    let limits = Limits {
        pods: options.pods,
        probes: options.probes,
    };
    let cast = Cast::new(&inventory.cluster, &graph, limits);
    let plan = Plan::new(&cast, &inventory.cluster, &graph, limits.probes);
    if plan.trials.is_empty() {
        return refuse("nobody could send a packet to anybody: the input has no pods that run");
    }
    match show(arguments, options, (&cast, &plan, &graph), &stop) {
        Ok(agrees) if agrees => outcome,
        Ok(_) => outcome.max(Outcome::Found),
        Err(StageError::Lab(LabError::Interrupted)) => {
            report::print_error("interrupted; everything is cleaned up");
            Outcome::Interrupted
        }
        Err(error) => refuse(&kernel::explain_stage(&error)),
    }
}

/// Says whether all agrees.
fn show(
    arguments: &Arguments,
    options: &Demo,
    (cast, plan, graph): (&Cast, &Plan, &RuleGraph),
    stop: &Arc<AtomicBool>,
) -> Result<bool, StageError> {
    demo::remove_leftovers()?;
    progress(&format!(
        "building {} nodes and {} pods",
        cast.topology.nodes.len(),
        cast.topology.pods.len()
    ));
    let mut stage = Stage::build(cast, options.topology, options.keep, stop)?;
    progress("applying the policies on each node");
    let switched = stage.apply(cast, graph)?;
    progress(&format!("sending {} probes", plan.trials.len()));
    let outcome = demo::run(plan, graph, &mut stage)?;
    report::print(&match options.format {
        Format::Text => {
            let text = report::demo::text(cast, plan, &outcome, arguments.color.is_on());
            report::demo::switched(&switched) + &text
        }
        Format::Json => report::json(&report::demo::json(cast, plan, &outcome)),
    });
    if options.keep {
        let (node, pod) = stage.examples(cast);
        let names = stage.keep();
        report::print_error(&report::demo::kept(
            names.len(),
            node.as_deref(),
            pod.as_deref(),
        ));
    } else {
        stage.remove()?;
    }
    Ok(outcome.disagreements.is_empty())
}

fn read(arguments: &Arguments, options: &Demo) -> Option<Manifests> {
    if options.paths.is_empty() {
        progress("no PATHS, so this is the built-in example; reading it");
        let source = Source::new("the built-in example".to_owned(), EXAMPLE.to_owned());
        return Some(manifest::read_source(&Arc::new(source), &options.namespace));
    }
    let input = InputArguments {
        paths: options.paths.clone(),
        cluster: ClusterArguments::default(),
        namespace: options.namespace.clone(),
    };
    load::some(arguments, &input)
}

fn clean() -> Outcome {
    match demo::clean() {
        Ok(names) => {
            report::print(&format!("removed {} network namespaces\n", names.len()));
            Outcome::Fine
        }
        Err(error) => refuse(&kernel::explain_stage(&error)),
    }
}

fn refuse(message: &str) -> Outcome {
    report::print_error(&format!("error: {message}"));
    Outcome::Unreadable
}

/// Something to look at for people who wait.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        report::print_error(&format!("{text} ..."));
    }
}
