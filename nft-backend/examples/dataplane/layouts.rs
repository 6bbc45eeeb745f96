//! The ways of filtering that are measured, each put in force in a node of its own.

use std::fmt::Write;
use std::process::{Command, Stdio};

use nft_backend::config::Config;
use nft_backend::load::{StandingFlows, load};
use nft_backend::nft::Nft;
use nopal_lab::{Lab, Namespace};

use crate::Failure;
use crate::policies::{CLIENT, Load, NODE, PORT, SERVER};

/// A way of filtering.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layout {
    /// No table at all.
    Nothing,
    /// Connection tracking, and established flows are let through: what every firewall that knows connections costs.
    Conntrack,
    /// Ours.
    Nopal(Load),
    /// Ours without the counters of classes.
    Uncounted(Load),
    /// Ours with the counters of rules beside.
    CountingRules(Load),
    /// A chain and a set for each policy, one after the other, as engines do that translate policy by policy.
    ChainPerPolicy(Load),
    /// The same with iptables and ipset.
    Iptables(Load),
}

impl Layout {
    pub(crate) fn name(self) -> String {
        let of = |what: &str, Load { policies, peers }| {
            format!("{what}, {policies} policies, {peers} peers")
        };
        match self {
            Self::Nothing => "no rules".to_owned(),
            Self::Conntrack => "conntrack only".to_owned(),
            Self::Nopal(load) => of("nopal", load),
            Self::Uncounted(load) => of("nopal without class counters", load),
            Self::CountingRules(load) => of("nopal counting rules", load),
            Self::ChainPerPolicy(load) => of("nft, chain and set per policy", load),
            Self::Iptables(load) => of("iptables + ipset, chain and set per policy", load),
        }
    }

    pub(crate) fn put_in_force(self, lab: &Lab) -> Result<(), Failure> {
        let node = lab.node_namespace(NODE)?;
        if !matches!(self, Self::Nothing) {
            run(node, &["nft", "-f", "-"], FORGET)?;
        }
        match self {
            Self::Nothing => Ok(()),
            Self::Conntrack => run(
                node,
                &["nft", "-f", "-"],
                "table inet bench { chain forward { type filter hook forward priority 0;
                 ct state established,related accept; ct state new accept; }\n }\n",
            ),
            Self::Nopal(of) | Self::Uncounted(of) | Self::CountingRules(of) => {
                let config = Config {
                    class_counters: !matches!(self, Self::Uncounted(_)),
                    rule_counters: matches!(self, Self::CountingRules(_)),
                    ..Config::default()
                };
                let mut kernel = Nft::new().in_namespace(node.path());
                load(
                    &mut kernel,
                    &of.ruleset(&config)?,
                    &config,
                    StandingFlows::Recheck,
                )?;
                Ok(())
            }
            Self::ChainPerPolicy(load) => run(node, &["nft", "-f", "-"], &chains(load)?),
            Self::Iptables(load) => {
                run(node, &["ipset", "restore"], &sets(load)?)?;
                run(node, &["iptables-legacy-restore"], &legacy(load)?)
            }
        }
    }
}

/// Takes the mark of datagrams of a flow that nobody has answered away again behind all rules, so that ours judge each
/// of them; otherwise they would judge the first one alone. It stands beside every way of filtering but none, since it
/// costs something itself.
const FORGET: &str = "table inet forget { chain forget { type filter hook postrouting priority 0;
    ct state new meta l4proto udp ct mark set 0; }; }\n";

/// Whether iptables and ipset are there, and the kernel takes them: tried in a namespace of the lab.
pub(crate) fn has_iptables(lab: &Lab) -> bool {
    let Ok(node) = lab.node_namespace(NODE) else {
        return false;
    };
    let rules = "*filter\n-A FORWARD -m set --match-set s src -j ACCEPT\n-D FORWARD 1\nCOMMIT\n";
    run(node, &["ipset", "create", "s", "hash:ip"], "").is_ok()
        && run(node, &["iptables-legacy-restore"], rules).is_ok()
}

/// The client's egress is one chain more, before.
fn chains(load: Load) -> Result<String, Failure> {
    let (mut objects, mut jumps) = (String::new(), String::new());
    for (number, (peers, own)) in load.grants().enumerate() {
        let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
        writeln!(
            objects,
            "set s{number} {{ type ipv4_addr; elements = {{ {} }} }}
             chain p{number} {{ ip saddr @s{number} meta l4proto {{ tcp, udp }} th dport {PORT} accept
             ip saddr @s{number} tcp dport {own} accept\n }}",
            peers.join(", ")
        )?;
        writeln!(jumps, "jump p{number}")?;
    }
    Ok(format!(
        "table inet bench {{ {objects}
         chain server {{\n {jumps} drop\n }}
         chain client {{ ip daddr {SERVER} meta l4proto {{ tcp, udp }} th dport {PORT} goto ingress\n drop\n }}
         chain ingress {{ ip daddr {SERVER} goto server\n accept\n }}
         chain forward {{ type filter hook forward priority 0;
         ct state established,related accept
         ip saddr {CLIENT} goto client
         goto ingress\n }}\n }}\n"
    ))
}

fn sets(load: Load) -> Result<String, Failure> {
    let mut text = String::new();
    for (number, (peers, _)) in load.grants().enumerate() {
        writeln!(text, "create s{number} hash:ip")?;
        for peer in peers {
            writeln!(text, "add s{number} {peer}")?;
        }
    }
    Ok(text)
}

fn legacy(load: Load) -> Result<String, Failure> {
    let (mut chains, mut rules, mut jumps) = (String::new(), String::new(), String::new());
    for (number, (_, own)) in load.grants().enumerate() {
        writeln!(chains, ":p{number} - [0:0]")?;
        for (protocol, port) in [("tcp", PORT), ("udp", PORT), ("tcp", own)] {
            writeln!(
                rules,
                "-A p{number} -p {protocol} -m set --match-set s{number} src --dport {port} -j ACCEPT"
            )?;
        }
        writeln!(jumps, "-A server -j p{number}")?;
    }
    Ok(format!(
        "*filter\n:server - [0:0]\n:client - [0:0]\n:ingress - [0:0]\n{chains}{rules}{jumps}-A server -j DROP
-A client -d {SERVER} -p tcp --dport {PORT} -g ingress
-A client -d {SERVER} -p udp --dport {PORT} -g ingress
-A client -j DROP
-A ingress -d {SERVER} -g server
-A ingress -j ACCEPT
-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A FORWARD -s {CLIENT} -g client
-A FORWARD -g ingress
COMMIT\n"
    ))
}

/// Runs a program in a namespace with this input.
fn run(namespace: &Namespace, command: &[&str], input: &str) -> Result<(), Failure> {
    let (program, arguments) = command.split_first().ok_or("no program")?;
    let work = || -> Result<(), String> {
        let said = |error: std::io::Error| format!("{program}: {error}");
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(said)?;
        let mut pipe = child.stdin.take().ok_or("no pipe")?;
        std::io::Write::write_all(&mut pipe, input.as_bytes()).map_err(said)?;
        drop(pipe);
        let output = child.wait_with_output().map_err(said)?;
        if output.status.success() {
            Ok(())
        } else {
            Err(format!(
                "{program}: {}",
                String::from_utf8_lossy(&output.stderr)
            ))
        }
    };
    Ok(namespace.run(work)??)
}
