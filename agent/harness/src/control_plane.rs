//! etcd and kube-apiserver, together in one network namespace.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nopal_lab::Namespace;
use tempfile::TempDir;

use crate::certificates::{self, Files};
use crate::controllers::Controllers;
use crate::etcd::{self, ETCD};
use crate::process::{Process, command};
use crate::programs::{Programs, System};
use crate::{HarnessError, audit, programs};

/// The namespace is the test's own, so the port is free.
const PORT: u16 = 6443;

/// Where Services have their addresses.
pub const SERVICES: [&str; 2] = ["10.255.0.0/16", "fd00:255::/112"];

/// A busy machine needs a while; nothing waits that long otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// What a control plane is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// etcd and an API server. Pods are let in without service accounts, and nobody makes pods of anything.
    Plain,
    /// The same, on the etcd that the system has installed, which may be older than this Kubernetes wants.
    OnSystemEtcd,
    /// With the controllers and the scheduler: service accounts come about, pods are given theirs, and a `DaemonSet` becomes
    /// pods.
    Whole,
}

/// A control plane. It ends when it is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    controllers: Option<Controllers>,
    apiserver: Process,
    etcd: Process,
    namespace: Namespace,
    address: IpAddr,
    shape: Shape,
    programs: Programs,
    files: Files,
    folder: TempDir,
}

impl ControlPlane {
    /// Starts a plain one in `namespace`, reachable at `address`, which the namespace has; waits until it is ready.
    ///
    /// # Errors
    /// When a program is missing, ends, or is not ready in time.
    pub fn start(namespace: &Namespace, address: IpAddr) -> Result<Self, HarnessError> {
        Self::start_as(Shape::Plain, namespace, address)
    }

