//! Rules: what a packet is compared with, and what happens to it.
//!
//! A rule is a list of statements, read from left to right as in nft: the first that does not match
//! ends the rule. `Display` is nft's own text.

use std::fmt;
use std::sync::Arc;

use crate::names::Name;
use crate::value::{Family, PortRange};

/// A rule of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The statements, in nft's order.
    pub statements: Vec<Statement>,
    /// The comment that the kernel keeps with the rule.
    pub comment: Option<String>,
}

/// The kernel takes a comment of 128 bytes and refuses one of 200.
const LONGEST_COMMENT: usize = 128;

impl Rule {
    /// A rule without a comment.
    pub fn new(statements: impl IntoIterator<Item = Statement>) -> Self {
        Self {
            statements: statements.into_iter().collect(),
            comment: None,
        }
    }

    /// The rule with a comment, without the characters that nft's text form can't hold, and cut to
    /// the length that the kernel takes.
    #[must_use]
    pub fn comment(self, text: &str) -> Self {
        let mut comment = String::new();
        for c in text
            .chars()
            .filter(|c| !c.is_control() && !matches!(c, '"' | '\\'))
        {
            if comment.len() + c.len_utf8() > LONGEST_COMMENT {
                break;
            }
            comment.push(c);
        }
        Self {
            comment: Some(comment),
            ..self
        }
    }

    /// The rule with other names for the objects that it mentions.
    #[must_use]
    pub(crate) fn rename(&self, rename: &impl Fn(&Name) -> Name) -> Self {
        let statements = self
            .statements
            .iter()
            .map(|statement| statement.rename(rename))
            .collect();
        Self {
            statements,
            comment: self.comment.clone(),
        }
    }
}

/// A field of the packet that a set is looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// `ip saddr`; a packet of the other family does not match.
    IpSaddr,
    /// `ip daddr`
    IpDaddr,
    /// `ip6 saddr`
    Ip6Saddr,
    /// `ip6 daddr`
    Ip6Daddr,
    /// `meta l4proto`
    L4Proto,
    /// `th sport`: the source port of TCP, UDP and SCTP alike.
    ThSport,
    /// `th dport`
    ThDport,
}

/// How often something may happen: at most `per_second`, after a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Packets in a second.
    pub per_second: u32,
    /// Packets at once before the limit holds.
    pub burst: u32,
}

/// Where log messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTarget {
    /// The kernel's own log, at level info. From other network namespaces than the first one it takes messages only
    /// with the sysctl `net.netfilter.nf_log_all_netns`.
    Kernel,
    /// The programs that listen to this nflog group of the network namespace; without any, nowhere.
    Nflog(u16),
}

/// One statement of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Matches when the concatenated fields are in the set.
    InSet {
        /// The fields, in the order of the set's key.
        fields: Vec<Field>,
        /// The set.
        set: Name,
    },
    /// Matches packets of flows that conntrack knows, and what belongs to them.
    CtEstablished,
    /// Matches packets that conntrack takes for the first of their flow.
    CtNew,
    /// Matches TCP packets other than the one that opens a connection.
    TcpNotSyn,
    /// Matches when a port is in the range.
    PortIn {
        /// The port.
        field: Field,
        /// The range.
        ports: PortRange,
    },
    /// Matches packets that only belong to a known flow: ICMP errors, and what opens a flow that this one announced.
    CtRelated,
    /// Matches all other packets.
    CtNotRelated,
    /// Matches ICMP of the family.
    Icmp(Family),
    /// Matches packets from the flow's destination to its source.
    CtReply,
    /// Matches when the bits of the mask in the conntrack mark are in the set; a packet of no flow does not match.
    CtMarkIn {
        /// The bits looked at.
        mask: u32,
        /// The set.
        set: Name,
    },
    /// Writes the bits of the mask in the conntrack mark.
    CtMarkSet {
        /// The bits written.
        mask: u32,
        /// What they hold then.
        value: u32,
    },
    /// Matches neighbour discovery: `ICMPv6` types 133 to 136.
    Icmpv6Neighbour,
    /// Matches as long as the rate is not exceeded.
    Limit(Rate),
    /// Tells about the packet, with a prefix of at most 127 bytes.
    Log {
        /// What the message begins with.
        prefix: Arc<str>,
        /// Where it goes.
        target: LogTarget,
    },
    /// Counts the packet.
    Counter(Name),
    /// Looks the field up in a verdict map; without an element the next rule follows.
    Vmap {
        /// The field.
        field: Field,
        /// The map.
        map: Name,
    },
    /// Continues in a chain and comes back after it.
    Jump(Name),
    /// Continues in a chain and does not come back to this one.
    Goto(Name),
    /// Comes back behind the last jump.
    Return,
    /// Ends the evaluation of our table: the packet passes.
    Accept,
    /// Drops the packet.
    Drop,
    /// Drops the packet and tells the sender that an administrator forbids it.
    Reject,
}

