//! What the specification asks of a plugin, verb by verb (CNI 1.1.0, section 2).

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::runtime::{Call, ours};
use crate::site::Site;

/// A result with what no plugin of ours knows, written as no printer of ours writes.
const RESULT: &str = r#"{ "cniVersion":"1.0.0",  "future": {"z":1.50,"a":[12345678901234567890123]},
  "ips":[{"address":"10.0.0.5/24","interface":0}],"interfaces":[{"name":"eth0","sandbox":"/x"}], "dns":{} }"#;

fn with_result(config: &Value) -> String {
    let text = config.to_string();
    format!(
        "{},\"prevResult\":{RESULT}}}",
        text.strip_suffix('}').unwrap()
    )
}

fn nobody() -> Value {
    ours(Path::new("/run/nopal-nobody-listens/cni.sock"))
}

#[test]
fn version_names_all_that_are_spoken() {
    let answer = Call::new("VERSION", "web", &json!({"cniVersion": "0.4.0"})).run();
    let value: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(value["cniVersion"], "0.4.0");
    assert_eq!(
        value["supportedVersions"],
        json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
    );
}

#[test]
fn an_exempt_namespace_passes_and_its_result_keeps_every_byte() {
    let mut config = nobody();
    config["exemptNamespaces"] = json!(["shop"]);
    let mut call = Call::new("ADD", "web", &config);
    call.config = with_result(&config);
    let answer = call.run();
    assert!(answer.succeeded, "{answer:?}");
    assert_eq!(answer.text, RESULT);
}

#[test]
fn errors_have_the_codes_of_the_specification() {
    let code = |change: &dyn Fn(&mut Call)| {
        let mut call = Call::new("ADD", "web", &nobody());
        call.config = with_result(&nobody());
        change(&mut call);
        call.run().code()
    };
    assert_eq!(code(&|_| ()), 11, "nobody listens");
    assert_eq!(code(&|call| call.verb = "PAINT"), 4);
    assert_eq!(code(&|call| call.container.clear()), 4);
    assert_eq!(code(&|call| call.netns.clear()), 4);
    assert_eq!(
        code(&|call| call.arguments = "K8S_POD_NAME=web".to_owned()),
        4
    );
    assert_eq!(code(&|call| call.config = "{\"cniVersion\":".to_owned()), 6);
    assert_eq!(
        code(&|call| call.config = nobody().to_string()),
        7,
        "no prevResult"
    );
    assert_eq!(
        code(&|call| call.config = "{\"cniVersion\":\"7.0.0\"}".to_owned()),
        1
    );
    assert_eq!(code(&|call| call.config = " ".repeat(2 * 1024 * 1024)), 5);
    let crowd = |call: &mut Call| {
        let ips: Vec<Value> = (0..10_000)
            .map(|n| json!({"address": format!("10.1.{}.{}/16", n / 256, n % 256)}))
            .collect();
        let mut config = nobody();
        config["prevResult"] = json!({"ips": ips});
        call.config = config.to_string();
    };
    assert_eq!(code(&crowd), 7);
    assert_eq!(code(&|call| call.verb = "STATUS"), 50);
    assert_eq!(code(&|call| call.verb = "CHECK"), 11);
    assert_eq!(code(&|call| call.verb = "GC"), 7, "no list");
}

#[test]
fn del_succeeds_whatever_is_wrong() {
    for config in [
        nobody().to_string(),
        String::new(),
        "{\"cniVersion\":\"7.0.0\"}".to_owned(),
    ] {
        let mut call = Call::new("DEL", "web", &Value::Null);
        call.netns.clear();
        call.config = config;
        let answer = call.run();
        assert!(answer.succeeded && answer.text.is_empty(), "{answer:?}");
        assert!(answer.complaint.contains("nopal-cni"), "{answer:?}");
    }
}

