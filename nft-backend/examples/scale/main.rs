//! Compiles and renders one large cluster and prints how long each step took and how much memory it needed.
//!
//! `cargo run --release -p nft-backend --example scale -- mix PODS POLICIES` for a realistic mix,
//! `... -- all PODS POLICIES` for policies that each let all pods reach all pods, `... -- naive PODS POLICIES` for the
//! mix resolved pod by pod, without classes or indexes. One run per process, so that the peak of memory is its own.

mod naive;
mod profile;

use std::error::Error;
use std::time::Instant;

use nft_backend::config::Config;
use nft_backend::render::render;
use policy_core::RuleGraph;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, pods, policies] = arguments.as_slice() else {
        return Err("give mix|all|naive, the number of pods and the number of policies".into());
    };
    let (pods, policies) = (pods.parse()?, policies.parse()?);
    let cluster = match kind.as_str() {
        "all" => profile::all_select_all(pods, policies),
        "mix" | "naive" => profile::mix(pods, policies),
        other => return Err(format!("no profile {other}").into()),
    };
    let input = resident_mib("VmRSS")?;
    if kind == "naive" {
        let start = Instant::now();
        let pairs = naive::resolve(&cluster);
        row(&[
            kind,
            &pods.to_string(),
            &policies.to_string(),
            &milliseconds(start),
            &pairs.to_string(),
        ]);
        return Ok(());
    }

    let start = Instant::now();
    let graph = RuleGraph::compile(&cluster);
    let compiled = milliseconds(start);
    let edges = graph.edge_count();
    let start = Instant::now();
    let graph = graph.minimize();
    let minimized = milliseconds(start);
    let whole = resident_mib("VmHWM")?;

    let start = Instant::now();
    let node = RuleGraph::compile_node(&cluster, profile::NODE).minimize();
    let node_graph = milliseconds(start);
    let start = Instant::now();
    let ruleset = render(&node, profile::NODE, &Config::default())?;
    let rendered = milliseconds(start);
    let elements: usize = ruleset.sets.values().map(|set| set.elements.len()).sum();
    row(&[
        kind,
        &pods.to_string(),
        &policies.to_string(),
        &compiled,
        &minimized,
        &format!("{edges} -> {}", graph.edge_count()),
        &node_graph,
        &rendered,
        &format!(
            "{} chains, {} sets, {elements} elements",
            ruleset.chains.len(),
            ruleset.sets.len()
        ),
        &format!("{input} / {whole}"),
    ]);
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the program's output")]
fn row(cells: &[&str]) {
    println!("| {} |", cells.join(" | "));
}

fn milliseconds(start: Instant) -> String {
    format!("{:.1} ms", start.elapsed().as_secs_f64() * 1000.0)
}

/// A figure of this process's memory, in MiB, as the kernel counts it (`VmRSS` now, `VmHWM` at its highest).
fn resident_mib(figure: &str) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with(figure))
        .ok_or("no such figure")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kib / 1024)
}
