//! What `deploy/` puts on a cluster, so that agents of tests have the rights of deployed ones and no other.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::audit::{self, Asked};
use crate::{ControlPlane, HarnessError};

const MANIFEST: &str = include_str!("../../../deploy/manifests/nopal.yaml");

/// The service account of the agents, which the manifest makes.
const NAMESPACE: &str = "kube-system";
const ACCOUNT: &str = "nopal-agent";

/// An API server takes a moment to know of new rights.
const PATIENCE: Duration = Duration::from_secs(60);

impl ControlPlane {
    /// Creates everything that the manifest has, and waits until the agents' account has its rights; gives a kubeconfig of
    /// that account. Nobody runs the `DaemonSet`: no controller is here.
    ///
    /// # Errors
    /// When the API server refuses an object or the token, or does not come to know the rights.
    pub fn deploy_agent(&self) -> Result<PathBuf, HarnessError> {
        self.kubectl(&["apply", "--validate=strict", "-f", "-"], MANIFEST)?;
        let user = format!("--as=system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
        let question = ["auth", "can-i", "watch", "networkpolicies", "-A", &user];
        let begun = Instant::now();
        while let Err(error) = self.kubectl(&question, "") {
            if begun.elapsed() > PATIENCE {
                return Err(error);
            }
            sleep(Duration::from_millis(100));
        }
        let arguments = ["create", "token", ACCOUNT, "-n", NAMESPACE, "--duration=8h"];
        let token = self.kubectl(&arguments, "")?;
        let path = self.folder().join("agent.kubeconfig");
        let written = fs::write(&path, self.kubeconfig_of(ACCOUNT, token.trim()));
        written.map_err(HarnessError::io(format!("write {}", path.display())))?;
        Ok(path)
    }

    /// What agents with that kubeconfig have asked of the API server until now, each with how often.
    ///
    /// # Errors
    /// When the API server's record cannot be read.
    pub fn asked_by_agents(&self) -> Result<BTreeMap<Asked, usize>, HarnessError> {
        audit::read(self.folder(), NAMESPACE, ACCOUNT)
    }
}
