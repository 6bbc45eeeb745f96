//! A transaction as one batch of messages to nftables.
//!
//! The messages of a command carry the number of the command, so that the kernel's answer tells which one it
//! refused. The last of them asks for an answer also when all is well. Not all of them: each answer takes about a
//! kilobyte of the socket's buffer, and a full load has thousands of messages.

use super::elements::{Entries, Place, write_elements, write_entries};
use super::expression::{ANONYMOUS, write_rule};
use super::set::{BIG_ENDIAN, write_byte_order, write_map, write_set};
use super::sets::{Sets, View};
use super::uapi::{
    NF_ACCEPT, NF_INET_FORWARD, NFNL_BATCH_GENID, NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END,
    NFNL_SUBSYS_NFTABLES, NFPROTO_INET, NFT_MSG_DELCHAIN, NFT_MSG_DELOBJ, NFT_MSG_DELRULE,
    NFT_MSG_DELSET, NFT_MSG_DELSETELEM, NFT_MSG_DELTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWOBJ,
    NFT_MSG_NEWRULE, NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_NEWTABLE, NFT_OBJECT_COUNTER,
    NFT_SET_ANONYMOUS, NFT_SET_CONSTANT, NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY,
    NFTA_CHAIN_TABLE, NFTA_CHAIN_TYPE, NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS, NFTA_DATA_VALUE,
    NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY, NFTA_LIST_ELEM, NFTA_OBJ_DATA, NFTA_OBJ_NAME,
    NFTA_OBJ_TABLE, NFTA_OBJ_TYPE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_TABLE,
    NFTA_RULE_USERDATA, NFTA_SET_DESC, NFTA_SET_DESC_SIZE, NFTA_SET_ELEM_KEY,
    NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_SET_ID,
    NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_FLAGS, NFTA_SET_ID, NFTA_SET_KEY_LEN, NFTA_SET_KEY_TYPE,
    NFTA_SET_NAME, NFTA_SET_TABLE, NFTA_TABLE_FLAGS, NFTA_TABLE_NAME, NLM_F_ACK, NLM_F_APPEND,
    NLM_F_CREATE, NLM_F_EXCL,
};
use super::writer::{Header, Writer};
use crate::names::Name;
use crate::statement::{Rule, Statement};
use crate::transaction::{Command, Object, Target, Transaction};

/// nft refuses longer comments.
const LONGEST_COMMENT: usize = 128;
/// The tag of nft's own record of a rule's comment (libnftnl: `NFTNL_UDATA_RULE_COMMENT`).
const COMMENT: u8 = 0;
/// nft's number of the type `icmpv6_type`.
const ICMPV6_TYPE: u32 = 29;
/// The `ICMPv6` types of neighbour discovery.
const NEIGHBOUR_TYPES: [u8; NEIGHBOUR_COUNT as usize] = [133, 134, 135, 136];
const NEIGHBOUR_COUNT: u32 = 4;
const CHAIN_TYPE: &str = "filter";

const BYTES_PER_COMMAND: usize = 320;
const BYTES_PER_ELEMENT: usize = 52;

/// A batch, ready to be sent.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Its messages.
    pub(crate) bytes: Vec<u8>,
    /// The number of its first message, which begins it. That of the command with index 0 is the next one.
    pub(crate) first: u32,
    /// The number of the last command.
    pub(crate) last: u32,
}

/// Why a transaction cannot be written as a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unencodable {
    /// The set holds other elements.
    #[error("{element} is no element of the set {set}")]
    Element { set: Name, element: String },
    /// Nobody made the set, and the kernel does not have it.
    #[error("there is no set {0}")]
    NoSuchSet(Name),
    /// A rule that no packet can match.
    #[error("a rule asks for addresses of both families")]
    TwoFamilies,
    /// More than 64 bytes.
    #[error("a rule compares more fields than the kernel has registers for")]
    TooManyFields,
    /// An attribute of 64 KiB, or a comment of more than 128 bytes.
    #[error("a rule or its comment is too long")]
    TooLong,
}

