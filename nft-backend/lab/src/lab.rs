//! Building a lab, finding one's way in it, and taking it down again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use nix::unistd::geteuid;

use crate::namespace::existing_names;
use crate::source_port::SourcePorts;
use crate::topology::is_routable;
use crate::wiring::{self, Plan};
use crate::{LabError, Namespace, Probe, Seen, Topology, Wiring, ip, patience, probe, sysctl};

/// The longest prefix; what follows it in a name stays far below the 255 bytes of a file name.
const MAX_PREFIX: usize = 32;

/// How much of a node's or a pod's name its namespace keeps.
const MAX_LABEL: usize = 160;

/// A cluster of network namespaces. It goes away when it is dropped.
#[derive(Debug)]
pub struct Lab {
    /// The world, the nodes, the pods. Empty once they are deleted or given away.
    namespaces: Vec<Namespace>,
    /// The position of each node's namespace.
    nodes: BTreeMap<String, usize>,
    /// The position of each pod's namespace.
    pods: BTreeMap<String, usize>,
    /// The position of the namespace that has an address.
    owners: BTreeMap<IpAddr, usize>,
    /// Attempts of probes so far.
    attempts: AtomicU32,
    /// Source ports of datagrams, of which every attempt takes one.
    pub(crate) datagram_ports: SourcePorts,
    /// Source ports of connections, each of which takes one.
    pub(crate) stream_ports: SourcePorts,
}

impl Lab {
    /// Builds the topology. The namespaces are called `PREFIX-PID-NUMBER-world`,
    /// `PREFIX-PID-NUMBER-node0-NAME` and `PREFIX-PID-NUMBER-pod0-NAME`, where PID is this process and
    /// NUMBER tells its labs apart. What was made before an error is deleted again.
    pub fn build(topology: &Topology, prefix: &str) -> Result<Self, LabError> {
        Self::build_wired(topology, Wiring::Routed, prefix)
    }

    /// The same with the pods wired in another way. Plugins that are missing, or that the kernel lacks
    /// something for, are errors.
    pub fn build_wired(
        topology: &Topology,
        wiring: Wiring,
        prefix: &str,
    ) -> Result<Self, LabError> {
        check_prefix(prefix)?;
        patience::check()?;
        topology.check(wiring)?;
        if !geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        let lab = Self::new(topology, &unused_stem(prefix)?);
        ip::batch(
            None,
            &netns_lines("add", lab.namespaces.iter().map(Namespace::name)),
        )?;
        let routers = 1 + topology.nodes.len();
        let set_up = || sysctl::set_up(&lab.namespaces, routers, topology.has_ipv6());
        lab.world_namespace().run(set_up)??;
        if let Some(is_on) = wiring.bridge_netfilter() {
            let set = || sysctl::set_bridge_netfilter(&lab.namespaces[1..routers], is_on);
            lab.world_namespace().run(set)??;
        }
        Plan::new(wiring, topology, &lab.namespaces)?.carry_out()?;
        Ok(lab)
    }

    fn new(topology: &Topology, stem: &str) -> Self {
        let mut lab = Self {
            namespaces: vec![Namespace::new(format!("{stem}-world"))],
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            owners: BTreeMap::new(),
            attempts: AtomicU32::new(1),
            datagram_ports: SourcePorts::default(),
            stream_ports: SourcePorts::default(),
        };
        lab.owners
            .extend(topology.externals.iter().map(|&address| (address, 0)));
        for (number, node) in topology.nodes.iter().enumerate() {
            let name = format!("{stem}-node{number}-{}", label(&node.name));
            let position = lab.add(name, &node.addresses);
            lab.nodes.insert(node.name.clone(), position);
        }
        for (number, pod) in topology.pods.iter().enumerate() {
            let name = format!("{stem}-pod{number}-{}", label(&pod.name));
            let position = lab.add(name, &pod.addresses);
            lab.pods.insert(pod.name.clone(), position);
        }
        lab
    }

    fn add(&mut self, name: String, addresses: &[IpAddr]) -> usize {
        let position = self.namespaces.len();
        self.namespaces.push(Namespace::new(name));
        self.owners
            .extend(addresses.iter().map(|&address| (address, position)));
        position
    }

    /// The namespace of the node with this name.
    pub fn node_namespace(&self, name: &str) -> Result<&Namespace, LabError> {
        let position = self.nodes.get(name);
        let position = position.ok_or_else(|| LabError::UnknownNode(name.to_owned()))?;
        Ok(&self.namespaces[*position])
    }

