//! A network namespace that lives as long as a test.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use nopal_lab::Namespace;

/// A network namespace with nothing in it. Dropping it deletes it.
pub(crate) struct Netns {
    name: String,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Netns {
    /// Makes a namespace. It panics with the reason when it cannot: kernel tests never skip.
    pub(crate) fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("nopal-nft-{}-{number}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]));
        Self { name }
    }

    /// Where the namespace is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Runs a command in the namespace and returns what it printed; panics when it fails.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        let output = run(Command::new("ip")
            .args(["netns", "exec", &self.name])
            .args(command));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Loads nft text.
    pub(crate) fn load(&self, text: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        self.run(&["nft", "-f", file.path().to_str().unwrap()]);
    }
}

/// Runs a command in a namespace of a lab and gives what it printed; panics when it fails.
pub(crate) fn run_in(namespace: &Namespace, command: &[&str]) -> String {
    let (program, arguments) = command.split_first().unwrap();
    let run = || run(Command::new(program).args(arguments));
    String::from_utf8(namespace.run(run).unwrap().stdout).unwrap()
}

impl Drop for Netns {
    fn drop(&mut self) {
        run(Command::new("ip").args(["netns", "del", &self.name]));
    }
}

fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?} (kernel tests need root): {stderr}"
    );
    output
}
