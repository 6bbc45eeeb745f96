//! Rules as the expressions that nft 1.0.6 makes of them.
//!
//! Just those: nft can read back what it would have written, and of other forms that the kernel takes as well it
//! ends with a failed assertion (a concatenation loaded with `immediate`, for one). A field of one family is preceded by a
//! look at the packet's family, once in a rule.

use std::vec;

use super::batch::Unencodable;
use super::elements::write_verdict;
use super::uapi::{
    CT_STATE_ESTABLISHED, CT_STATE_NEW, CT_STATE_RELATED, IP_CT_DIR_REPLY, NF_ACCEPT, NF_DROP,
    NFPROTO_IPV4, NFPROTO_IPV6, NFT_CMP_EQ, NFT_CMP_GTE, NFT_CMP_LTE, NFT_CMP_NEQ,
    NFT_CT_DIRECTION, NFT_CT_MARK, NFT_CT_STATE, NFT_GOTO, NFT_JUMP, NFT_LIMIT_PKTS,
    NFT_LOGLEVEL_INFO, NFT_META_L4PROTO, NFT_META_NFPROTO, NFT_OBJECT_COUNTER,
    NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER, NFT_REG_1, NFT_REG_VERDICT,
    NFT_REG32_00, NFT_REJECT_ICMPX_ADMIN_PROHIBITED, NFT_REJECT_ICMPX_UNREACH, NFT_RETURN,
    NFTA_BITWISE_DREG, NFTA_BITWISE_LEN, NFTA_BITWISE_MASK, NFTA_BITWISE_SREG, NFTA_BITWISE_XOR,
    NFTA_CMP_DATA, NFTA_CMP_OP, NFTA_CMP_SREG, NFTA_CT_DREG, NFTA_CT_KEY, NFTA_CT_SREG,
    NFTA_DATA_VALUE, NFTA_EXPR_DATA, NFTA_EXPR_NAME, NFTA_IMMEDIATE_DATA, NFTA_IMMEDIATE_DREG,
    NFTA_LIMIT_BURST, NFTA_LIMIT_RATE, NFTA_LIMIT_TYPE, NFTA_LIMIT_UNIT, NFTA_LIST_ELEM,
    NFTA_LOG_GROUP, NFTA_LOG_LEVEL, NFTA_LOG_PREFIX, NFTA_LOOKUP_DREG, NFTA_LOOKUP_SET,
    NFTA_LOOKUP_SET_ID, NFTA_LOOKUP_SREG, NFTA_META_DREG, NFTA_META_KEY, NFTA_OBJREF_IMM_NAME,
    NFTA_OBJREF_IMM_TYPE, NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_DREG, NFTA_PAYLOAD_LEN,
    NFTA_PAYLOAD_OFFSET, NFTA_REJECT_ICMP_CODE, NFTA_REJECT_TYPE,
};
use super::writer::Writer;
use crate::names::Name;
use crate::statement::{Field, LogTarget, Rule, Statement};
use crate::value::Family;

/// The name that the kernel makes names of anonymous sets from.
pub(crate) const ANONYMOUS: &str = "__set%d";
/// The bytes of four registers.
const REGISTER_BYTES: u32 = 16;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_ICMP: u8 = 1;
const IPPROTO_ICMPV6: u8 = 58;
/// Where the flags are in the header of TCP, and which of them.
const TCP_FLAGS: u32 = 13;
const SYN: u8 = 0x02;
const FIN_SYN_RST_ACK: u8 = 0x17;
/// A limit's rate is per second.
const SECOND: u64 = 1;

/// Writes a rule's expressions. Its neighbour discovery statements look up these anonymous sets of the batch, in
/// order.
///
/// # Errors
/// When the rule asks for both families, or for more fields than there are registers.
pub(crate) fn write_rule(
    writer: &mut Writer,
    rule: &Rule,
    neighbour_sets: Vec<u32>,
) -> Result<(), Unencodable> {
    let mut expressions = Expressions {
        writer,
        family: None,
        neighbour_sets: neighbour_sets.into_iter(),
    };
    rule.statements
        .iter()
        .try_for_each(|statement| expressions.statement(statement))
}

struct Expressions<'a> {
    writer: &'a mut Writer,
    /// The family that the rule has made sure of so far.
    family: Option<Family>,
    neighbour_sets: vec::IntoIter<u32>,
}

