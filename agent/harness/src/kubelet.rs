//! A whole node: containerd and kubelet in the network namespace of a lab's node.
//!
//! They share a mount namespace, the node's: what they and the node's pods keep outside the test's folder is gone with it,
//! and what kubelet wants to set for the whole machine goes to ordinary files that stand in for those sysctls.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nopal_lab::Namespace;

use crate::cgroups::Cgroups;
use crate::{ControlPlane, HarnessError, Image, Process, image, node_config, programs};

/// The image of sandboxes, which the node must be given: its program waits when it is told nothing.
pub const SANDBOX: &str = "docker.io/lab/prober:1";

/// A busy machine needs a while.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes the mount namespace that it is in the node's, and becomes containerd. `$0` is the test's folder and `$1` the folder
/// of the node's CNI. Folders that the node would share with the machine are empty ones of its own, or lie over the
/// machine's; the sysctls that it would set are files. Mounts come to pods that ask for them.
const NODE: &str = r#"
set -e
for file in vm/overcommit_memory kernel/panic kernel/panic_on_oops; do
    copy="$0/$(basename $file)"
    cat /proc/sys/$file > "$copy"
    mount --bind "$copy" /proc/sys/$file
done
for place in /var/lib /var/log /run; do mount -t tmpfs none $place; done
for place in etc opt; do
    mkdir -p /run/lab/$place/upper /run/lab/$place/work /$place
    mount -t overlay none -o lowerdir=/$place,upperdir=/run/lab/$place/upper,workdir=/run/lab/$place/work /$place
done
mkdir -p /etc/cni/net.d /opt/cni/bin
mount --bind "$1/net.d" /etc/cni/net.d
mount --bind "$1/bin" /opt/cni/bin
mount --make-rshared /
shift
exec "$@"
"#;

/// A node that runs. Its pods end with it.
#[derive(Debug)]
pub struct Kubelet {
    process: Process,
    containerd: Process,
    cgroups: Cgroups,
    socket: PathBuf,
    logs: PathBuf,
}

/// A container's first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task(i32);

impl ControlPlane {
    /// Starts containerd and kubelet for the node `name` in its namespace. The node has these images, of which one is
    /// [`SANDBOX`], and `cni` has the folders `net.d` and `bin`, which the node has where CNIs are as a rule. It has not
    /// joined the cluster yet when this returns.
    ///
    /// # Errors
    /// When a program is missing, or containerd does not come up.
    pub fn start_kubelet(
        &self,
        node: &Namespace,
        name: &str,
        address: &str,
        images: &[Image],
        cni: &Path,
    ) -> Result<Kubelet, HarnessError> {
        let program = programs::kubelet()?;
        let folder = self.folder().join(name);
        fs::create_dir_all(&folder).map_err(HarnessError::io("make a folder"))?;
        let group = format!("nopal-{}", node.name());
        let cgroups = Cgroups::make(&group)?;
        let socket = folder.join("containerd.sock");

        let config = folder.join("containerd.toml");
        write(&config, &node_config::containerd(&folder, &socket))?;
        let first = ["--mount", "--propagation", "private", "sh", "-c", NODE];
        let own = [
            &folder,
            cni,
            Path::new("containerd"),
            "--config".as_ref(),
            &config,
        ];
        let arguments = first.map(Path::new).into_iter().chain(own);
        let log = folder.join("containerd.log");
        let mut containerd = Process::start(node, Path::new("unshare"), arguments, &log)?;
        await_socket(&mut containerd, &socket)?;
        for image in images {
            let archive = image.write()?;
            let mut import = ctr(&socket);
            image::output(import.args(["images", "import"]).arg(&archive))?;
        }

        let config = folder.join("kubelet.json");
        write(
            &config,
            &node_config::kubelet(&folder, &socket, &group).to_string(),
        )?;
        let option = |option: &str, value: &Path| format!("--{option}={}", value.display());
        let options = [
            option("config", &config),
            option("kubeconfig", self.kubeconfig()),
            option("root-dir", &folder.join("kubelet")),
            option("cert-dir", &folder.join("kubelet.pki")),
            format!("--hostname-override={name}"),
            format!("--node-ip={address}"),
        ];
        // In the mount namespace that containerd has made.
        let mounts = format!("--mount=/proc/{}/ns/mnt", containerd.id());
        let arguments = [Path::new(&mounts), &program].into_iter();
        let arguments = arguments.chain(options.iter().map(Path::new));
        let log = folder.join("kubelet.log");
        let kubelet = Process::start(node, Path::new("nsenter"), arguments, &log)?;
        Ok(Kubelet {
            process: kubelet,
            containerd,
            cgroups,
            socket,
            logs: folder.join(node_config::LOGS),
        })
    }
}

