//! etcd, which an API server keeps everything in.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nopal_lab::Namespace;
use serde_json::{Value, json};

use crate::control_plane::PATIENCE;
use crate::{ControlPlane, HarnessError, Process};

/// Where it serves. The namespace is the test's own, so the ports are free.
pub(crate) const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";

/// Starts `program` with its data in `folder`.
pub(crate) fn start(
    program: &Path,
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
    Process::start(namespace, program, arguments, &folder.join("etcd.log"))
}

impl ControlPlane {
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
        let answer = self.namespace().run(ask).map_err(io::Error::other);
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
}
