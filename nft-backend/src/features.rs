//! What the kernel and nft can do, found out by asking them.
//!
//! A kernel's version tells little: distributions leave parts out and bring others from later kernels.
//! So each feature is tried in a transaction that is checked and never carried out (`nft -c`): nothing is
//! changed, nobody is notified. The probe table's chains hang on no hook, so no packet can meet them.
//! Between them the probes have every kind of statement and of set that is ever rendered (`nft-backend/tests/lock.rs`).
//! What goes by netlink and not through nft is asked for a number that it has.
//!
//! The versions are those of the list of updates in the nftables wiki ("List of updates since Linux kernel
//! 3.13"); what the list leaves out comes from the kernel's history, as it says at the entry. None of them
//! was measured: what was run is 6.18, and whatever else the README names.

use std::fmt;

use crate::config::{Config, Deny, Log};
use crate::conntrack;
use crate::kernel::{ApplyError, NftVersion};
use crate::nft::Nft;

/// Who needs a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing can be enforced without.
    Always,
    /// A configuration with mark bits.
    Marks,
    /// A configuration that rejects what it denies.
    Reject,
    /// A configuration that tells the kernel's log what it denies.
    KernelLog,
    /// A configuration that tells programs what it denies.
    Nflog,
    /// Nobody yet; it is good to know.
    Nobody,
}

/// Something that a kernel or an nft may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// What it is called.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Who needs it.
    pub need: Need,
    /// The first kernel that has it.
    pub kernel: &'static str,
    /// The part of the kernel's configuration that it is in.
    pub option: &'static str,
    probe: Probe,
}

/// How a feature is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// This is put into a table.
    Rules(&'static str),
    /// The connection tracker is asked how many entries it has.
    Conntrack,
}

/// The features, those that are needed first.
pub const FEATURES: [Feature; 20] = [
    feature(
        Need::Always,
        "inet tables",
        "one table for IPv4 and IPv6",
        "3.14",
        "NF_TABLES_INET",
        "",
    ),
    feature(
        Need::Always,
        "verdict maps",
        "dispatch to the class of a pod",
        "3.13",
        "NF_TABLES",
        "chain t { return; }; map m { type ipv4_addr : verdict; }; \
         chain c { ip saddr vmap @m; jump t; goto t; drop; };",
    ),
    // From the kernel's history.
    feature(
        Need::Always,
        "sets",
        "addresses of peers",
        "3.13",
        "NF_TABLES",
        "set s { type ipv4_addr; }; chain c { ip saddr @s accept; };",
    ),
    // From the kernel's history.
    feature(
        Need::Always,
        "intervals",
        "blocks of addresses",
        "3.13",
        "NF_TABLES",
        "set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }; chain c { ip saddr @s accept; };",
    ),
    // From the kernel's history.
    feature(
        Need::Always,
        "anonymous sets",
        "neighbour discovery",
        "3.13",
        "NF_TABLES",
        "chain c { icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept; };",
    ),
    // From the kernel's history.
    feature(
        Need::Always,
        "TCP flags",
        "connections that connection tracking did not see begin",
        "3.13",
        "NF_TABLES",
        "chain c { tcp flags & (fin | syn | rst | ack) != syn accept; };",
    ),
    feature(
        Need::Always,
        "concatenations",
        "peers and ports in one lookup",
        "4.1",
        "NF_TABLES",
        "set s { type ipv6_addr . inet_proto . inet_service; }; set p { type inet_proto . inet_service; }; \
         set a { type ipv4_addr . ipv4_addr; }; \
         chain c { ip6 saddr . meta l4proto . th dport @s accept; meta l4proto . th dport @p accept; \
         ip saddr . ip daddr @a accept; };",
    ),
    feature(
        Need::Always,
        "intervals in concatenations",
        "blocks and port ranges",
        "5.6",
        "NF_TABLES",
        "set s { type ipv4_addr . inet_proto . inet_service; flags interval; \
         elements = { 10.0.0.0/8 . tcp . 1-9 }; }; \
         set p { type inet_proto . inet_service; flags interval; elements = { tcp . 1-9 }; };",
    ),
    feature(
        Need::Always,
        "transport headers in one expression",
        "ports of TCP, UDP and SCTP alike",
        "5.3",
        "NF_TABLES",
        "chain c { meta l4proto sctp th dport 80-90 accept; };",
    ),
    feature(
        Need::Always,
        "connection tracking state",
        "replies of accepted flows and ICMP errors about them",
        "3.13",
        "NFT_CT",
        "chain c { ct state established,related accept; ct state related accept; ct state new accept; \
         ct state != related accept; meta l4proto icmp accept; meta l4proto ipv6-icmp accept; };",
    ),
    feature(
        Need::Always,
        "named counters",
        "how much was denied",
        "4.10",
        "NF_TABLES",
        "counter k {};",
    ),
    // The option went in 6.2, which has it in NF_TABLES.
    feature(
        Need::Always,
        "named counters in rules",
        "how much was denied",
        "4.10",
        "NFT_OBJREF",
        "counter k {}; chain c { counter name k; };",
    ),
    // From the kernel's history.
    feature(
        Need::Always,
        "limits",
        "a log that does not flood",
        "3.13",
        "NFT_LIMIT",
        "chain c { limit rate 10/second burst 20 packets accept; };",
    ),
    // From the kernel's history.
    feature(
        Need::Marks,
        "connection marks",
        "cutting standing flows that a new policy denies",
        "3.14",
        "NF_CONNTRACK_MARK",
        "set s { type mark; size 16; }; \
         chain c { ct mark & 0xff000000 == @s accept; ct mark set ct mark & 0x00ffffff | 0x01000000; };",
    ),
    feature(
        Need::Marks,
        "connection direction",
        "judging the replies of standing flows",
        "3.13",
        "NFT_CT",
        "chain c { ct direction reply accept; };",
    ),
    // Older than nftables.
    Feature {
        name: "connection tracking by netlink",
        purpose: "clearing the marks of flows that stood before",
        need: Need::Marks,
        kernel: "3.13",
        option: "NF_CT_NETLINK",
        probe: Probe::Conntrack,
    },
    feature(
        Need::Reject,
        "reject",
        "telling senders that they are denied",
        "3.18",
        "NFT_REJECT_INET",
        "chain c { reject with icmpx admin-prohibited; };",
    ),
    feature(
        Need::KernelLog,
        "log",
        "denied packets in the kernel's log",
        "3.17",
        "NFT_LOG",
        "chain c { log prefix \"nopal-deny \" level info; };",
    ),
    feature(
        Need::Nflog,
        "nflog",
        "denied packets for programs",
        "3.17",
        "NETFILTER_NETLINK_LOG",
        "chain c { log prefix \"nopal-deny \" group 1; };",
    ),
    // From the kernel's history.
    feature(
        Need::Nobody,
        "connection tracking zones",
        "pods with equal addresses",
        "4.11",
        "NF_CONNTRACK_ZONES",
        "chain c { ct zone set 1; };",
    ),
];

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// The release of the running kernel.
    pub kernel: String,
    /// The version of nft.
    pub nft: NftVersion,
    /// Each feature, and why it cannot be used; `None` when it can.
    pub found: Vec<(Feature, Option<String>)>,
}

