//! What is read off: the agent's own metrics, its process, and the line to the API server.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nopal_harness::Process;
use nopal_lab::Namespace;

use crate::Failure;

/// Where an agent answers by default.
const AGENT: &str = "127.0.0.1:9470";

/// The kernel counts a process's time in hundredths of a second (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Bytes over the line between the agent and the API server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineBytes {
    /// By the agent's node.
    pub(crate) received: u64,
    /// By the agent's node.
    pub(crate) sent: u64,
}

/// The agent at a moment.
pub(crate) struct Snapshot {
    pub(crate) at: Instant,
    pub(crate) traffic: LineBytes,
    pub(crate) latency: Histogram,
    /// Elements in force.
    pub(crate) elements: u64,
    /// Memory in MiB.
    pub(crate) resident: u64,
    /// The most memory so far, in MiB.
    pub(crate) highest: u64,
    ticks: u64,
}

impl Snapshot {
    /// Looks at everything.
    pub(crate) fn take(agent: &Process, node: &Namespace) -> Result<Self, Failure> {
        let metrics = ask(node, "/metrics")?;
        let elements = metrics
            .lines()
            .find_map(|line| line.strip_prefix("nopal_elements "));
        let folder = format!("/proc/{}", agent.id());
        let status = std::fs::read_to_string(format!("{folder}/status"))?;
        let mebibytes = |figure: &str| -> Result<u64, Failure> {
            let line = status.lines().find(|line| line.starts_with(figure));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            Ok(number.ok_or("no such figure")?.parse::<u64>()? / 1024)
        };
        Ok(Self {
            at: Instant::now(),
            traffic: traffic(node)?,
            latency: Histogram::read(&metrics, "nopal_programming_latency_seconds")?,
            elements: elements.ok_or("no elements are told")?.parse()?,
            resident: mebibytes("VmRSS")?,
            highest: mebibytes("VmHWM")?,
            ticks: ticks(&std::fs::read_to_string(format!("{folder}/stat"))?)?,
        })
    }

    /// The part of a core that the agent took since then, in per cent.
    pub(crate) fn cpu_since(&self, earlier: &Self) -> f64 {
        let ticks = u32::try_from(self.ticks - earlier.ticks).unwrap_or(u32::MAX);
        f64::from(ticks) / TICKS / self.seconds_since(earlier) * 100.0
    }

    /// The time between the two.
    pub(crate) fn seconds_since(&self, earlier: &Self) -> f64 {
        self.at.duration_since(earlier.at).as_secs_f64()
    }
}

/// The time of a process, from `/proc/PID/stat`: `utime` and `stime` are the 14th and 15th field, and the second one, in
/// parentheses, may hold anything.
fn ticks(stat: &str) -> Result<u64, Failure> {
    let (_, fields) = stat
        .rsplit_once(')')
        .ok_or("no such file as proc(5) tells")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).ok_or("too few fields");
    Ok(field(14)?.parse::<u64>()? + field(15)?.parse::<u64>()?)
}

/// What the node's interfaces have carried, its loopback apart.
pub(crate) fn traffic(node: &Namespace) -> Result<LineBytes, Failure> {
    // That of the thread, since a namespace is a thread's.
    let text = node.run(|| std::fs::read_to_string("/proc/thread-self/net/dev"))??;
    let mut bytes = LineBytes {
        received: 0,
        sent: 0,
    };
    for line in text.lines() {
        let Some((name, counters)) = line.split_once(':') else {
            continue;
        };
        let counters: Vec<&str> = counters.split_whitespace().collect();
        if name.trim() == "lo" || counters.len() < 9 {
            continue;
        }
        bytes.received += counters[0].parse::<u64>()?;
        bytes.sent += counters[8].parse::<u64>()?;
    }
    Ok(bytes)
}

/// Whether the agent says that it is ready.
pub(crate) fn is_ready(node: &Namespace) -> Result<bool, Failure> {
    match ask(node, "/readyz") {
        Ok(answer) => Ok(answer.starts_with("HTTP/1.1 200")),
        // It does not listen yet.
        Err(error) if error.is::<io::Error>() => Ok(false),
        Err(error) => Err(error),
    }
}

fn ask(node: &Namespace, path: &str) -> Result<String, Failure> {
    let answer = node.run(|| -> io::Result<String> {
        let mut stream = TcpStream::connect(AGENT)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    Ok(answer??)
}

/// A histogram of Prometheus: how many values are at most so large.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    fn read(metrics: &str, name: &str) -> Result<Self, Failure> {
        let bucket = format!("{name}_bucket{{le=\"");
        let mut buckets = Vec::new();
        for line in metrics
            .lines()
            .filter_map(|line| line.strip_prefix(&bucket))
        {
            let (limit, count) = line.split_once("\"} ").ok_or("no such bucket")?;
            buckets.push((limit.replace("+Inf", "inf").parse()?, count.parse()?));
        }
        Ok(Self(buckets))
    }

    /// What came since then.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let pairs = self.0.iter().zip(&earlier.0);
        Self(
            pairs
                .map(|((limit, now), (_, then))| (*limit, now - then))
                .collect(),
        )
    }

    /// The value that this share does not exceed, in milliseconds; within a bucket by proportion, as Prometheus does.
    pub(crate) fn quantile(&self, share: f64) -> String {
        let wanted = self.0.last().map_or(0.0, |(_, count)| count * share);
        let (mut limit_before, mut count_before) = (0.0, 0.0);
        for &(limit, count) in &self.0 {
            if count >= wanted && count > count_before {
                if limit.is_infinite() {
                    break;
                }
                let part = (wanted - count_before) / (count - count_before);
                let value = limit_before + (limit - limit_before) * part;
                return format!("{:.1} ms", value * 1_000.0);
            }
            (limit_before, count_before) = (limit, count);
        }
        format!("over {:.0} ms", limit_before * 1_000.0)
    }
}