/// Writes a transaction; `None` when it has nothing to tell the kernel. Messages are numbered from `first`.
///
/// # Errors
/// When nft would refuse it too, or the way its sets are made is not known.
pub(crate) fn encode(
    transaction: &Transaction,
    sets: &Sets,
    first: u32,
) -> Result<Option<Batch>, Unencodable> {
    let size = transaction.elements() * BYTES_PER_ELEMENT
        + (transaction.commands.len() + 2) * BYTES_PER_COMMAND;
    let mut writer = Writer::with_capacity(size);
    writer.message(edge(NFNL_MSG_BATCH_BEGIN, first), |writer| {
        if let Some(generation) = sets.generation() {
            writer.put_u32(NFNL_BATCH_GENID, generation);
        }
    });
    let mut encoder = Encoder {
        writer,
        table: &transaction.table,
        view: sets.view(&transaction.table),
        sequence: first,
        last_set: 0,
    };
    let mut last = None;
    for command in &transaction.commands {
        encoder.sequence = encoder.sequence.wrapping_add(1);
        let before = encoder.writer.len();
        encoder.command(command)?;
        if encoder.writer.len() > before {
            last = Some(encoder.sequence);
        }
        encoder.view.follow(command);
    }
    let Some(last) = last else {
        return Ok(None);
    };
    let mut writer = encoder.writer;
    writer.add_flags(NLM_F_ACK);
    writer.message(edge(NFNL_MSG_BATCH_END, last.wrapping_add(1)), |_| {});
    let bytes = writer.finish().ok_or(Unencodable::TooLong)?;
    Ok(Some(Batch { bytes, first, last }))
}

/// The header of the message that begins or ends a batch.
const fn edge(kind: u16, sequence: u32) -> Header {
    Header {
        kind,
        flags: 0,
        sequence,
        family: 0,
        resource: NFNL_SUBSYS_NFTABLES,
    }
}

struct Encoder<'a> {
    writer: Writer,
    table: &'a Name,
    view: View<'a>,
    sequence: u32,
    /// The number of the last set that was made: no two of a batch have the same.
    last_set: u32,
}

impl<'a> Encoder<'a> {
    fn command(&mut self, command: &'a Command) -> Result<(), Unencodable> {
        match command {
            Command::Add(object) => self.make(object, NLM_F_CREATE),
            Command::Create(object) => self.make(object, NLM_F_CREATE | NLM_F_EXCL),
            Command::Delete(target) => self.delete(target),
            Command::FlushChain(chain) => {
                self.named(NFT_MSG_DELRULE, [NFTA_RULE_TABLE, NFTA_RULE_CHAIN], chain);
                Ok(())
            }
            // A list of elements to delete that is not there stands for all of them.
            Command::FlushSet(set) | Command::FlushMap(set) => {
                let attributes = [NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET];
                self.named(NFT_MSG_DELSETELEM, attributes, set);
                Ok(())
            }
        }
    }

