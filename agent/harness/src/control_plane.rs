//! etcd and kube-apiserver, together in one network namespace.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nopal_lab::Namespace;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::HarnessError;
use crate::audit;
use crate::certificates::{self, Files};
use crate::process::{Process, command};
use crate::programs::Programs;

/// The namespace is the test's own, so the ports are free.
const PORT: u16 = 6443;
const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";

/// Where Services have their addresses.
pub const SERVICES: [&str; 2] = ["10.255.0.0/16", "fd00:255::/112"];

/// A busy machine needs a while; nothing waits that long otherwise.
const PATIENCE: Duration = Duration::from_secs(180);

/// A control plane. It ends when it is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    apiserver: Process,
    etcd: Process,
    namespace: Namespace,
    address: IpAddr,
    programs: Programs,
    files: Files,
    folder: TempDir,
}

impl ControlPlane {
    /// Starts etcd and an API server in `namespace`, reachable at `address`, which the namespace has; waits until it is
    /// ready.
    pub fn start(namespace: &Namespace, address: IpAddr) -> Result<Self, HarnessError> {
        let programs = Programs::find()?;
        let folder = tempfile::tempdir().map_err(HarnessError::io("make a folder"))?;
        let files = certificates::write(folder.path(), address, PORT)?;
        let etcd = start_etcd(&programs, namespace, folder.path())?;
        let apiserver = start_apiserver(&programs, namespace, address, &files, folder.path())?;
        let mut this = Self {
            apiserver,
            etcd,
            namespace: namespace.clone(),
            address,
            programs,
            files,
            folder,
        };
        this.wait()?;
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
            &self.files,
            self.folder.path(),
        )?;
        self.wait()
    }

    /// Runs kubectl with these arguments and this input; gives what it prints.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String, HarnessError> {
        let mut child = command(&self.namespace, &self.programs.kubectl)
            .arg("--kubeconfig")
            .arg(&self.files.kubeconfig)
            .args(arguments)
            .env("HOME", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(HarnessError::io("start kubectl"))?;
        if let Some(mut pipe) = child.stdin.take() {
            // One that reads nothing may have ended; its exit code tells.
            let _ = pipe.write_all(input.as_bytes());
        }
        let output = child
            .wait_with_output()
            .map_err(HarnessError::io("run kubectl"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(HarnessError::Kubectl {
            arguments: arguments.join(" "),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Stores an object below `/registry/` as it stands, past everything that the API server checks: as older versions
    /// of it have left objects behind that it would refuse today.
    pub fn store_unchecked(&self, path: &str, object: &Value) -> Result<(), HarnessError> {
        self.ask_etcd(
            "kv/put",
            &json!({
                "key": STANDARD.encode(format!("/registry/{path}")),
                "value": STANDARD.encode(object.to_string()),
            }),
        )
        .map(|_| ())
    }

    /// Makes etcd forget all revisions before the present one, as it does in time: whoever asks for what came after an
    /// earlier one is told that it is gone.
    pub fn compact_etcd(&self) -> Result<(), HarnessError> {
        let nothing = json!({"key": STANDARD.encode("nothing")});
        let answer = self.ask_etcd("kv/range", &nothing)?;
        let revision = answer["header"]["revision"].clone();
        let order = json!({"revision": revision, "physical": true});
        self.ask_etcd("kv/compaction", &order).map(|_| ())
    }

    /// One request to etcd's JSON gateway, and its answer.
    fn ask_etcd(&self, place: &str, body: &Value) -> Result<Value, HarnessError> {
        let body = body.to_string();
        let request = format!(
            "POST /v3/{place} HTTP/1.0\r\nhost: etcd\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(ETCD.trim_start_matches("http://"))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = self.namespace.run(ask).map_err(io::Error::other);
        let answer = answer.and_then(|answer| answer);
        let answer = answer.map_err(HarnessError::io("talk to etcd"))?;
        let succeeded = answer.split_once("\r\n\r\n").filter(|(head, _)| {
            let status = head.split_whitespace().nth(1);
            status == Some("200")
        });
        let refused = |reason: String| HarnessError::io("talk to etcd")(io::Error::other(reason));
        let Some((_, body)) = succeeded else {
            return Err(refused(answer));
        };
        serde_json::from_str(body).map_err(|error| refused(error.to_string()))
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

fn start_etcd(
    programs: &Programs,
    namespace: &Namespace,
    folder: &Path,
) -> Result<Process, HarnessError> {
    let data = folder.join("etcd").display().to_string();
    let arguments = [
        format!("--data-dir={data}"),
        format!("--listen-client-urls={ETCD}"),
        format!("--advertise-client-urls={ETCD}"),
        format!("--listen-peer-urls={ETCD_PEERS}"),
        format!("--initial-advertise-peer-urls={ETCD_PEERS}"),
        format!("--initial-cluster=default={ETCD_PEERS}"),
        // A test that loses power is run again.
        "--unsafe-no-fsync".to_owned(),
    ];
    Process::start(
        namespace,
        &programs.etcd,
        arguments,
        &folder.join("etcd.log"),
    )
}

fn start_apiserver(
    programs: &Programs,
    namespace: &Namespace,
    address: IpAddr,
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
        // Nobody makes service accounts here, and pods are let in without one.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        // Requests are few; old watches end with the process.
        "--shutdown-delay-duration=0s".to_owned(),
    ];
    let arguments = arguments.into_iter().chain(audited);
    let log = folder.join("kube-apiserver.log");
    Process::start(namespace, &programs.apiserver, arguments, &log)
}
