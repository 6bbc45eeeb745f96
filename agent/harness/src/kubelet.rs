//! A whole node: containerd and kubelet in the network namespace of a lab's node.
//!
//! Each has a mount namespace of its own: what they keep outside the test's folder is gone with them, and what kubelet
//! wants to set for the whole machine goes to ordinary files that stand in for those sysctls.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nopal_lab::Namespace;
use serde_json::{Value, json};

use crate::cgroups::Cgroups;
use crate::{ControlPlane, HarnessError, Process, image, programs};

/// The one image that the node has.
pub const IMAGE: &str = "docker.io/lab/prober:1";

/// Where, in the node's folder, what containers print is kept.
const LOGS: &str = "pods.log";

/// A busy machine needs a while.
const PATIENCE: Duration = Duration::from_secs(120);

/// Before the program: the folders that it would share with the machine are empty ones of its own, and the sysctls that it
/// would set are files. `$0` is the test's folder.
const APART: &str = r#"
set -e
for file in vm/overcommit_memory kernel/panic kernel/panic_on_oops; do
    copy="$0/$(basename $file)"
    cat /proc/sys/$file > "$copy"
    mount --bind "$copy" /proc/sys/$file
done
for place in /var/lib /var/log /run; do mount -t tmpfs none $place; done
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

impl ControlPlane {
    /// Starts containerd and kubelet for the node `name` in its namespace. `prober` is the static program of the one image,
    /// [`IMAGE`], and `cni` has the folders `net.d` and `bin`. It has not joined the cluster yet when this returns.
    ///
    /// # Errors
    /// When a program is missing, or containerd does not come up.
    pub fn start_kubelet(
        &self,
        node: &Namespace,
        name: &str,
        address: &str,
        prober: &Path,
        cni: &Path,
    ) -> Result<Kubelet, HarnessError> {
        let program = programs::kubelet()?;
        let folder = self.folder().join(name);
        fs::create_dir_all(&folder).map_err(HarnessError::io("make a folder"))?;
        let group = format!("nopal-{}", node.name());
        let cgroups = Cgroups::make(&group)?;
        let socket = folder.join("containerd.sock");
        let archive = folder.join("image.tar");
        image::write(&archive, IMAGE, prober)?;

        let config = folder.join("containerd.toml");
        write(&config, &containerd_config(&folder, &socket, cni))?;
        let arguments = [Path::new("containerd"), Path::new("--config"), &config];
        let log = folder.join("containerd.log");
        let mut containerd = start_apart(node, &folder, &arguments, &log)?;
        await_socket(&mut containerd, &socket)?;
        let mut import = Command::new("ctr");
        import.arg("--address").arg(&socket);
        import
            .args(["--namespace", "k8s.io", "images", "import"])
            .arg(&archive);
        image::output(&mut import)?;

        let config = folder.join("kubelet.json");
        write(
            &config,
            &kubelet_config(&folder, &socket, &group).to_string(),
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
        let arguments: Vec<&Path> = [program.as_path()]
            .into_iter()
            .chain(options.iter().map(Path::new))
            .collect();
        let log = folder.join("kubelet.log");
        let kubelet = start_apart(node, &folder, &arguments, &log)?;
        Ok(Kubelet {
            process: kubelet,
            containerd,
            cgroups,
            socket,
            logs: folder.join(LOGS),
        })
    }
}

impl Kubelet {
    /// What the container `main` of a pod has printed, with what the runtime puts before each line.
    pub fn container_log(&self, namespace: &str, pod: &str) -> String {
        let start = format!("{namespace}_{pod}_");
        let folders = fs::read_dir(&self.logs).into_iter().flatten().flatten();
        let folders =
            folders.filter(|folder| folder.file_name().to_string_lossy().starts_with(&start));
        let text = folders.map(|folder| fs::read_to_string(folder.path().join("main/0.log")));
        text.filter_map(Result::ok).collect()
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

fn start_apart(
    node: &Namespace,
    folder: &Path,
    program: &[&Path],
    log: &Path,
) -> Result<Process, HarnessError> {
    let first = ["--mount", "--propagation", "private", "sh", "-c", APART];
    let arguments = first.map(Path::new).into_iter().chain([folder]);
    let arguments = arguments.chain(program.iter().copied());
    Process::start(node, Path::new("unshare"), arguments, log)
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

/// Without what a container of a build machine may not do: raise its chances against the out-of-memory killer, `AppArmor`.
fn containerd_config(folder: &Path, socket: &Path, cni: &Path) -> String {
    let (folder, socket, cni) = (folder.display(), socket.display(), cni.display());
    format!(
        r#"version = 2
root = "{folder}/containerd"
state = "{folder}/containerd.state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{IMAGE}"
restrict_oom_score_adj = true
disable_apparmor = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{cni}/bin"
conf_dir = "{cni}/net.d"
"#
    )
}

fn kubelet_config(folder: &Path, socket: &Path, group: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{}", socket.display()),
        "podLogsDir": folder.join(LOGS),
        "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{group}"), "failCgroupV1": false,
        "enforceNodeAllocatable": [], "failSwapOn": false, "makeIPTablesUtilChains": false,
        "localStorageCapacityIsolation": false, "resolvConf": "",
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        // A test machine may be nearly full.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "1Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%",
        },
    })
}
