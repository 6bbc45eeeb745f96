//! kube-controller-manager and kube-scheduler, beside the API server that they work for.

use std::path::Path;

use nopal_lab::Namespace;

use crate::certificates::Files;
use crate::{HarnessError, Process, programs};

/// Both programs. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Controllers {
    manager: Process,
    scheduler: Process,
}

impl Controllers {
    /// Starts them. What they make comes about in its time.
    pub(crate) fn start(
        namespace: &Namespace,
        files: &Files,
        folder: &Path,
    ) -> Result<Self, HarnessError> {
        let [manager, scheduler] = programs::controllers()?;
        let start = |name: &str, program: &Path, more: &[String]| {
            let common = [
                format!("--kubeconfig={}", files.kubeconfig.display()),
                // There is one of each.
                "--leader-elect=false".to_owned(),
                format!("--cert-dir={}", folder.join(name).display()),
            ];
            let arguments = common.iter().chain(more);
            let log = folder.join(format!("{name}.log"));
            Process::start(namespace, program, arguments, &log)
        };
        // What a pod's account needs: a key for its tokens, and the authority that signed the API server's certificate.
        let accounts = [
            format!(
                "--service-account-private-key-file={}",
                files.account_key.display()
            ),
            format!("--root-ca-file={}", files.authority.display()),
        ];
        Ok(Self {
            manager: start("kube-controller-manager", &manager, &accounts)?,
            scheduler: start("kube-scheduler", &scheduler, &[])?,
        })
    }

    /// The ends of what both said.
    pub(crate) fn log_tail(&self) -> String {
        format!(
            "kube-controller-manager: {}\nkube-scheduler: {}",
            self.manager.log_tail(),
            self.scheduler.log_tail()
        )
    }
}