impl Statement {
    fn rename(&self, rename: &impl Fn(&Name) -> Name) -> Self {
        match self {
            Self::InSet { fields, set } => Self::InSet {
                fields: fields.clone(),
                set: rename(set),
            },
            Self::Vmap { field, map } => Self::Vmap {
                field: *field,
                map: rename(map),
            },
            Self::CtMarkIn { mask, set } => Self::CtMarkIn {
                mask: *mask,
                set: rename(set),
            },
            Self::Jump(chain) => Self::Jump(rename(chain)),
            Self::Goto(chain) => Self::Goto(rename(chain)),
            other => other.clone(),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IpSaddr => "ip saddr",
            Self::IpDaddr => "ip daddr",
            Self::Ip6Saddr => "ip6 saddr",
            Self::Ip6Daddr => "ip6 daddr",
            Self::L4Proto => "meta l4proto",
            Self::ThSport => "th sport",
            Self::ThDport => "th dport",
        })
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InSet { fields, set } => {
                let fields: Vec<String> = fields.iter().map(Field::to_string).collect();
                write!(f, "{} @{set}", fields.join(" . "))
            }
            Self::CtEstablished => f.write_str("ct state established,related"),
            Self::CtNew => f.write_str("ct state new"),
            Self::TcpNotSyn => f.write_str("tcp flags & (fin | syn | rst | ack) != syn"),
            Self::PortIn { field, ports } => {
                write!(f, "{field} {}-{}", ports.first(), ports.last())
            }
            Self::CtRelated => f.write_str("ct state related"),
            Self::CtNotRelated => f.write_str("ct state != related"),
            Self::Icmp(family) => write!(f, "meta l4proto {}", icmp_name(*family)),
            Self::CtReply => f.write_str("ct direction reply"),
            Self::CtMarkIn { mask, set } => write!(f, "ct mark & {mask:#010x} == @{set}"),
            Self::CtMarkSet { mask, value } => {
                write!(f, "ct mark set ct mark & {:#010x} | {value:#010x}", !mask)
            }
            Self::Icmpv6Neighbour => write!(f, "icmpv6 type {{ {} }}", NEIGHBOUR_TYPES.join(", ")),
            Self::Limit(rate) => {
                write!(
                    f,
                    "limit rate {}/second burst {} packets",
                    rate.per_second, rate.burst
                )
            }
            Self::Log { prefix, target } => match target {
                LogTarget::Kernel => write!(f, "log prefix \"{prefix}\" level info"),
                LogTarget::Nflog(group) => write!(f, "log prefix \"{prefix}\" group {group}"),
            },
            Self::Counter(name) => write!(f, "counter name {name}"),
            Self::Vmap { field, map } => write!(f, "{field} vmap @{map}"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::Return => f.write_str("return"),
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Reject => f.write_str("reject with icmpx admin-prohibited"),
        }
    }
}

/// The family's ICMP in nft's words.
pub(crate) fn icmp_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "icmp",
        Family::V6 => "ipv6-icmp",
    }
}

/// The `ICMPv6` types of neighbour discovery, 133 to 136, in nft's words.
pub(crate) const NEIGHBOUR_TYPES: [&str; 4] = [
    "nd-router-solicit",
    "nd-router-advert",
    "nd-neighbor-solicit",
    "nd-neighbor-advert",
];

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statements: Vec<String> = self.statements.iter().map(Statement::to_string).collect();
        f.write_str(&statements.join(" "))?;
        match &self.comment {
            Some(comment) => write!(f, " comment \"{comment}\""),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_made_fit_for_the_kernel() {
        let rule = Rule::new([Statement::Accept]).comment(&"\"ä\n".repeat(100));
        assert_eq!(rule.comment.unwrap(), "ä".repeat(64));
    }
}
