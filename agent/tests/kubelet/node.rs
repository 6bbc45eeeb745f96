//! One node with everything on it, and a control plane beyond it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nopal_harness::{ControlPlane, Kubelet, Process};
use nopal_lab::{Lab, NodeSpec, Topology};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The node's name.
pub(crate) const NAME: &str = "node-a";
/// The first address that a pod gets.
pub(crate) const FIRST: &str = "10.77.0.2";

const ADDRESS: &str = "192.168.0.1";
const CONTROL_PLANE: &str = "198.51.100.1";
const PATIENCE: Duration = Duration::from_secs(120);

/// What ends first stands first.
pub(crate) struct Node {
    kubelet: Kubelet,
    agent: Process,
    control_plane: ControlPlane,
    _lab: Lab,
    _folder: TempDir,
}

impl Node {
    /// Starts everything, and waits until the node is ready. `prefix` is the test's own.
    pub(crate) fn start(prefix: &str) -> Self {
        Lab::remove_leftovers(prefix).unwrap();
        let topology = Topology {
            nodes: vec![NodeSpec {
                name: NAME.to_owned(),
                addresses: vec![ADDRESS.parse().unwrap()],
            }],
            pods: Vec::new(),
            externals: vec![CONTROL_PLANE.parse().unwrap()],
        };
        let lab = Lab::build(&topology, prefix).unwrap();
        let at = CONTROL_PLANE.parse().unwrap();
        let control_plane = ControlPlane::start(lab.world_namespace(), at);
        let control_plane = control_plane.unwrap_or_else(|error| panic!("{error}"));
        let kubeconfig = control_plane.deploy_agent();
        let kubeconfig = kubeconfig.unwrap_or_else(|error| panic!("{error}"));
        let folder = tempfile::tempdir().unwrap();
        let prober = build_prober(folder.path());
        let cni = folder.path().join("cni");
        install_plugins(&cni);

        let namespace = lab.node_namespace(NAME).unwrap();
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let arguments = [
            format!("--node={NAME}"),
            option("kubeconfig", &kubeconfig),
            option("state-dir", &folder.path().join("state")),
            option("cni-socket", &folder.path().join("run/cni.sock")),
            option("cni-conf-dir", &cni.join("net.d")),
            option("cni-bin-dir", &cni.join("bin")),
            option("cni-plugin", Path::new(env!("CARGO_BIN_EXE_nopal-cni"))),
        ];
        let program = Path::new(env!("CARGO_BIN_EXE_nopal-agent"));
        let log = folder.path().join("agent.log");
        let agent = Process::start(namespace, program, arguments, &log).unwrap();
        let conflist = cni.join("net.d/10-lab.conflist");
        let is_chained = || fs::read_to_string(&conflist).unwrap().contains("nopal-cni");
        assert!(eventually(is_chained), "{}", agent.log());

        let kubelet = control_plane.start_kubelet(namespace, NAME, ADDRESS, &prober, &cni);
        let this = Self {
            kubelet: kubelet.unwrap_or_else(|error| panic!("{error}")),
            agent,
            control_plane,
            _lab: lab,
            _folder: folder,
        };
        assert!(eventually(|| this.is_ready()), "{}", this.log());
        this
    }

    fn is_ready(&self) -> bool {
        let condition = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        let arguments = ["get", "node", NAME, "-o", condition];
        self.control_plane
            .kubectl(&arguments, "")
            .is_ok_and(|status| status == "True")
    }

    /// Creates an object.
    pub(crate) fn apply(&self, object: &Value) {
        let arguments = ["apply", "--validate=false", "-f", "-"];
        let applied = self.control_plane.kubectl(&arguments, &object.to_string());
        applied.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Deletes an object and waits until it is gone.
    pub(crate) fn delete(&self, kind: &str, name: &str) {
        let arguments = ["delete", kind, name, "--wait=true", "--timeout=120s"];
        let deleted = self.control_plane.kubectl(&arguments, "");
        deleted.unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    /// What a pod's program has printed.
    pub(crate) fn said(&self, pod: &str) -> String {
        self.kubelet.container_log("default", pod)
    }

    /// What everybody has said.
    pub(crate) fn log(&self) -> String {
        format!("{}\nagent: {}", self.kubelet.log(), self.agent.log())
    }
}

/// Tries until it holds or patience ends; gives whether it holds.
pub(crate) fn eventually(holds: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        sleep(Duration::from_millis(200));
    }
    true
}

fn build_prober(folder: &Path) -> PathBuf {
    let program = folder.join("prober");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubelet/prober.rs");
    let built = Command::new("rustc")
        .args(["--edition=2024", "-C", "target-feature=+crt-static", "-o"])
        .arg(&program)
        .arg(source)
        .status();
    assert!(
        built.unwrap().success(),
        "rustc builds the program of the pods"
    );
    program
}

/// A CNI as a node has it, before the agent comes: `ptp`, with the reference plugins.
fn install_plugins(cni: &Path) {
    let (conf, programs) = (cni.join("net.d"), cni.join("bin"));
    for folder in [&conf, &programs] {
        fs::create_dir_all(folder).unwrap();
    }
    let places = ["/usr/lib/cni", "/opt/cni/bin"].map(Path::new);
    let place = places.into_iter().find(|place| place.join("ptp").exists());
    let place = place.expect("the reference plugins are installed: `.ci/setup kubelet`");
    for program in ["ptp", "host-local", "loopback"] {
        symlink(place.join(program), programs.join(program)).unwrap();
    }
    let list = json!({
        "cniVersion": "1.0.0", "name": "lab",
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local", "dataDir": cni.join("addresses"),
                "ranges": [[{"subnet": "10.77.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    });
    fs::write(conf.join("10-lab.conflist"), list.to_string()).unwrap();
}
