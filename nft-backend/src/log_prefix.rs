//! What log messages about packets begin with that a class does not allow: written by the rules, read by who listens.

use std::fmt;

use crate::class_chain::{Direction, Way};
use crate::names::Label;

/// The kernel takes a prefix of 127 bytes.
const LONGEST: usize = 127;
/// What stands around the class in the longest prefix.
const AROUND: usize = "nopal-audit ingress-reply  ".len();
/// A label that is cut keeps its end, which is what tells it from others.
const KEPT_END: usize = 24;
/// Stands where a label was cut; no label has it.
const CUT: char = '~';

/// What becomes of a packet that a class does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It is dropped or rejected.
    Denied,
    /// It passes: its class is only audited.
    Audited,
}

/// Who refused a packet: `nopal-deny ingress shop_db_1c0a2d3f `.
///
/// The text has at most 127 bytes and ends with a blank, because the kernel's own log goes on behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPrefix {
    /// What becomes of the packet.
    pub refusal: Refusal,
    /// The direction that the class is for, as seen from its pod.
    pub direction: Direction,
    /// Whether the packet goes back from its flow's destination, so that its source and destination stand for each
    /// other's.
    pub is_reply: bool,
    /// The class's label, which begins with its first policy; a long one with `~` in place of its middle.
    pub class: String,
}

impl LogPrefix {
    pub(crate) fn new(refusal: Refusal, direction: Direction, way: Way, class: &Label) -> Self {
        Self {
            refusal,
            direction,
            is_reply: way == Way::Reversed,
            class: cut(class.as_str()),
        }
    }

    /// Reads a prefix; `None` for one that no rule of ours writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let refusal = match words.next()? {
            "nopal-deny" => Refusal::Denied,
            "nopal-audit" => Refusal::Audited,
            _ => return None,
        };
        let (direction, is_reply) = match words.next()? {
            "ingress" => (Direction::Ingress, false),
            "ingress-reply" => (Direction::Ingress, true),
            "egress" => (Direction::Egress, false),
            "egress-reply" => (Direction::Egress, true),
            _ => return None,
        };
        let class = words.next().filter(|class| !class.is_empty())?.to_owned();
        let ends = matches!((words.next(), words.next()), (None | Some(""), None));
        ends.then_some(Self {
            refusal,
            direction,
            is_reply,
            class,
        })
    }
}

impl fmt::Display for LogPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refusal = match self.refusal {
            Refusal::Denied => "deny",
            Refusal::Audited => "audit",
        };
        let reply = if self.is_reply { "-reply" } else { "" };
        write!(
            f,
            "nopal-{refusal} {}{reply} {} ",
            self.direction, self.class
        )
    }
}

/// The label, or its beginning and its end. Labels are of ASCII letters, digits and underscores.
fn cut(label: &str) -> String {
    let longest = LONGEST - AROUND;
    if label.len() <= longest {
        return label.to_owned();
    }
    let start = &label[..longest - KEPT_END - CUT.len_utf8()];
    let end = &label[label.len() - KEPT_END..];
    format!("{start}{CUT}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(class: &Label) -> Vec<LogPrefix> {
        let mut prefixes = Vec::new();
        for refusal in [Refusal::Denied, Refusal::Audited] {
            for direction in Direction::ALL {
                for way in [Way::Original, Way::Reversed] {
                    prefixes.push(LogPrefix::new(refusal, direction, way, class));
                }
            }
        }
        prefixes
    }

    #[test]
    fn what_is_written_is_read_and_no_longer_than_the_kernel_takes() {
        let long = "p".repeat(300);
        let classes = ["shop/db", long.as_str()].map(|text| Label::stable(text, text));
        for class in &classes {
            for prefix in every(class) {
                let text = prefix.to_string();
                assert!(text.len() <= 127, "{text}");
                assert_eq!(LogPrefix::parse(&text), Some(prefix.clone()));
                assert_eq!(LogPrefix::parse(text.trim_end()), Some(prefix));
            }
        }
        let longest = every(&classes[1]).iter().map(|p| p.to_string().len()).max();
        assert_eq!(longest, Some(127));
    }

    #[test]
    fn labels_that_are_cut_still_differ() {
        let text = "p".repeat(300);
        let [one, other] = ["a", "b"].map(|identity| {
            let label = Label::stable(&text, identity);
            LogPrefix::new(Refusal::Denied, Direction::Ingress, Way::Original, &label)
        });
        assert_ne!(one, other);
        assert!(one.class.contains(CUT));
    }

    #[test]
    fn the_prefix_of_somebody_else_is_not_read() {
        for text in [
            "",
            "nopal-deny",
            "nopal-deny ingress",
            "nopal-deny ingress ",
            "nopal-deny sideways shop_db ",
            "nopal-deny ingress shop_db  ",
            "nopal-deny ingress shop_db and more",
            "calico-drop ingress shop_db ",
        ] {
            assert_eq!(LogPrefix::parse(text), None, "{text:?}");
        }
    }
}