    /// The namespace of the pod with this name.
    pub fn pod_namespace(&self, name: &str) -> Result<&Namespace, LabError> {
        let position = self.pods.get(name);
        let position = position.ok_or_else(|| LabError::UnknownPod(name.to_owned()))?;
        Ok(&self.namespaces[*position])
    }

    /// The namespace that has the external addresses and routes between the nodes.
    pub fn world_namespace(&self) -> &Namespace {
        &self.namespaces[0]
    }

    /// All namespaces: the world, the nodes, the pods.
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// The namespace that has this address.
    pub fn namespace_of(&self, address: IpAddr) -> Result<&Namespace, LabError> {
        Ok(&self.namespaces[self.position_of(address)?])
    }

    /// Notes at which addresses a pod of [`Wiring::Unattached`] was attached, in place of those that it had; with none,
    /// that it was detached. Addresses that cannot be routed, or that somebody else has, are errors.
    pub fn attached(&mut self, pod: &str, addresses: &[IpAddr]) -> Result<(), LabError> {
        let position = self.pods.get(pod).copied();
        let position = position.ok_or_else(|| LabError::UnknownPod(pod.to_owned()))?;
        self.owners.retain(|_, owner| *owner != position);
        for &address in addresses {
            if !is_routable(address) {
                let owner = pod.to_owned();
                return Err(LabError::Unroutable { owner, address });
            }
            if let Some(&owner) = self.owners.get(&address) {
                return Err(LabError::DuplicateAddress {
                    address,
                    first: self.namespaces[owner].name().to_owned(),
                    second: pod.to_owned(),
                });
            }
            self.owners.insert(address, position);
        }
        Ok(())
    }

    /// Has the world send what is for `network`, such as `10.1.0.0/24`, to a node.
    pub fn route(&self, network: &str, node: &str) -> Result<(), LabError> {
        let position = self.nodes.get(node);
        let position = position.ok_or_else(|| LabError::UnknownNode(node.to_owned()))?;
        // The world comes first.
        let line = wiring::network(position - 1, network);
        ip::batch(Some(self.world_namespace().name()), &line)
    }

    /// Sends real packets for every probe and says, in the probes' order, which got through.
    ///
    /// A flow counts as blocked when two attempts found no answer. When `stop` is raised the answer
    /// is [`LabError::Interrupted`], at the latest after a tenth of a second or so. The ports that are
    /// probed must not be in use in the lab. The limit of open files of this process is raised as far
    /// as the system lets it.
    pub fn probe(&self, probes: &[Probe], stop: &AtomicBool) -> Result<Vec<Seen>, LabError> {
        probe::run(self, probes, stop)
    }

    /// Deletes the lab's namespaces and so all that is in them. Dropping does the same but cannot
    /// report what went wrong.
    pub fn remove(mut self) -> Result<(), LabError> {
        delete(self.take_names())
    }

    /// Leaves the namespaces standing and gives their names. [`Lab::remove_leftovers`] deletes them
    /// once this process has ended.
    #[must_use]
    pub fn keep(mut self) -> Vec<String> {
        self.take_names()
    }

    /// Deletes the namespaces of labs with this prefix whose process has ended, and gives their
    /// names. Processes in other PID namespaces that share `/run/netns` count as ended.
    pub fn remove_leftovers(prefix: &str) -> Result<Vec<String>, LabError> {
        check_prefix(prefix)?;
        let is_left = |name: &String| {
            creator(prefix, name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
        };
        let names: Vec<String> = existing_names()?.into_iter().filter(is_left).collect();
        delete(names.clone())?;
        Ok(names)
    }

    /// Deletes the namespaces of all labs with this prefix, whether their process has ended or not, and gives their
    /// names. For labs that were kept: another process may have the number of theirs by now.
    pub fn remove_all(prefix: &str) -> Result<Vec<String>, LabError> {
        check_prefix(prefix)?;
        let is_of_lab = |name: &String| creator(prefix, name).is_some();
        let names: Vec<String> = existing_names()?.into_iter().filter(is_of_lab).collect();
        delete(names.clone())?;
        Ok(names)
    }

    /// The position in [`Lab::namespaces`] of the one that has this address.
    pub(crate) fn position_of(&self, address: IpAddr) -> Result<usize, LabError> {
        self.owners
            .get(&address)
            .copied()
            .ok_or(LabError::UnknownAddress(address))
    }

    /// A number that no other attempt of this lab's probes has, never 0.
    pub(crate) fn next_attempt(&self) -> u32 {
        self.attempts.fetch_add(1, Ordering::Relaxed)
    }

    fn take_names(&mut self) -> Vec<String> {
        self.namespaces
            .drain(..)
            .map(|namespace| namespace.name().to_owned())
            .collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Nobody is left to tell; `remove` is there for callers who want to know.
        let _ = delete(self.take_names());
    }
}

/// Deletes those of the namespaces that exist.
fn delete(mut names: Vec<String>) -> Result<(), LabError> {
    if names.is_empty() {
        return Ok(());
    }
    let existing = existing_names()?;
    names.retain(|name| existing.binary_search(name).is_ok());
    ip::batch(None, &netns_lines("del", names.iter().map(String::as_str)))
}

fn netns_lines<'a>(verb: &str, names: impl Iterator<Item = &'a str>) -> String {
    names
        .flat_map(|name| {
            [
                "netns ", verb, " ", name, "
",
            ]
        })
        .collect()
}