    fn make(&mut self, object: &'a Object, flags: u16) -> Result<(), Unencodable> {
        let table = self.table;
        match object {
            Object::Table => {
                self.message(NFT_MSG_NEWTABLE, flags, |writer| {
                    writer.put_text(NFTA_TABLE_NAME, table.as_str());
                    writer.put_u32(NFTA_TABLE_FLAGS, 0);
                });
            }
            Object::Counter(name) => self.message(NFT_MSG_NEWOBJ, flags, |writer| {
                writer.put_text(NFTA_OBJ_TABLE, table.as_str());
                writer.put_text(NFTA_OBJ_NAME, name.as_str());
                writer.put_u32(NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
                writer.nested(NFTA_OBJ_DATA, |writer| {
                    writer.put_u64(NFTA_COUNTER_BYTES, 0);
                    writer.put_u64(NFTA_COUNTER_PACKETS, 0);
                });
            }),
            Object::Set {
                name,
                key,
                interval,
            } => {
                let id = self.next_set();
                self.message(NFT_MSG_NEWSET, flags, |writer| {
                    write_set(writer, [table, name], *key, *interval, id);
                });
            }
            Object::Map { name, family } => {
                let id = self.next_set();
                self.message(NFT_MSG_NEWSET, flags, |writer| {
                    write_map(writer, [table, name], *family, id);
                });
            }
            Object::Chain { name, priority } => self.message(NFT_MSG_NEWCHAIN, flags, |writer| {
                writer.put_text(NFTA_CHAIN_TABLE, table.as_str());
                writer.put_text(NFTA_CHAIN_NAME, name.as_str());
                if let Some(priority) = priority {
                    write_hook(writer, *priority);
                }
            }),
            Object::Rule { chain, rule } => self.rule(chain, rule, flags)?,
            Object::Elements { set, elements } => {
                let header = self.header(NFT_MSG_NEWSETELEM, flags);
                let place = self.place(set)?;
                write_elements(&mut self.writer, header, place, elements)?;
            }
            Object::Entries { map, entries } => {
                let header = self.header(NFT_MSG_NEWSETELEM, flags);
                let place = self.place(map)?;
                write_entries(&mut self.writer, header, place, entries, Entries::Add)?;
            }
        }
        Ok(())
    }

    fn delete(&mut self, target: &'a Target) -> Result<(), Unencodable> {
        let table = self.table;
        match target {
            Target::Table => self.message(NFT_MSG_DELTABLE, 0, |writer| {
                writer.put_text(NFTA_TABLE_NAME, table.as_str());
            }),
            Target::Counter(name) => self.message(NFT_MSG_DELOBJ, 0, |writer| {
                writer.put_text(NFTA_OBJ_TABLE, table.as_str());
                writer.put_text(NFTA_OBJ_NAME, name.as_str());
                writer.put_u32(NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
            }),
            Target::Set(name) | Target::Map(name) => {
                self.named(NFT_MSG_DELSET, [NFTA_SET_TABLE, NFTA_SET_NAME], name);
            }
            Target::Chain(name) => {
                self.named(NFT_MSG_DELCHAIN, [NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME], name);
            }
            Target::Elements { set, elements } => {
                let header = self.header(NFT_MSG_DELSETELEM, 0);
                let place = self.place(set)?;
                write_elements(&mut self.writer, header, place, elements)?;
            }
            Target::Entries { map, entries } => {
                let header = self.header(NFT_MSG_DELSETELEM, 0);
                let place = self.place(map)?;
                write_entries(&mut self.writer, header, place, entries, Entries::Delete)?;
            }
        }
        Ok(())
    }

    fn rule(&mut self, chain: &Name, rule: &Rule, flags: u16) -> Result<(), Unencodable> {
        let comment = rule.comment.as_deref().unwrap_or_default();
        if comment.len() > LONGEST_COMMENT {
            return Err(Unencodable::TooLong);
        }
        let looks_up = |statement: &&Statement| **statement == Statement::Icmpv6Neighbour;
        let lookups = rule.statements.iter().filter(looks_up);
        let sets = lookups.map(|_| self.neighbour_set()).collect();
        let (header, table) = (
            self.header(NFT_MSG_NEWRULE, flags | NLM_F_APPEND),
            self.table,
        );
        let mut written = Ok(());
        self.writer.message(header, |writer| {
            writer.put_text(NFTA_RULE_TABLE, table.as_str());
            writer.put_text(NFTA_RULE_CHAIN, chain.as_str());
            writer.nested(NFTA_RULE_EXPRESSIONS, |writer| {
                written = write_rule(writer, rule, sets);
            });
            if rule.comment.is_some() {
                write_comment(writer, comment);
            }
        });
        written
    }

    /// Makes the anonymous set of a rule that matches neighbour discovery, and tells its number.
    fn neighbour_set(&mut self) -> u32 {
        let (id, table) = (self.next_set(), self.table);
        self.message(NFT_MSG_NEWSET, NLM_F_CREATE, |writer| {
            writer.put_text(NFTA_SET_TABLE, table.as_str());
            writer.put_text(NFTA_SET_NAME, ANONYMOUS);
            writer.put_u32(NFTA_SET_FLAGS, NFT_SET_ANONYMOUS | NFT_SET_CONSTANT);
            writer.put_u32(NFTA_SET_KEY_TYPE, ICMPV6_TYPE);
            writer.put_u32(NFTA_SET_KEY_LEN, 1);
            writer.put_u32(NFTA_SET_ID, id);
            writer.nested(NFTA_SET_DESC, |writer| {
                writer.put_u32(NFTA_SET_DESC_SIZE, NEIGHBOUR_COUNT);
            });
            write_byte_order(writer, BIG_ENDIAN);
        });
        self.message(NFT_MSG_NEWSETELEM, NLM_F_CREATE, |writer| {
            writer.put_text(NFTA_SET_ELEM_LIST_TABLE, table.as_str());
            writer.put_text(NFTA_SET_ELEM_LIST_SET, ANONYMOUS);
            writer.put_u32(NFTA_SET_ELEM_LIST_SET_ID, id);
            writer.nested(NFTA_SET_ELEM_LIST_ELEMENTS, |writer| {
                for number in NEIGHBOUR_TYPES {
                    writer.nested(NFTA_LIST_ELEM, |writer| {
                        writer.nested(NFTA_SET_ELEM_KEY, |writer| {
                            writer.put_u8(NFTA_DATA_VALUE, number);
                        });
                    });
                }
            });
        });
        id
    }

    fn place(&self, set: &'a Name) -> Result<Place<'a>, Unencodable> {
        let shape = self.view.shape(set);
        Ok(Place {
            table: self.table,
            set,
            shape: shape.ok_or_else(|| Unencodable::NoSuchSet(set.clone()))?,
        })
    }

    fn next_set(&mut self) -> u32 {
        self.last_set += 1;
        self.last_set
    }

    /// A message about an object of the table, by its name alone.
    fn named(&mut self, kind: u16, [table, object]: [u16; 2], name: &Name) {
        let table_name = self.table;
        self.message(kind, 0, |writer| {
            writer.put_text(table, table_name.as_str());
            writer.put_text(object, name.as_str());
        });
    }

    fn message(&mut self, kind: u16, flags: u16, contents: impl FnOnce(&mut Writer)) {
        let header = self.header(kind, flags);
        self.writer.message(header, contents);
    }

    const fn header(&self, kind: u16, flags: u16) -> Header {
        Header {
            kind,
            flags,
            sequence: self.sequence,
            family: NFPROTO_INET,
            resource: 0,
        }
    }
}

fn write_hook(writer: &mut Writer, priority: i32) {
    writer.put_text(NFTA_CHAIN_TYPE, CHAIN_TYPE);
    writer.put_u32(NFTA_CHAIN_POLICY, NF_ACCEPT);
    writer.nested(NFTA_CHAIN_HOOK, |writer| {
        writer.put_u32(NFTA_HOOK_HOOKNUM, NF_INET_FORWARD);
        writer.put(NFTA_HOOK_PRIORITY, &priority.to_be_bytes());
    });
}

fn write_comment(writer: &mut Writer, comment: &str) {
    // The zero byte counts.
    let length = u8::try_from(comment.len() + 1).expect("a comment has at most 128 bytes");
    writer.attribute(NFTA_RULE_USERDATA, |writer| {
        writer.raw(&[COMMENT, length]);
        writer.raw(comment.as_bytes());
        writer.raw(&[0]);
    });
}
