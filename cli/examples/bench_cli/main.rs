//! Measures what people wait for: `bench_cli NOPAL` runs that command on clusters in the manner of a real one and prints
//! a table for docs/benchmarks.md; `make bench-cli` calls it. `bench_cli write FOLDER` writes the clusters alone.
//!
//! Times of commands are those of the whole process, reading and printing included, the median of several runs; memory
//! is the most that was resident.

#![allow(clippy::print_stdout, reason = "an example prints what it measured")]
#![allow(clippy::unwrap_used, reason = "what cannot be measured ends here")]

mod profile;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nopal::explain::explain;
use nopal::inventory::Inventory;
use nopal::manifest::{self, Source};
use policy_core::{FlowPort, Protocol};
use rayon::prelude::*;

/// So often is a command run; one that takes longer than [`PATIENCE`] once.
const RUNS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["write", folder] => {
            write_all(Path::new(folder));
        }
        [nopal] => {
            let folder = tempfile::tempdir().unwrap();
            write_all(folder.path());
            measure(nopal, folder.path());
        }
        _ => panic!("bench_cli NOPAL, or bench_cli write FOLDER"),
    }
}

/// Writes the clusters: `old`, `new`, `small` as folders of a file for each namespace, and `one.yaml`.
fn write_all(folder: &Path) {
    for (name, size, is_changed) in [
        ("old", profile::REAL, false),
        ("new", profile::REAL, true),
        ("small", profile::SMALL, false),
    ] {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        for (home, text) in profile::cluster(size, is_changed).iter().enumerate() {
            fs::write(folder.join(format!("ns-{home}.yaml")), text).unwrap();
        }
    }
    fs::write(folder.join("one.yaml"), profile::one_namespace()).unwrap();
}

fn measure(nopal: &str, folder: &Path) {
    let path = |name: &str| folder.join(name).display().to_string();
    let (old, new, small, one) = (path("old"), path("new"), path("small"), path("one.yaml"));
    println!("| cluster | what | time | most memory |");
    println!("|---|---|---|---|");
    let ends = ["--from", "ns-0/app-0-0", "--to", "ns-7/app-0-7"];
    let [from, source, to, target] = ends;
    let asked = vec!["explain", &old, from, source, to, target, "--port", "8080"];
    let query = vec!["query", &old, "--from", "external", "--to", "pods"];
    let json = ["--format", "json"];
    for (cluster, arguments) in [
        ("real", [&["lint", &old], &json[..]].concat()),
        ("real", [&asked, &json[..]].concat()),
        ("real", [&["diff", &old, &new], &json[..]].concat()),
        ("real", [&["matrix", &old], &json[..]].concat()),
        (
            "real",
            [&["matrix", &old, "--group", "namespace"], &json[..]].concat(),
        ),
        ("real", vec!["matrix", &old, "--format", "html"]),
        ("real", vec!["graph", &old]),
        ("real", vec!["snapshot", &old]),
        ("real", [&["exposure", &old], &json[..]].concat()),
        ("real", [&["coverage", &old], &json[..]].concat()),
        ("real", [&query, &json[..]].concat()),
        ("real", [&["equiv", &old, &new], &json[..]].concat()),
        (
            "500 pods, 500 policies",
            [&["matrix", &small], &json[..]].concat(),
        ),
        (
            "1,000 policies in one namespace",
            [&["lint", &one], &json[..]].concat(),
        ),
    ] {
        let options = arguments.iter().skip_while(|word| !word.starts_with("--"));
        let shown: Vec<&str> = options.copied().collect();
        let command = [&arguments[..1], &shown[..]].concat().join(" ");
        let command = format!("`nopal {}`", command.replace(" --format json", ""));
        let (time, kibibytes) = command_of(nopal, &arguments);
        println!(
            "| {cluster} | {command} | {time:.2?} | {} MiB |",
            kibibytes >> 10
        );
    }
    in_process(Path::new(&old), (source, target));
}

/// What a user waits for beside reading, and reading itself.
fn in_process(folder: &Path, ends: (&str, &str)) {
    let bytes = fs::read_dir(folder).unwrap();
    let bytes: u64 = bytes
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    let paths: [PathBuf; 1] = [folder.to_owned()];
    let manifests = manifest::read(&paths, "default");
    let reading = median(|| manifest::read(&paths, "default"));
    let row = |what: &str, time: Duration| {
        let speed = u128::from(bytes) / time.as_micros().max(1);
        println!("| real | {what} | {time:.2?}, {speed} MB/s | |");
    };
    row(
        &format!("reading {} MB of YAML", bytes / 1_000_000),
        reading,
    );
    let files = fs::read_dir(folder).unwrap();
    let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let texts: Vec<String> = texts.collect();
    // Comments behind what they are about are left to the parser by the reader's short way.
    let commented = |text: &String| {
        let text = text.replace("\nmetadata:\n", "\nmetadata: # said of it\n");
        Arc::new(Source::new(String::new(), text))
    };
    let commented: Vec<Arc<Source>> = texts.iter().map(commented).collect();
    let reading_commented = median(|| {
        let read = commented.par_iter().map(|source| {
            let manifests = manifest::read_source(source, "default");
            assert!(manifests.errors.is_empty());
            manifests
        });
        read.collect::<Vec<_>>()
    });
    row("reading it with comments behind keys", reading_commented);
    let parsing = median(|| texts.par_iter().map(|text| events(text)).sum::<usize>());
    row("the YAML parser alone, making nothing of it", parsing);
    let explaining = median(|| {
        let inventory = Inventory::of_ends(&manifests, ends.into());
        explain(&inventory, ends, FlowPort::Port(Protocol::Tcp, 8080), None).unwrap()
    });
    println!("| real | explaining, once it is read | {explaining:.2?} | |");
}

/// How many events the parser makes of a text.
fn events(text: &str) -> usize {
    let parser = granit_parser::Parser::new_from_str(text);
    parser
        .inspect(|event| assert!(event.is_ok(), "the cluster's YAML is valid"))
        .count()
}

fn median<T>(mut step: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            let done = step();
            let time = start.elapsed();
            drop(done);
            time
        })
        .collect();
    times.sort_unstable();
    times[RUNS / 2]
}

/// The median of a command's time, and the most KiB that any run had resident. Findings and differences are fine; what
/// could not be read is not.
fn command_of(nopal: &str, arguments: &[&str]) -> (Duration, u64) {
    let mut runs: Vec<(Duration, u64)> = Vec::new();
    while runs.len() < RUNS && runs.first().is_none_or(|(time, _)| *time < PATIENCE) {
        let start = Instant::now();
        let mut command = Command::new(nopal);
        let mut child = command
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut kibibytes = 0;
        let status = loop {
            // The kernel's high-water mark, which only grows, as long as the process is there.
            kibibytes = high_water(child.id()).unwrap_or(kibibytes);
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(
            matches!(status.code(), Some(0 | 1)),
            "{arguments:?}: {status}"
        );
        runs.push((start.elapsed(), kibibytes));
    }
    runs.sort_unstable();
    let most = runs.iter().map(|run| run.1).max().unwrap();
    (runs[runs.len() / 2].0, most)
}

fn high_water(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