/// The beginning of names that no namespace has.
fn unused_stem(prefix: &str) -> Result<String, LabError> {
    static LABS: AtomicU32 = AtomicU32::new(0);
    // A process that has ended may have had our id and left a lab behind.
    let existing = existing_names()?;
    loop {
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let stem = format!("{prefix}-{}-{number}", process::id());
        if !existing
            .iter()
            .any(|name| name.starts_with(&format!("{stem}-")))
        {
            return Ok(stem);
        }
    }
}

/// The process that made the namespace, if its name is that of a lab with this prefix.
fn creator(prefix: &str, name: &str) -> Option<u32> {
    let rest = name.strip_prefix(prefix)?.strip_prefix('-')?;
    let (pid, rest) = rest.split_once('-')?;
    let (number, _) = rest.split_once('-')?;
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

fn check_prefix(prefix: &str) -> Result<(), LabError> {
    let is_usable = (1..=MAX_PREFIX).contains(&prefix.len())
        && prefix
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !prefix.starts_with('-');
    if is_usable {
        Ok(())
    } else {
        Err(LabError::BadPrefix(prefix.to_owned()))
    }
}

/// A name as part of a file name.
fn label(name: &str) -> String {
    let kept = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    name.chars().map(kept).take(MAX_LABEL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_creator_is_read_from_a_name_of_the_same_prefix_alone() {
        assert_eq!(creator("nopal", "nopal-123-0-world"), Some(123));
        assert_eq!(
            creator("nopal-test", "nopal-test-7-12-pod3-shop-web"),
            Some(7)
        );
        assert_eq!(creator("nopal", "nopal-test-7-12-world"), None);
        assert_eq!(creator("nopal", "nopal2-123-0-world"), None);
        assert_eq!(creator("nopal", "nopal-123"), None);
    }

    #[test]
    fn a_label_has_only_what_a_file_name_may_have() {
        assert_eq!(label("shop/Deployment/web"), "shop-Deployment-web");
        assert_eq!(label("../ö"), "..--");
        assert_eq!(label(&"x".repeat(300)).len(), MAX_LABEL);
    }

    #[test]
    fn a_prefix_that_could_leave_the_directory_is_refused() {
        for prefix in ["", "a/b", "..", "-n", "é", &"x".repeat(33)] {
            assert!(
                matches!(check_prefix(prefix), Err(LabError::BadPrefix(_))),
                "{prefix}"
            );
        }
    }

    #[test]
    fn a_lab_that_was_built_in_part_is_deleted_all_the_same() {
        assert!(
            geteuid().is_root(),
            "this test makes namespaces and so needs root"
        );
        let topology = Topology {
            externals: vec!["192.0.2.1".parse().unwrap()],
            ..Topology::default()
        };
        let stem = unused_stem("lab-part").unwrap();
        let mut lab = Lab::new(&topology, &stem);
        lab.add(format!("{stem}-pod0-missing"), &[]);
        let name = lab.world_namespace().name().to_owned();
        ip::batch(None, &netns_lines("add", [name.as_str()].into_iter())).unwrap();
        let refused = ip::batch(Some(&name), "link set lo up\nlink set nothing up\n").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`ip link set nothing up` was refused: Cannot find device \"nothing\"; Command failed -:2"
        );
        lab.remove().unwrap();
        assert!(!existing_names().unwrap().contains(&name));
    }
}
