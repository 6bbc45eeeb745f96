//! The words that rules are written in, so that a line of Rust reads like the line of nft.
//!
//! ```
//! use nft_backend::names::Name;
//! use nft_backend::statement::{Field::*, Rule};
//! use nft_backend::vocabulary::*;
//!
//! let (set, next) = (Name::new("i_db_h4")?, Name::new("to_stamp")?);
//! assert_eq!(
//!     Rule::new([in_set([IpSaddr, L4Proto, ThDport], &set), goto(&next)]).to_string(),
//!     "ip saddr . meta l4proto . th dport @i_db_h4 goto to_stamp",
//! );
//! # Ok::<(), nft_backend::names::NameError>(())
//! ```

use crate::generation::{Generation, MarkBits};
use crate::log_prefix::LogPrefix;
use crate::names::Name;
use crate::statement::{Field, LogTarget, Rate, Statement};
use crate::value::{Family, PortRange};

/// `FIELD . FIELD @set`
pub fn in_set(fields: impl IntoIterator<Item = Field>, set: &Name) -> Statement {
    Statement::InSet {
        fields: fields.into_iter().collect(),
        set: set.clone(),
    }
}

/// `FIELD vmap @map`
pub fn vmap(field: Field, map: &Name) -> Statement {
    Statement::Vmap {
        field,
        map: map.clone(),
    }
}

/// `ip saddr vmap @map`
pub fn ip_saddr_vmap(map: &Name) -> Statement {
    vmap(Field::IpSaddr, map)
}

/// `ip daddr vmap @map`
pub fn ip_daddr_vmap(map: &Name) -> Statement {
    vmap(Field::IpDaddr, map)
}

/// `ip6 saddr vmap @map`
pub fn ip6_saddr_vmap(map: &Name) -> Statement {
    vmap(Field::Ip6Saddr, map)
}

/// `ip6 daddr vmap @map`
pub fn ip6_daddr_vmap(map: &Name) -> Statement {
    vmap(Field::Ip6Daddr, map)
}

/// `ct state established,related`
pub fn ct_established() -> Statement {
    Statement::CtEstablished
}

/// `ct state new`
pub fn ct_new() -> Statement {
    Statement::CtNew
}

/// `tcp flags & (fin | syn | rst | ack) != syn`
pub fn tcp_not_syn() -> Statement {
    Statement::TcpNotSyn
}

/// `th sport FIRST-LAST`, or `th dport` the same; a field that is no port matches nothing.
pub fn port_in(field: Field, ports: PortRange) -> Statement {
    Statement::PortIn { field, ports }
}

/// `ct state related`
pub fn ct_related() -> Statement {
    Statement::CtRelated
}

/// `ct state != related`
pub fn ct_not_related() -> Statement {
    Statement::CtNotRelated
}

/// `meta l4proto icmp` or `meta l4proto ipv6-icmp`
pub fn icmp(family: Family) -> Statement {
    Statement::Icmp(family)
}

/// `ct direction reply`
pub fn ct_reply() -> Statement {
    Statement::CtReply
}

/// `ct mark & MASK == @set`
pub fn ct_mark_in(bits: MarkBits, set: &Name) -> Statement {
    Statement::CtMarkIn {
        mask: bits.mask(),
        set: set.clone(),
    }
}

/// `ct mark set ct mark & ~MASK | GENERATION`
pub fn ct_mark_set(bits: MarkBits, generation: Generation) -> Statement {
    Statement::CtMarkSet {
        mask: bits.mask(),
        value: bits.value(generation),
    }
}

/// `icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }`
pub fn icmpv6_neighbour() -> Statement {
    Statement::Icmpv6Neighbour
}

/// `limit rate N/second burst M packets log prefix "..." group N`, or `level info` for the kernel's own log
pub fn log_limited(rate: Rate, prefix: &LogPrefix, target: LogTarget) -> [Statement; 2] {
    let prefix = prefix.to_string().into();
    [Statement::Limit(rate), Statement::Log { prefix, target }]
}

/// `counter name NAME`
pub fn counter(name: &Name) -> Statement {
    Statement::Counter(name.clone())
}

/// `jump CHAIN`
pub fn jump(chain: &Name) -> Statement {
    Statement::Jump(chain.clone())
}

/// `goto CHAIN`
pub fn goto(chain: &Name) -> Statement {
    Statement::Goto(chain.clone())
}

/// `return`
pub fn return_to_caller() -> Statement {
    Statement::Return
}

/// `accept`
pub fn accept() -> Statement {
    Statement::Accept
}

/// `drop`
pub fn drop_packet() -> Statement {
    Statement::Drop
}

/// `reject with icmpx admin-prohibited`
pub fn reject() -> Statement {
    Statement::Reject
}
