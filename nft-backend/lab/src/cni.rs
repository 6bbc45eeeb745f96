//! Calls CNI plugins as a container runtime does: parameters in the environment, the configuration on
//! standard input, the answer on standard output (CNI specification 1.0.0, section 2).
//!
//! Addresses come from the `static` plugin, which keeps no state on disk, so deleting the namespaces
//! undoes all that a plugin did and no DEL is needed.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::{LabError, Namespace, process};

/// Where Debian and where Kubernetes put plugins.
const DIRECTORIES: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// The pod's side of the link.
const INTERFACE: &str = "eth0";

/// A pod that a plugin attaches to its node.
#[derive(Debug)]
pub(crate) struct Attachment<'a> {
    /// The node, in whose namespace the plugin runs.
    pub(crate) node: &'a Namespace,
    /// The pod.
    pub(crate) pod: &'a Namespace,
    /// The pod's addresses with their prefix lengths, and the gateway of each.
    pub(crate) addresses: Vec<(IpAddr, u8, IpAddr)>,
    /// The plugin's name.
    pub(crate) plugin: &'static str,
    /// The members of its configuration besides name, type and addresses.
    pub(crate) options: Value,
}

/// Attaches the pod.
pub(crate) fn add(attachment: &Attachment<'_>) -> Result<(), LabError> {
    let program = find(attachment.plugin)?;
    let directory = program.parent().unwrap_or(Path::new("/"));
    let mut command = Command::new(&program);
    command
        .env_clear()
        // `portmap` and `firewall` look for iptables here.
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("CNI_COMMAND", "ADD")
        .env("CNI_CONTAINERID", attachment.pod.name())
        .env("CNI_NETNS", attachment.pod.path())
        .env("CNI_IFNAME", INTERFACE)
        .env("CNI_PATH", directory);
    let input = configuration(attachment).to_string();
    let plugin = attachment.plugin;
    let started = attachment
        .node
        .run(|| process::start(&mut command, &input))?;
    let child = started.map_err(LabError::io(format!("start the CNI plugin `{plugin}`")))?;
    let finished = process::finish(child, plugin)?;
    if finished.success {
        return Ok(());
    }
    Err(LabError::PluginRefused {
        plugin,
        pod: attachment.pod.name().to_owned(),
        message: message(&finished.stdout, &finished.stderr),
    })
}

fn find(plugin: &'static str) -> Result<PathBuf, LabError> {
    DIRECTORIES
        .map(|directory| Path::new(directory).join(plugin))
        .into_iter()
        .find(|path| path.exists())
        .ok_or_else(|| LabError::PluginMissing {
            plugin,
            directories: DIRECTORIES.join(" and "),
        })
}

fn configuration(attachment: &Attachment<'_>) -> Value {
    let address = |(address, length, gateway): &(IpAddr, u8, IpAddr)| json!({"address": format!("{address}/{length}"), "gateway": gateway});
    let addresses: Vec<Value> = attachment.addresses.iter().map(address).collect();
    let mut configuration = json!({
        "cniVersion": "1.0.0",
        "name": "lab",
        "type": attachment.plugin,
        "ipam": {"type": "static", "addresses": addresses},
    });
    if let (Some(all), Some(options)) = (
        configuration.as_object_mut(),
        attachment.options.as_object(),
    ) {
        all.extend(options.clone());
    }
    configuration
}

/// What a plugin says is wrong: the `msg` of its answer (section 5), or whatever it printed.
fn message(stdout: &str, stderr: &str) -> String {
    let answer: Option<Value> = serde_json::from_str(stdout).ok();
    let said = answer.and_then(|answer| answer.get("msg")?.as_str().map(str::to_owned));
    said.unwrap_or_else(|| format!("{} {}", stdout.trim(), stderr.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_told_its_options_and_the_addresses() {
        let (node, pod) = (Namespace::new("n".into()), Namespace::new("p".into()));
        let attachment = Attachment {
            node: &node,
            pod: &pod,
            addresses: vec![(
                "10.0.0.1".parse().unwrap(),
                32,
                "169.254.1.1".parse().unwrap(),
            )],
            plugin: "bridge",
            options: json!({"bridge": "cni0"}),
        };
        let expected = json!({
            "cniVersion": "1.0.0", "name": "lab", "type": "bridge", "bridge": "cni0",
            "ipam": {"type": "static", "addresses": [{"address": "10.0.0.1/32", "gateway": "169.254.1.1"}]},
        });
        assert_eq!(configuration(&attachment), expected);
    }

    #[test]
    fn the_message_of_an_error_answer_is_found_and_other_words_are_kept() {
        assert_eq!(message(r#"{"code": 999, "msg": "no link"}"#, ""), "no link");
        assert_eq!(message("", "panic: oh\n"), " panic: oh");
    }
}
