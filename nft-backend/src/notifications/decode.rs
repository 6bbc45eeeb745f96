//! From netlink messages to commits.
//!
//! The kernel sends a message for each object that a transaction made or deleted, and after them one
//! that tells the generation of rules which is in force now. All of them carry the port of the sender.

use std::mem;

use super::Notice;
use super::commit::{Change, Changes, Commit, Object, Process, Way};
use crate::names::Name;
use crate::netlink::{Received, messages};

/// `NFNL_SUBSYS_NFTABLES`
const NFTABLES: u16 = 10;
/// `NFPROTO_INET`
const INET: u8 = 1;

const NEW_GENERATION: u16 = 15;
const DELETE_TABLE: u16 = 2;
/// In the messages about each kind of object the table's name is the first attribute.
const TABLE: u16 = 1;
const GENERATION: u16 = 1;
const PROCESS_ID: u16 = 2;
const PROCESS_NAME: u16 = 3;

/// Reads messages about one table. It keeps what it has read of a transaction until that ends.
#[derive(Debug)]
pub(super) struct Decoder {
    table: Name,
    changes: Changes,
    generation: Option<u32>,
}

impl Decoder {
    pub(super) fn new(table: Name) -> Self {
        Self {
            table,
            changes: Changes::default(),
            generation: None,
        }
    }

    /// The generation of nftables that was told of last, by whichever table's transaction; `None` before the first.
    pub(super) fn generation(&self) -> Option<u32> {
        self.generation
    }

    /// Tells it what generation all that is read from now on follows.
    pub(super) fn follows(&mut self, generation: Option<u32>) {
        self.generation = generation;
    }

    /// The commits that end in this datagram and touched our table.
    pub(super) fn read(&mut self, datagram: &[u8]) -> Vec<Notice> {
        messages(datagram)
            .filter_map(|message| self.message(&message))
            .map(Notice::Commit)
            .collect()
    }

    /// Forgets the transaction that was being read; parts of it were lost.
    pub(super) fn forget(&mut self) {
        self.changes = Changes::default();
        self.generation = None;
    }

    fn message(&mut self, message: &Received<'_>) -> Option<Commit> {
        let [subsystem, kind] = [message.kind() >> 8, message.kind() & 0xff];
        if subsystem != NFTABLES {
            return None;
        }
        if kind == NEW_GENERATION {
            self.generation = message.number(GENERATION);
            let changes = mem::take(&mut self.changes);
            return (!changes.is_empty()).then(|| Commit {
                port: message.port(),
                process: process(message),
                changes,
            });
        }
        if self.is_ours(message) {
            if let Some(change) = self.change(message, kind) {
                self.changes.add(change);
            }
        } else if kind == DELETE_TABLE {
            self.changes.other_tables_went = true;
        }
        None
    }

    fn is_ours(&self, message: &Received<'_>) -> bool {
        message.family() == INET
            && message.attribute(TABLE).map(text) == Some(self.table.as_str().as_bytes())
    }

    /// A kind of message that is not known counts as a change of the table: it then is compared.
    fn change(&self, message: &Received<'_>, kind: u16) -> Option<Change> {
        let named = |object, attribute| {
            let name = message.attribute(attribute).map(text).unwrap_or_default();
            (object, Name::listed(&String::from_utf8_lossy(name)))
        };
        let (object, name) = match kind {
            3 | 5 => named(Object::Chain, 3),
            6 | 8 => named(Object::Rule, 2),
            9 | 11 => named(Object::Set, 2),
            12 | 14 => named(Object::Element, 2),
            18 | 20 => named(Object::Stateful, 2),
            22 | 24 => named(Object::Flowtable, 2),
            // An answer to somebody's question is sent to him alone, and counters that are read and
            // set to zero come as another kind of message, which changes no verdict.
            21 | 25 | 34 => return None,
            _ => (Object::Table, self.table.clone()),
        };
        let way = match kind {
            2 | 5 | 8 | 11 | 14 | 20 | 24 => Way::Deleted,
            _ => Way::Added,
        };
        Some(Change { object, name, way })
    }
}