/// The features that are missing, and from which kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Missing {
    /// The release of the running kernel.
    pub kernel: String,
    /// Each, with nft's words.
    pub features: Vec<(Feature, String)>,
}

impl Features {
    /// Tries all features. When nothing is missing, nft is started twice.
    ///
    /// # Errors
    /// When nft cannot be started, is too old, or may not change tables.
    pub fn probe(nft: &Nft) -> Result<Self, ApplyError> {
        let version = nft.version()?;
        let all: String = FEATURES.iter().filter_map(Feature::transaction).collect();
        let has_all = refusal(nft.check_text(&all))?.is_none();
        let mut found = Vec::new();
        for feature in FEATURES {
            let refusal = match feature.transaction() {
                Some(_) if has_all => None,
                Some(transaction) => refusal(nft.check_text(&transaction))?,
                None => conntrack::refusal(nft.namespace())?,
            };
            found.push((feature, refusal));
        }
        Ok(Self {
            kernel: release(),
            nft: version,
            found,
        })
    }

    /// The configuration without what this kernel lacks and enforcement does not need, and what is given up, in words:
    /// without nflog, denied packets are counted and not told. What enforcement needs stays, and
    /// [`require`](Self::require) names it.
    #[must_use]
    pub fn adapt(&self, mut config: Config) -> (Config, Vec<String>) {
        let mut given_up = Vec::new();
        for (feature, refusal) in &self.found {
            if feature.need == Need::Nflog && refusal.is_some() && feature.need.is_of(&config) {
                config.log = Log::None;
                let Feature { name, option, .. } = feature;
                given_up.push(format!(
                    "the kernel {} has no {name} (CONFIG_{option}): denied packets are counted, and not told one by one",
                    self.kernel
                ));
            }
        }
        (config, given_up)
    }

