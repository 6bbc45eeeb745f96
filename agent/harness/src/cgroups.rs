//! The control groups of one node, apart from the machine's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::HarnessError;

/// Where the machine has its hierarchies.
const ROOT: &str = "/sys/fs/cgroup";

/// A group of the same name in each hierarchy. What runs in them ends when this is dropped, and they go.
#[derive(Debug)]
pub(crate) struct Cgroups(Vec<PathBuf>);

impl Cgroups {
    /// Makes them.
    ///
    /// # Errors
    /// When a group cannot be made, or the machine has the unified hierarchy alone.
    pub(crate) fn make(name: &str) -> Result<Self, HarnessError> {
        let failed = || HarnessError::io("make control groups");
        let mut made = Self(Vec::new());
        let mut has_any = false;
        for entry in fs::read_dir(ROOT).map_err(failed())? {
            let hierarchy = entry.map_err(failed())?.path();
            // Links are other names of hierarchies.
            if hierarchy.is_symlink() || !hierarchy.is_dir() {
                continue;
            }
            let group = hierarchy.join(name);
            made.0.push(group.clone());
            // What has no tasks file is the unified one, where a runtime makes its group by itself.
            if !hierarchy.join("tasks").is_file() {
                continue;
            }
            fs::create_dir_all(&group).map_err(failed())?;
            // An empty cpuset takes no process.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(value) = fs::read(hierarchy.join(file)) {
                    fs::write(group.join(file), value).map_err(failed())?;
                }
            }
            has_any = true;
        }
        if !has_any {
            let reason = "there is no hierarchy of version 1, and others were not tried";
            return Err(failed()(io::Error::other(reason)));
        }
        Ok(made)
    }

    /// Kills everything in the groups.
    pub(crate) fn kill(&self) {
        for group in self.groups() {
            let tasks = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            for process in tasks.lines().filter_map(|line| line.parse().ok()) {
                // It may have ended already.
                let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            }
        }
    }

    /// All groups below and including these, the deepest first.
    fn groups(&self) -> Vec<PathBuf> {
        let mut groups = Vec::new();
        for group in &self.0 {
            collect(group, &mut groups);
        }
        groups
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        self.kill();
        for group in self.groups() {
            // A process that is being killed keeps its group for a moment.
            for _ in 0..50 {
                if fs::remove_dir(&group).is_ok() || !group.exists() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    }
}

fn collect(group: &Path, groups: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        collect(&entry.path(), groups);
    }
    groups.push(group.to_owned());
}
