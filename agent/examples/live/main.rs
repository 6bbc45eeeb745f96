//! Measures one agent with a real API server: `live AGENT [--quick]`, where AGENT is the program. A cluster of 5,000 pods
//! and 2,000 policies is made, and changed 100 times a second. Prints tables for `docs/benchmarks.md`. Root.
//!
//! etcd, the API server and this program have a network namespace of their own and the agent another one, so that the
//! counters of the line between them are what the agent costs.

mod adds;
mod api;
mod changes;
mod figures;
mod monitor;
mod objects;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nopal_harness::{ControlPlane, Process, Signal};
use nopal_lab::{Lab, Namespace, NodeSpec, Topology};

use adds::{AT_A_TIME, Runtime};
use api::Api;
use changes::Sent;
use figures::{Snapshot, is_ready};
use monitor::Monitor;
use objects::{NODE, Size};

type Failure = Box<dyn Error>;

const CONTROL_PLANE: &str = "198.51.100.1";
const NODE_ADDRESS: &str = "192.168.0.1";
const PREFIX: &str = "bench-agent";

/// How long an agent may take to be ready on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// What comes late is waited for so long.
const LATE: Duration = Duration::from_secs(5);

/// How much is measured.
struct Effort {
    size: Size,
    rate: u32,
    seconds: u32,
    /// How long nothing changes, in seconds.
    quiet: u64,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let effort = |pods, policies, seconds, quiet| Effort {
        size: Size { pods, policies },
        rate: 100,
        seconds,
        quiet,
    };
    let (agent, effort) = match arguments.as_slice() {
        [agent] => (agent, effort(5_000, 2_000, 60, 60)),
        [agent, quick] if quick == "--quick" => (agent, effort(500, 200, 10, 10)),
        _ => return Err("usage: live AGENT [--quick]".into()),
    };
    let agent = PathBuf::from(agent).canonicalize()?;
    Lab::remove_leftovers(PREFIX)?;
    let address = |text: &str| text.parse::<IpAddr>();
    let topology = Topology {
        nodes: vec![NodeSpec {
            name: NODE.to_owned(),
            addresses: vec![address(NODE_ADDRESS)?],
        }],
        pods: Vec::new(),
        externals: vec![address(CONTROL_PLANE)?],
    };
    let lab = Lab::build(&topology, PREFIX)?;
    let control_plane = ControlPlane::start(lab.world_namespace(), address(CONTROL_PLANE)?)?;
    let node = lab.node_namespace(NODE)?.clone();
    // This thread stays in the namespace of the API server, and so do the threads that it starts.
    let measured = lab.world_namespace().run(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build()?;
        let done = runtime.block_on(measure(&effort, &agent, &control_plane, &node));
        done.map_err(|error| io::Error::other(error.to_string()))
    });
    measured??;
    Ok(())
}

async fn measure(
    effort: &Effort,
    agent: &Path,
    control_plane: &ControlPlane,
    node: &Namespace,
) -> Result<(), Failure> {
    let api = Api::new(control_plane.kubeconfig()).await?;
    let begun = Instant::now();
    api.create(effort.size).await?;
    tell(&format!("the cluster is made ({:?})", begun.elapsed()))?;

    let folder = tempfile::tempdir()?;
    let at_start = figures::traffic(node)?;
    let asked_at_start = api.read_requests().await?;
    let begun = Instant::now();
    let socket = folder.path().join("cni.sock");
    let process = start(agent, control_plane, node, folder.path(), &socket)?;
    while !is_ready(node)? {
        if begun.elapsed() > PATIENCE {
            return Err(format!("the agent is not ready:\n{}", process.log()).into());
        }
        sleep(Duration::from_millis(20));
    }
    let ready = begun.elapsed();
    let at_ready = figures::traffic(node)?;
    let asked_at_ready = api.read_requests().await?;
    // The first save and what else follows a start.
    sleep(LATE);
    let before_quiet = Snapshot::take(&process, node)?;
    sleep(Duration::from_secs(effort.quiet));
    let after_quiet = Snapshot::take(&process, node)?;
    tell(&format!("the agent is ready ({ready:?})"))?;

    let monitor = Monitor::start(node)?;
    let asked_before = api.read_requests().await?;
    let before = Snapshot::take(&process, node)?;
    let sent = changes::send(&api, effort.size, effort.rate, effort.seconds).await?;
    let sent_for = before.at.elapsed();
    sleep(LATE);
    let after = Snapshot::take(&process, node)?;
    let asked_after = api.read_requests().await?;
    let seen = monitor.stop()?;
    let runtime = Runtime {
        plugin: agent.with_file_name("nopal-cni"),
        socket: &socket,
        node,
    };
    let adds = runtime.start_pods(&api, effort.size).await?;
    process.signal(Signal::SIGTERM)?;

    let out = &mut io::stdout();
    let latencies = changes::latencies(&sent, &seen);
    let inside = after.latency.since(&before.latency);
    writeln!(
        out,
        "| pods | policies | elements of the node | start to ready | changes a second | for | event to kernel, p50 | p99 | request to kernel, p50 | p99 | seen in the kernel | CPU of the agent | resident MiB | at its highest |"
    )?;
    writeln!(
        out,
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    )?;
    let visible = sent.iter().filter(|sent| sent.is_visible).count();
    let [p50, p99] = [50, 99].map(|percent| at(&latencies, percent));
    let rate = f64::from(u32::try_from(sent.len())?) / sent_for.as_secs_f64();
    writeln!(
        out,
        "| {} | {} | {} | {:.2} s | {rate:.0} | {:.0} s | {} | {} | {p50} | {p99} | {} of {visible} | {:.1} % of a core | {} | {} |\n",
        effort.size.pods,
        effort.size.policies,
        after.elements,
        ready.as_secs_f64(),
        sent_for.as_secs_f64(),
        inside.quantile(0.5),
        inside.quantile(0.99),
        latencies.len(),
        after.cpu_since(&before),
        after.resident,
        after.highest,
    )?;
    report_cost(
        out,
        &Cost {
            lists: at_ready.received - at_start.received,
            asked_for_lists: asked_at_ready - asked_at_start,
            asked_for_changes: asked_after - asked_before,
            quiet: (&before_quiet, &after_quiet),
            busy: (&before, &after),
            sent: &sent,
            watches: api.watches().await?,
            events: api.posted_events().await?,
        },
    )?;
    report_adds(out, &adds)
}