fn process(message: &Received<'_>) -> Option<Process> {
    let pid = message.attribute(PROCESS_ID)?.try_into().ok()?;
    let name = text(message.attribute(PROCESS_NAME)?);
    Some(Process {
        pid: u32::from_be_bytes(pid),
        name: String::from_utf8_lossy(name).into_owned(),
    })
}

/// A text attribute ends with a zero.
fn text(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Message;

    fn message(kind: u16, family: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = Message::request(NFTABLES << 8 | kind, family);
        for (number, value) in attributes {
            message.put(*number, value);
        }
        message.bytes().to_vec()
    }

    fn generation(pid: u32) -> Vec<u8> {
        let process = [
            (1, &[0, 0, 0, 9][..]),
            (2, &pid.to_be_bytes()),
            (3, b"nft\0"),
        ];
        message(NEW_GENERATION, 0, &process)
    }

    fn decoder() -> Decoder {
        Decoder::new(Name::table("nopal").unwrap())
    }

    fn told(datagrams: &[Vec<u8>]) -> Vec<String> {
        let mut decoder = decoder();
        let notices = datagrams.iter().flat_map(|datagram| decoder.read(datagram));
        notices.map(|notice| format!("{notice:?}")).collect()
    }

    fn one(datagrams: &[Vec<u8>]) -> Commit {
        let mut decoder = decoder();
        let mut notices = datagrams.iter().flat_map(|datagram| decoder.read(datagram));
        match (notices.next(), notices.next()) {
            (Some(Notice::Commit(commit)), None) => commit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_commit_ends_with_its_generation_and_names_what_it_touched() {
        let element = message(12, INET, &[(1, b"nopal\0"), (2, b"in4_e1\0")]);
        let rule = message(
            8,
            INET,
            &[(1, b"nopal\0"), (2, b"stamp_e1\0"), (3, &[0; 8])],
        );
        let commit = one(&[element.clone(), [element, rule, generation(77)].concat()]);
        assert_eq!(
            commit.to_string(),
            "process 77 (nft): 1 rule of stamp_e1 deleted, 2 elements of in4_e1 added"
        );
        assert!(!commit.changes.is_of_elements());
    }

    #[test]
    fn other_tables_are_passed_over_by_name_and_by_family() {
        for (family, table) in [
            (INET, &b"nopalx\0"[..]),
            (2, b"nopal\0"),
            (INET, b"filter\0"),
        ] {
            let foreign = message(12, family, &[(1, table), (2, b"in4_e1\0")]);
            assert_eq!(told(&[[foreign, generation(1)].concat()]), [""; 0]);
        }
    }

    #[test]
    fn a_table_that_goes_takes_its_contents_with_it_in_one_word() {
        let chain = message(5, INET, &[(1, b"nopal\0"), (2, &[0; 8]), (3, b"fast_e1\0")]);
        let ours = message(2, INET, &[(1, b"nopal\0")]);
        let other = message(2, 2, &[(1, b"filter\0")]);
        let alone = one(&[[chain.clone(), ours.clone(), generation(5)].concat()]);
        assert_eq!(alone.to_string(), "process 5 (nft): table nopal deleted");
        let flushed = one(&[[other, chain, ours, generation(5)].concat()]);
        assert_eq!(
            flushed.to_string(),
            "process 5 (nft): table nopal deleted, with other tables"
        );
    }

    #[test]
    fn what_is_not_known_counts_and_what_was_lost_does_not() {
        let strange = message(99, INET, &[(1, b"nopal\0")]);
        let commit = one(&[[strange.clone(), generation(5)].concat()]);
        assert!(!commit.changes.is_of_elements());
        let mut decoder = decoder();
        assert!(decoder.read(&strange).is_empty());
        decoder.forget();
        assert!(decoder.read(&generation(5)).is_empty());
    }
}