#[test]
fn an_agent_that_never_answers_or_answers_nonsense_is_error_11() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut config = ours(&socket);
    config["timeoutSeconds"] = 1.into();
    let mut call = Call::new("ADD", "web", &config);
    call.config = with_result(&config);
    let answer = call.run();
    assert_eq!(answer.code(), 11);
    assert!(answer.text.contains("within 1 s"), "{answer:?}");
    // What the first one left in the queue goes first.
    drop(listener.accept().unwrap());
    config["timeoutSeconds"] = 60.into();
    call.config = with_result(&config);
    for nonsense in [
        &b"\xff\xff\xff\xff"[..],
        b"\0\0\0\x02{}",
        b"\0\0\0\x05{",
        b"",
        b"HTTP/1.1 200",
    ] {
        let answer = std::thread::scope(|scope| {
            let plugin = scope.spawn(|| call.run());
            let (mut stream, _) = listener.accept().unwrap();
            let mut header = [0; 4];
            stream.read_exact(&mut header).unwrap();
            let mut request = vec![0; u32::from_be_bytes(header) as usize];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(nonsense).unwrap();
            drop(stream);
            plugin.join().unwrap()
        });
        assert_eq!(answer.code(), 11, "{answer:?}");
    }
}

#[test]
fn an_agent_without_a_view_is_not_available_and_gc_and_del_reach_it() {
    let site = Site::start(None, vec![]);
    let config = ours(&site.socket());
    let status = Call::new("STATUS", "web", &config).run();
    assert_eq!(status.code(), 50);
    assert!(status.text.contains("complete view"), "{status:?}");
    let mut add = Call::new("ADD", "web", &config);
    add.config = with_result(&config);
    let answer = add.run();
    assert_eq!(answer.code(), 11);
    assert!(answer.text.contains("shop/web"), "{answer:?}");
    let kept = site.folder.path().join("attachments");
    assert!(
        fs::read_to_string(&kept)
            .unwrap()
            .contains("container-of-web")
    );
    let mut valid = config.clone();
    valid["cni.dev/valid-attachments"] =
        json!([{"containerID": "container-of-web", "ifname": "eth0"}]);
    assert!(Call::new("GC", "", &valid).run().succeeded);
    assert!(
        fs::read_to_string(&kept)
            .unwrap()
            .contains("container-of-web")
    );
    valid["cni.dev/valid-attachments"] = json!([]);
    assert!(Call::new("GC", "", &valid).run().succeeded);
    assert!(
        !fs::read_to_string(&kept)
            .unwrap()
            .contains("container-of-web")
    );
    let delete = Call::new("DEL", "web", &config).run();
    assert!(
        delete.succeeded && delete.complaint.is_empty(),
        "{delete:?}"
    );
}

#[test]
fn the_socket_is_roots_alone() {
    let site = Site::start(None, vec![]);
    let socket = site.socket();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&socket), mode(socket.parent().unwrap())),
        (0o600, 0o700)
    );
    // Somebody opened every door: the agent still looks who it is that comes.
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    for path in [
        socket.as_path(),
        socket.parent().unwrap(),
        site.folder.path(),
    ] {
        open(path);
    }
    let mut delete = Command::new("setpriv");
    let program = site.folder.path().join("plugin");
    fs::copy(env!("CARGO_BIN_EXE_nopal-cni"), &program).unwrap();
    delete
        .args(["--reuid=65534", "--clear-groups"])
        .arg(&program);
    let config = ours(&socket);
    let call = Call::new("DEL", "web", &config);
    let answer = call.run_by(delete, "DEL", &call.config);
    assert!(
        answer.succeeded && answer.complaint.contains("cannot be used"),
        "{answer:?}"
    );
    assert_eq!(call.run().complaint, "");
}

#[test]
fn a_client_that_says_nothing_or_nonsense_is_dropped_and_others_are_served() {
    let site = Site::start(None, vec![]);
    let mut silent: Vec<UnixStream> = (0..80)
        .map(|_| UnixStream::connect(site.socket()).unwrap())
        .collect();
    // More than are served at a time: the call waits until the silent ones are dropped.
    let answer = (0..10).map(|_| Call::new("DEL", "web", &ours(&site.socket())).run());
    assert!(answer.last().unwrap().complaint.is_empty());
    let patience = Duration::from_secs(60);
    let mut rest = Vec::new();
    silent[0].set_read_timeout(Some(patience)).unwrap();
    silent[0].read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    for nonsense in [&b"\0\0\0\0"[..], b"\xff\xff\xff\xff", b"\0\0\0\x03abc"] {
        let mut stream = UnixStream::connect(site.socket()).unwrap();
        stream.set_read_timeout(Some(patience)).unwrap();
        stream.write_all(nonsense).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("refused"), "{answer:?}");
    }
}