/// What one agent costs the API server.
struct Cost<'a> {
    lists: u64,
    asked_for_lists: u64,
    asked_for_changes: u64,
    quiet: (&'a Snapshot, &'a Snapshot),
    busy: (&'a Snapshot, &'a Snapshot),
    sent: &'a [Sent],
    watches: u64,
    events: u64,
}

fn report_cost(out: &mut impl Write, cost: &Cost<'_>) -> Result<(), Failure> {
    let (before, after) = cost.busy;
    let changes = u64::try_from(cost.sent.len())?.max(1);
    let received = after.traffic.received - before.traffic.received;
    let asked = after.traffic.sent - before.traffic.sent;
    let (quiet_before, quiet_after) = cost.quiet;
    let quiet = quiet_after.traffic.received - quiet_before.traffic.received;
    let quiet = f64::from(u32::try_from(quiet)?) / quiet_after.seconds_since(quiet_before);
    writeln!(
        out,
        "| bytes of the lists at the start | requests | bytes per change, to the agent | from the agent | requests during the changes | bytes a second in quiet | watches | Events posted | CPU of the agent in quiet |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    writeln!(
        out,
        "| {} | {} | {} | {} | {} | {quiet:.1} | {} | {} | {:.2} % of a core |\n",
        cost.lists,
        cost.asked_for_lists,
        received / changes,
        asked / changes,
        cost.asked_for_changes,
        cost.watches,
        cost.events,
        quiet_after.cpu_since(quiet_before),
    )?;
    Ok(())
}

fn report_adds(out: &mut impl Write, adds: &[Duration]) -> Result<(), Failure> {
    let [p50, p99, longest] = [50, 99, 100].map(|percent| at(adds, percent));
    writeln!(
        out,
        "| pods started | at a time | nopal-cni ADD, p50 | p99 | the longest |"
    )?;
    writeln!(out, "|---|---|---|---|---|")?;
    writeln!(
        out,
        "| {} | {AT_A_TIME} | {p50} | {p99} | {longest} |",
        adds.len()
    )?;
    Ok(())
}

fn start(
    agent: &Path,
    control_plane: &ControlPlane,
    node: &Namespace,
    folder: &Path,
    socket: &Path,
) -> Result<Process, Failure> {
    let option = |option: &str, value: &Path| {
        let mut text = OsString::from(option);
        text.push(value);
        text
    };
    let arguments = [
        OsString::from(format!("--node={NODE}")),
        option("--kubeconfig=", control_plane.kubeconfig()),
        option("--state-dir=", &folder.join("state")),
        option("--cni-socket=", socket),
    ];
    let log = folder.join("agent.log");
    Ok(Process::start(node, agent, arguments, &log)?)
}

/// Progress, beside the tables.
fn tell(line: &str) -> Result<(), Failure> {
    Ok(writeln!(io::stderr(), "bench-agent: {line}")?)
}

fn at(sorted: &[Duration], percent: usize) -> String {
    let Some(last) = sorted.len().checked_sub(1) else {
        return "none".to_owned();
    };
    let time = sorted[last * percent / 100];
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