impl Expressions<'_> {
    fn statement(&mut self, statement: &Statement) -> Result<(), Unencodable> {
        match statement {
            Statement::InSet { fields, set } => {
                self.load(fields)?;
                self.lookup(set.as_str(), |_| {});
            }
            Statement::Vmap { field, map } => {
                self.load(&[*field])?;
                self.lookup(map.as_str(), |writer| {
                    writer.put_u32(NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
                });
            }
            Statement::CtEstablished => self.ct_state(CT_STATE_ESTABLISHED | CT_STATE_RELATED),
            Statement::CtNew => self.ct_state(CT_STATE_NEW),
            Statement::CtRelated => self.ct_state(CT_STATE_RELATED),
            Statement::CtNotRelated => {
                self.load_ct(NFT_CT_STATE);
                self.compare(NFT_CMP_NEQ, &CT_STATE_RELATED.to_ne_bytes());
            }
            Statement::Icmp(family) => {
                self.load_meta(NFT_META_L4PROTO, NFT_REG_1);
                let number = match family {
                    Family::V4 => IPPROTO_ICMP,
                    Family::V6 => IPPROTO_ICMPV6,
                };
                self.compare(NFT_CMP_EQ, &[number]);
            }
            Statement::TcpNotSyn => {
                self.load_meta(NFT_META_L4PROTO, NFT_REG_1);
                self.compare(NFT_CMP_EQ, &[IPPROTO_TCP]);
                self.load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS, 1, NFT_REG_1);
                self.mask_bytes(&[FIN_SYN_RST_ACK], &[0]);
                self.compare(NFT_CMP_NEQ, &[SYN]);
            }
            Statement::PortIn { field, ports } => {
                self.load(&[*field])?;
                self.compare(NFT_CMP_GTE, &ports.first().to_be_bytes());
                self.compare(NFT_CMP_LTE, &ports.last().to_be_bytes());
            }
            Statement::CtReply => {
                self.load_ct(NFT_CT_DIRECTION);
                self.compare(NFT_CMP_EQ, &[IP_CT_DIR_REPLY]);
            }
            Statement::CtMarkIn { mask, set } => {
                self.load_ct(NFT_CT_MARK);
                self.mask(*mask, 0);
                self.lookup(set.as_str(), |_| {});
            }
            Statement::CtMarkSet { mask, value } => {
                self.load_ct(NFT_CT_MARK);
                self.mask(!mask & !value, *value);
                self.expression("ct", |writer| {
                    writer.put_u32(NFTA_CT_KEY, NFT_CT_MARK);
                    writer.put_u32(NFTA_CT_SREG, NFT_REG_1);
                });
            }
            Statement::Icmpv6Neighbour => self.neighbour()?,
            Statement::Limit(rate) => self.expression("limit", |writer| {
                writer.put_u64(NFTA_LIMIT_RATE, rate.per_second.into());
                writer.put_u64(NFTA_LIMIT_UNIT, SECOND);
                writer.put_u32(NFTA_LIMIT_BURST, rate.burst);
                writer.put_u32(NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS);
            }),
            Statement::Log { prefix, target } => self.expression("log", |writer| {
                writer.put_text(NFTA_LOG_PREFIX, prefix);
                match target {
                    LogTarget::Kernel => writer.put_u32(NFTA_LOG_LEVEL, NFT_LOGLEVEL_INFO),
                    LogTarget::Nflog(group) => writer.put(NFTA_LOG_GROUP, &group.to_be_bytes()),
                }
            }),
            Statement::Counter(name) => self.expression("objref", |writer| {
                writer.put_u32(NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
                writer.put_text(NFTA_OBJREF_IMM_NAME, name.as_str());
            }),
            Statement::Jump(chain) => self.verdict(NFT_JUMP, Some(chain)),
            Statement::Goto(chain) => self.verdict(NFT_GOTO, Some(chain)),
            Statement::Return => self.verdict(NFT_RETURN, None),
            Statement::Accept => self.verdict(NF_ACCEPT, None),
            Statement::Drop => self.verdict(NF_DROP, None),
            Statement::Reject => self.expression("reject", |writer| {
                writer.put_u32(NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
                writer.put_u8(NFTA_REJECT_ICMP_CODE, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
            }),
        }
        Ok(())
    }

    fn neighbour(&mut self) -> Result<(), Unencodable> {
        let set = self.neighbour_sets.next();
        let set = set.expect("the batch makes one set for each of the rule's statements");
        self.require(Family::V6)?;
        self.load_meta(NFT_META_L4PROTO, NFT_REG_1);
        self.compare(NFT_CMP_EQ, &[IPPROTO_ICMPV6]);
        self.load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, NFT_REG_1);
        self.lookup(ANONYMOUS, |writer| writer.put_u32(NFTA_LOOKUP_SET_ID, set));
        Ok(())
    }

    /// Loads fields into registers, one behind the other. Each begins where the last one ended, rounded up to four
    /// bytes; 16 bytes are one large or four small registers.
    fn load(&mut self, fields: &[Field]) -> Result<(), Unencodable> {
        for family in fields.iter().filter_map(|field| family_of(*field)) {
            self.require(family)?;
        }
        let mut at = 0;
        for field in fields {
            let (base, offset, length) = match field {
                Field::IpSaddr => (NFT_PAYLOAD_NETWORK_HEADER, 12, 4),
                Field::IpDaddr => (NFT_PAYLOAD_NETWORK_HEADER, 16, 4),
                Field::Ip6Saddr => (NFT_PAYLOAD_NETWORK_HEADER, 8, 16),
                Field::Ip6Daddr => (NFT_PAYLOAD_NETWORK_HEADER, 24, 16),
                Field::ThSport => (NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2),
                Field::ThDport => (NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2),
                Field::L4Proto => {
                    self.load_meta(NFT_META_L4PROTO, register(at)?);
                    at += 4;
                    continue;
                }
            };
            self.load_payload(base, offset, length, register(at)?);
            at += length.next_multiple_of(4);
        }
        if at > 4 * REGISTER_BYTES {
            return Err(Unencodable::TooManyFields);
        }
        Ok(())
    }

    /// Ends the rule for packets of the other family.
    fn require(&mut self, family: Family) -> Result<(), Unencodable> {
        match self.family {
            Some(known) if known == family => return Ok(()),
            Some(_) => return Err(Unencodable::TwoFamilies),
            None => self.family = Some(family),
        }
        let number = match family {
            Family::V4 => NFPROTO_IPV4,
            Family::V6 => NFPROTO_IPV6,
        };
        self.load_meta(NFT_META_NFPROTO, NFT_REG_1);
        self.compare(NFT_CMP_EQ, &[number]);
        Ok(())
    }

    fn ct_state(&mut self, states: u32) {
        self.load_ct(NFT_CT_STATE);
        self.mask(states, 0);
        self.compare(NFT_CMP_NEQ, &0_u32.to_ne_bytes());
    }

    fn load_ct(&mut self, key: u32) {
        self.expression("ct", |writer| {
            writer.put_u32(NFTA_CT_KEY, key);
            writer.put_u32(NFTA_CT_DREG, NFT_REG_1);
        });
    }

    fn load_meta(&mut self, key: u32, register: u32) {
        self.expression("meta", |writer| {
            writer.put_u32(NFTA_META_KEY, key);
            writer.put_u32(NFTA_META_DREG, register);
        });
    }

    fn load_payload(&mut self, base: u32, offset: u32, length: u32, register: u32) {
        self.expression("payload", |writer| {
            writer.put_u32(NFTA_PAYLOAD_DREG, register);
            writer.put_u32(NFTA_PAYLOAD_BASE, base);
            writer.put_u32(NFTA_PAYLOAD_OFFSET, offset);
            writer.put_u32(NFTA_PAYLOAD_LEN, length);
        });
    }

    /// `(register & mask) ^ xor` for marks and states, which are numbers in the machine's byte order.
    fn mask(&mut self, mask: u32, xor: u32) {
        self.mask_bytes(&mask.to_ne_bytes(), &xor.to_ne_bytes());
    }

    /// `(register & mask) ^ xor`, both of the length of the register's value.
    fn mask_bytes<const LENGTH: usize>(&mut self, mask: &[u8; LENGTH], xor: &[u8; LENGTH]) {
        let length = u32::try_from(LENGTH).expect("a field has a few bytes");
        self.expression("bitwise", |writer| {
            writer.put_u32(NFTA_BITWISE_SREG, NFT_REG_1);
            writer.put_u32(NFTA_BITWISE_DREG, NFT_REG_1);
            writer.put_u32(NFTA_BITWISE_LEN, length);
            for (attribute, value) in [(NFTA_BITWISE_MASK, mask), (NFTA_BITWISE_XOR, xor)] {
                writer.nested(attribute, |writer| writer.put(NFTA_DATA_VALUE, value));
            }
        });
    }

    fn compare(&mut self, operator: u32, value: &[u8]) {
        self.expression("cmp", |writer| {
            writer.put_u32(NFTA_CMP_SREG, NFT_REG_1);
            writer.put_u32(NFTA_CMP_OP, operator);
            writer.nested(NFTA_CMP_DATA, |writer| writer.put(NFTA_DATA_VALUE, value));
        });
    }

    fn lookup(&mut self, set: &str, more: impl FnOnce(&mut Writer)) {
        self.expression("lookup", |writer| {
            writer.put_u32(NFTA_LOOKUP_SREG, NFT_REG_1);
            writer.put_text(NFTA_LOOKUP_SET, set);
            more(writer);
        });
    }

    fn verdict(&mut self, code: u32, chain: Option<&Name>) {
        self.expression("immediate", |writer| {
            writer.put_u32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
            writer.nested(NFTA_IMMEDIATE_DATA, |writer| {
                write_verdict(writer, code, chain);
            });
        });
    }

    fn expression(&mut self, name: &str, data: impl FnOnce(&mut Writer)) {
        self.writer.nested(NFTA_LIST_ELEM, |writer| {
            writer.put_text(NFTA_EXPR_NAME, name);
            writer.nested(NFTA_EXPR_DATA, data);
        });
    }
}

/// The register at this byte: a large one where one begins, as nft does it.
fn register(byte: u32) -> Result<u32, Unencodable> {
    if byte >= 4 * REGISTER_BYTES {
        Err(Unencodable::TooManyFields)
    } else if byte.is_multiple_of(REGISTER_BYTES) {
        Ok(NFT_REG_1 + byte / REGISTER_BYTES)
    } else {
        Ok(NFT_REG32_00 + byte / 4)
    }
}

const fn family_of(field: Field) -> Option<Family> {
    match field {
        Field::IpSaddr | Field::IpDaddr => Some(Family::V4),
        Field::Ip6Saddr | Field::Ip6Daddr => Some(Family::V6),
        Field::L4Proto | Field::ThSport | Field::ThDport => None,
    }
}