impl Kubelet {
    /// What a container of pods whose name begins so has printed, with what the runtime puts before each line; of all
    /// containers that have been in its place.
    pub fn container_log(&self, namespace: &str, pod: &str, container: &str) -> String {
        let start = format!("{namespace}_{pod}");
        let entries = |folder: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            paths.sort();
            paths
        };
        let mut text = String::new();
        for pod in entries(&self.logs) {
            let name = pod.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&start) {
                let logs = entries(&pod.join(container));
                text.extend(logs.iter().filter_map(|log| fs::read_to_string(log).ok()));
            }
        }
        text
    }

    /// The first process of the container that the API calls `containerd://ID`.
    ///
    /// # Errors
    /// When containerd does not answer, or knows of no such process.
    pub fn task(&self, container: &str) -> Result<Task, HarnessError> {
        let id = container.trim_start_matches("containerd://");
        let listed = image::output(ctr(&self.socket).args(["tasks", "ls"]))?;
        let mut lines = listed.lines().map(str::split_whitespace);
        let process = lines.find_map(|mut words| (words.next() == Some(id)).then(|| words.next()));
        let process = process.flatten().and_then(|process| process.parse().ok());
        let missing = || io::Error::other(format!("no process of {container} in\n{listed}"));
        process
            .map(Task)
            .ok_or_else(|| HarnessError::io("find a container's process")(missing()))
    }

    /// A path of the node, as this process reaches it.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.containerd.id()))
    }

    /// The ends of what both programs said.
    pub fn log(&self) -> String {
        format!(
            "containerd: {}\nkubelet: {}",
            self.containerd.log_tail(),
            self.process.log_tail()
        )
    }
}

impl Task {
    /// What the kernel tells of it: a file of its folder in `/proc`.
    ///
    /// # Errors
    /// When it has ended.
    pub fn file(self, name: &str) -> Result<String, HarnessError> {
        let path = format!("/proc/{}/{name}", self.0);
        fs::read_to_string(&path).map_err(HarnessError::io(format!("read {path}")))
    }

    /// Kills it.
    ///
    /// # Errors
    /// When it has ended.
    pub fn kill(self) -> Result<(), HarnessError> {
        let killed = kill(Pid::from_raw(self.0), Signal::SIGKILL);
        killed.map_err(|error| HarnessError::io("kill a container's process")(error.into()))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        // Nobody starts anything any more; then what was started goes. containerd's shims outlive it.
        let _ = self.process.signal(Signal::SIGKILL);
        let _ = self.containerd.signal(Signal::SIGKILL);
        for shim in shims(&self.socket) {
            let _ = kill(Pid::from_raw(shim), Signal::SIGKILL);
        }
        self.cgroups.kill();
    }
}

/// The shims of this containerd: they are told its address.
fn shims(socket: &Path) -> Vec<i32> {
    let socket = socket.display().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_shim = |process: &fs::DirEntry| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let mut words = line.split('\0');
        let is_shim = words
            .next()
            .is_some_and(|name| name.contains("containerd-shim"));
        is_shim && words.any(|word| word == socket)
    };
    let shims = processes.filter(is_shim);
    shims
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

/// The client of this containerd, for what kubelet has there.
fn ctr(socket: &Path) -> Command {
    let mut command = Command::new("ctr");
    command
        .arg("--address")
        .arg(socket)
        .args(["--namespace", "k8s.io"]);
    command
}

fn await_socket(containerd: &mut Process, socket: &Path) -> Result<(), HarnessError> {
    let begun = Instant::now();
    while !socket.exists() {
        if begun.elapsed() > PATIENCE || !containerd.is_running() {
            return Err(HarnessError::NotReady {
                program: "containerd",
                reason: "it does not serve".to_owned(),
                log: containerd.log_tail(),
            });
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), HarnessError> {
    let written = fs::write(path, text);
    written.map_err(HarnessError::io(format!("write {}", path.display())))
}
