//! What containerd and kubelet are told.

use std::path::Path;

use serde_json::{Value, json};

use crate::SANDBOX;

/// Where, in the node's folder, what containers print is kept.
pub(crate) const LOGS: &str = "pods.log";

/// Without what a container of a build machine may not do: raise its chances against the out-of-memory killer, `AppArmor`.
pub(crate) fn containerd(folder: &Path, socket: &Path) -> String {
    let (folder, socket) = (folder.display(), socket.display());
    format!(
        r#"version = 2
root = "{folder}/containerd"
state = "{folder}/containerd.state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{SANDBOX}"
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
"#
    )
}

/// For control groups of version 1 below `group`.
pub(crate) fn kubelet(folder: &Path, socket: &Path, group: &str) -> Value {
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