    /// The same in another shape.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_as(
        shape: Shape,
        namespace: &Namespace,
        address: IpAddr,
    ) -> Result<Self, HarnessError> {
        let programs = Programs::find(match shape {
            Shape::Plain | Shape::Whole => System::AsWell,
            Shape::OnSystemEtcd => System::Alone,
        })?;
        let folder = tempfile::tempdir().map_err(HarnessError::io("make a folder"))?;
        let files = certificates::write(folder.path(), address, PORT)?;
        let etcd = etcd::start(&programs.etcd, namespace, folder.path())?;
        let apiserver =
            start_apiserver(&programs, namespace, address, shape, &files, folder.path())?;
        let mut this = Self {
            controllers: None,
            apiserver,
            etcd,
            namespace: namespace.clone(),
            address,
            shape,
            programs,
            files,
            folder,
        };
        this.wait()?;
        if shape == Shape::Whole {
            let controllers = Controllers::start(namespace, &this.files, this.folder.path())?;
            this.controllers = Some(controllers);
        }
        Ok(this)
    }

    /// The kubeconfig of a user who may do everything.
    pub fn kubeconfig(&self) -> &Path {
        &self.files.kubeconfig
    }

    /// The text of a kubeconfig for a user with this token.
    pub(crate) fn kubeconfig_of(&self, user: &str, token: &str) -> String {
        self.files.kubeconfig_of(user, token)
    }

    /// What the controllers and the scheduler have said; nothing where there are none.
    pub fn controllers_log(&self) -> String {
        let log = self.controllers.as_ref().map(Controllers::log_tail);
        log.unwrap_or_default()
    }

    /// Where its programs run.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Where the programs' files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program of kubectl, for who calls it otherwise than [`kubectl`](Self::kubectl).
    pub fn kubectl_program(&self) -> &Path {
        &self.programs.kubectl
    }

    /// Kills the API server.
    pub fn kill_apiserver(&mut self) -> Result<(), HarnessError> {
        self.apiserver.signal(crate::Signal::SIGKILL)?;
        self.apiserver.wait().map(|_| ())
    }

    /// Sends a signal to the API server: SIGSTOP makes it stall with all its connections open, SIGCONT lets it go on.
    pub fn signal_apiserver(&self, signal: crate::Signal) -> Result<(), HarnessError> {
        self.apiserver.signal(signal)
    }

    /// Starts an API server in place of one that was killed, and waits until it is ready. What it remembers of changes
    /// begins now: who watched from an earlier version is told 410 Gone if anything changed in between.
    pub fn start_apiserver(&mut self) -> Result<(), HarnessError> {
        self.apiserver = start_apiserver(
            &self.programs,
            &self.namespace,
            self.address,
            self.shape,
            &self.files,
            self.folder.path(),
        )?;
        self.wait()
    }

    /// Runs kubectl with these arguments and this input; gives what it prints.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String, HarnessError> {
        self.run_client("kubectl", &self.programs.kubectl, arguments, input)
    }

    /// Runs Helm with these arguments; gives what it prints. What it keeps on disk goes with this control plane.
    ///
    /// # Errors
    /// When Helm is missing or fails.
    pub fn helm(&self, arguments: &[&str]) -> Result<String, HarnessError> {
        self.run_client("helm", &programs::helm()?, arguments, "")
    }

    /// Runs a program that talks to the API server as the user who may do everything.
    fn run_client(
        &self,
        name: &'static str,
        program: &Path,
        arguments: &[&str],
        input: &str,
    ) -> Result<String, HarnessError> {
        let doing = |what: &str| HarnessError::io(format!("{what} {name}"));
        let mut child = command(&self.namespace, program)
            .args(arguments)
            .env("KUBECONFIG", &self.files.kubeconfig)
            .env("HOME", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(doing("start"))?;
        if let Some(mut pipe) = child.stdin.take() {
            // One that reads nothing may have ended; its exit code tells.
            let _ = pipe.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().map_err(doing("run"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(HarnessError::Client {
            program: name,
            arguments: arguments.join(" "),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    fn wait(&mut self) -> Result<(), HarnessError> {
        let begun = Instant::now();
        loop {
            let answer = self.kubectl(&["get", "--raw", "/readyz"], "");
            let reason = match answer {
                Ok(_) => return Ok(()),
                Err(error) => error.to_string(),
            };
            for (program, process) in [
                ("etcd", &mut self.etcd),
                ("kube-apiserver", &mut self.apiserver),
            ] {
                if !process.is_running() {
                    return Err(HarnessError::NotReady {
                        program,
                        reason: "it ended".to_owned(),
                        log: process.log_tail(),
                    });
                }
            }
            if begun.elapsed() > PATIENCE {
                return Err(HarnessError::NotReady {
                    program: "kube-apiserver",
                    reason,
                    log: self.apiserver.log_tail(),
                });
            }
            sleep(Duration::from_millis(200));
        }
    }
}

fn start_apiserver(
    programs: &Programs,
    namespace: &Namespace,
    address: IpAddr,
    shape: Shape,
    files: &Files,
    folder: &Path,
) -> Result<Process, HarnessError> {
    let audited = audit::options(folder)?;
    let arguments = [
        format!("--etcd-servers={ETCD}"),
        format!("--bind-address={address}"),
        format!("--advertise-address={address}"),
        format!("--secure-port={PORT}"),
        format!("--tls-cert-file={}", files.server_certificate.display()),
        format!("--tls-private-key-file={}", files.server_key.display()),
        format!("--token-auth-file={}", files.tokens.display()),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://nopal.test".to_owned(),
        format!(
            "--service-account-key-file={}",
            files.account_public_key.display()
        ),
        format!(
            "--service-account-signing-key-file={}",
            files.account_key.display()
        ),
        format!("--service-cluster-ip-range={}", SERVICES.join(",")),
        "--endpoint-reconciler-type=lease".to_owned(),
        // Requests are few; old watches end with the process.
        "--shutdown-delay-duration=0s".to_owned(),
    ];
    // Where nobody makes service accounts, pods are let in without one.
    let accounts =
        (shape != Shape::Whole).then(|| "--disable-admission-plugins=ServiceAccount".to_owned());
    let arguments = arguments.into_iter().chain(audited).chain(accounts);
    let log = folder.join("kube-apiserver.log");
    Process::start(namespace, &programs.apiserver, arguments, &log)
}