    /// Whether all is there that rules of this configuration need.
    ///
    /// # Errors
    /// When something is missing: the error names it, with the kernels that have it.
    pub fn require(&self, config: &Config) -> Result<(), Missing> {
        let missing = self.found.iter().filter_map(|(feature, refusal)| {
            let refusal = refusal.clone().filter(|_| feature.need.is_of(config))?;
            Some((*feature, refusal))
        });
        let features: Vec<_> = missing.collect();
        if features.is_empty() {
            return Ok(());
        }
        let kernel = self.kernel.clone();
        Err(Missing { kernel, features })
    }
}

impl Need {
    /// Whether rules of this configuration need it.
    pub fn is_of(self, config: &Config) -> bool {
        match self {
            Self::Always => true,
            Self::Marks => config.marks.is_some(),
            Self::Reject => config.deny == Deny::Reject,
            Self::KernelLog => matches!(config.log, Log::Kernel(_)),
            Self::Nflog => matches!(config.log, Log::Nflog { .. }),
            Self::Nobody => false,
        }
    }
}

impl Feature {
    /// Each probe has a table of its own, so that they can be tried together; `None` where none is needed.
    fn transaction(&self) -> Option<String> {
        let Probe::Rules(rules) = self.probe else {
            return None;
        };
        let number = FEATURES
            .iter()
            .position(|feature| feature.name == self.name);
        let table = format!("nopal_probe{}", number.unwrap_or_default());
        Some(format!("table inet {table} {{ {rules} }}\n"))
    }
}

/// One feature to a line.
impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the kernel {} lacks what nopal needs:", self.kernel)?;
        for (feature, refusal) in &self.features {
            let Feature {
                name,
                purpose,
                kernel,
                option,
                ..
            } = feature;
            let refusal = refusal.lines().next().unwrap_or_default();
            write!(
                f,
                "\n  {name}, for {purpose}: in kernels since {kernel} with CONFIG_{option} ({refusal})"
            )?;
        }
        Ok(())
    }
}

/// What was said against a probe; an error when that says nothing about the feature.
fn refusal(checked: Result<(), ApplyError>) -> Result<Option<String>, ApplyError> {
    match checked {
        Ok(()) => Ok(None),
        Err(ApplyError::Refused { stderr }) => Ok(Some(stderr)),
        Err(error) => Err(error),
    }
}

/// The release of the running kernel, as `uname -r` tells it.
fn release() -> String {
    nix::sys::utsname::uname().map_or_else(
        |_| "of unknown version".to_owned(),
        |name| name.release().to_string_lossy().into_owned(),
    )
}

const fn feature(
    need: Need,
    name: &'static str,
    purpose: &'static str,
    kernel: &'static str,
    option: &'static str,
    rules: &'static str,
) -> Feature {
    Feature {
        name,
        purpose,
        need,
        kernel,
        option,
        probe: Probe::Rules(rules),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_probe_is_in_a_table_of_its_own_that_is_ours() {
        let tables: std::collections::BTreeSet<String> = FEATURES
            .iter()
            .filter_map(Feature::transaction)
            .map(|transaction| transaction.split(' ').nth(2).unwrap().to_owned())
            .collect();
        assert_eq!(tables.len() + 1, FEATURES.len());
        assert!(tables.iter().all(|table| table.starts_with("nopal_probe")));
    }

    /// A kernel without these features.
    fn without(names: &[&str]) -> Features {
        let refusal = |name| names.contains(&name).then(|| "no such thing".to_owned());
        Features {
            kernel: "6.1.0".to_owned(),
            nft: NftVersion::NEEDED,
            found: FEATURES
                .iter()
                .map(|feature| (*feature, refusal(feature.name)))
                .collect(),
        }
    }

    #[test]
    fn a_kernel_without_nflog_enforces_without_telling_and_says_so() {
        let (config, given_up) = without(&["nflog"]).adapt(Config::default());
        assert_eq!(config.log, Log::None);
        assert!(
            given_up[0].contains("CONFIG_NETFILTER_NETLINK_LOG"),
            "{given_up:?}"
        );
        assert_eq!(without(&["nflog"]).require(&config), Ok(()));
        let unchanged = (Config::default(), Vec::new());
        assert_eq!(without(&[]).adapt(Config::default()), unchanged);
    }

    #[test]
    fn what_enforcement_needs_is_not_given_up() {
        for name in ["connection marks", "verdict maps", "limits"] {
            let features = without(&[name, "nflog"]);
            let (config, _) = features.adapt(Config::default());
            let missing = features.require(&config).unwrap_err().to_string();
            assert!(
                missing.contains(name) && !missing.contains("nflog"),
                "{missing}"
            );
        }
    }
}
