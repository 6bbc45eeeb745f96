//! What the chains of each class count, and what that says about policies.
//!
//! A class has one counter for the packets that come to it and one for those that it does not allow, whatever number of
//! policies and rules it stands for: so counting costs a packet the same in every class. Of a flow that was accepted
//! these are its first packet, and one more after each new generation; packets that the generation in force lets
//! through are not counted, which is why they cost nothing.
//!
//! The counters' names have no epoch. They live as long as the class does, through increments, switches and full loads. Pods
//! that another policy comes to isolate are another class, which begins at zero.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::PolicyId;

use crate::class_chain::Direction;
use crate::in_force::Traffic;
use crate::names::{Label, Name};
use crate::ruleset::Chain;
use crate::statement::Statement;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What comes to the class.
    Evaluated,
    /// What it denies.
    Denied,
    /// What it does not allow and lets through, because it is only audited.
    Audited,
}

/// A class of a node: its direction and its label.
pub type ClassKey = (Direction, Label);

/// The policies that isolate the pods of each class of a node.
pub type ClassPolicies = BTreeMap<ClassKey, BTreeSet<PolicyId>>;

/// What the counters of each class have seen.
pub type ClassCounts = BTreeMap<ClassKey, Counts>;

/// What was counted in one direction. A packet that is allowed here can be denied at its other end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// What was evaluated.
    pub evaluated: Traffic,
    /// What of it was denied.
    pub denied: Traffic,
    /// What of it no rule allows, and passed because only policies in audit mode isolate the pod.
    pub audited: Traffic,
}

impl Counts {
    /// The packets that some rule allows. Counters are read one after the other, so under load it can be some too few.
    pub fn allowed_packets(&self) -> u64 {
        let refused = self.denied.packets + self.audited.packets;
        self.evaluated.packets.saturating_sub(refused)
    }

    fn of(&mut self, kind: Kind) -> &mut Traffic {
        match kind {
            Kind::Evaluated => &mut self.evaluated,
            Kind::Denied => &mut self.denied,
            Kind::Audited => &mut self.audited,
        }
    }

    fn add(&mut self, other: &Self) {
        for (to, from) in [
            (&mut self.evaluated, other.evaluated),
            (&mut self.denied, other.denied),
            (&mut self.audited, other.audited),
        ] {
            to.packets += from.packets;
            to.bytes += from.bytes;
        }
    }
}

/// What was counted at the pods that each policy isolates, by direction. A packet counts for every policy that isolates
/// the pod: a denial is by all of them together, and what one of them allows the others let pass too.
///
/// Classes that `policies` does not know are left out.
pub fn by_policy(
    counts: &ClassCounts,
    policies: &ClassPolicies,
) -> BTreeMap<(PolicyId, Direction), Counts> {
    let mut sums: BTreeMap<(PolicyId, Direction), Counts> = BTreeMap::new();
    for (class, counts) in counts {
        for policy in policies.get(class).into_iter().flatten() {
            sums.entry((policy.clone(), class.0))
                .or_default()
                .add(counts);
        }
    }
    sums
}

/// The counters of classes among these, as the kernel names them.
pub(crate) fn read<'n>(counters: impl Iterator<Item = (&'n str, Traffic)>) -> ClassCounts {
    let mut counts = ClassCounts::new();
    for (name, traffic) in counters {
        if let Some((kind, class)) = read_name(name) {
            *counts.entry(class).or_default().of(kind) = traffic;
        }
    }
    counts
}

/// `denied_i_shop_db_89a53f71`
pub(crate) fn name(kind: Kind, direction: Direction, class: &Label) -> Name {
    Name::fixed(format!("{}_{}_{class}", kind.word(), direction.letter()))
}

/// Whether a counter of this name is a class's.
pub(crate) fn is_of_class(counter: &Name) -> bool {
    read_name(counter.as_str()).is_some()
}

/// The counters of classes that a chain counts with.
pub(crate) fn used_by(chain: &Chain) -> impl Iterator<Item = &Name> {
    let statements = chain.rules.iter().flat_map(|rule| &rule.statements);
    let counters = statements.filter_map(|statement| match statement {
        Statement::Counter(name) => Some(name),
        _ => None,
    });
    counters.filter(|name| is_of_class(name))
}

fn read_name(name: &str) -> Option<(Kind, ClassKey)> {
    let mut parts = name.splitn(3, '_');
    let word = parts.next()?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word)?;
    let letter = parts.next()?;
    let direction = Direction::ALL
        .into_iter()
        .find(|direction| letter.chars().eq([direction.letter()]))?;
    Some((kind, (direction, Label::new(parts.next()?).ok()?)))
}

impl Kind {
    const ALL: [Self; 3] = [Self::Evaluated, Self::Denied, Self::Audited];

    const fn word(self) -> &'static str {
        match self {
            Self::Evaluated => "evaluated",
            Self::Denied => "denied",
            Self::Audited => "audited",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(packets: u64) -> Traffic {
        Traffic {
            packets,
            bytes: 100 * packets,
        }
    }

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let long = Label::stable(&"x".repeat(400), "").distinct(usize::MAX);
        for label in [Label::stable("shop/i_db", ""), long] {
            for (kind, direction) in Kind::ALL.into_iter().zip([Direction::Egress; 3]) {
                let name = name(kind, direction, &label);
                assert!(Name::new(name.as_str()).is_ok(), "{name}");
                let read = read_name(name.as_str());
                assert_eq!(read, Some((kind, (direction, label.clone()))));
            }
        }
    }

    #[test]
    fn the_counters_around_the_classes_are_of_no_class() {
        for name in [
            "denied",
            "audited",
            "denied_",
            "denied_x_web",
            "passed_i_web",
        ] {
            assert!(!is_of_class(&Name::fixed(name)), "{name}");
        }
    }

    #[test]
    fn a_policy_has_the_sum_of_the_classes_that_it_isolates() {
        let policy = |name: &str| PolicyId {
            namespace: "shop".into(),
            name: name.into(),
        };
        let class = |text: &str| (Direction::Ingress, Label::new(text).unwrap());
        let policies = ClassPolicies::from([
            (class("a"), BTreeSet::from([policy("all")])),
            (class("b"), BTreeSet::from([policy("all"), policy("db")])),
        ]);
        let counters = [
            ("evaluated_i_a", traffic(5)),
            ("denied_i_a", traffic(2)),
            ("evaluated_i_b", traffic(7)),
            ("audited_i_b", traffic(3)),
            ("evaluated_i_gone", traffic(9)),
            ("denied", traffic(2)),
        ];
        let sums = by_policy(&read(counters.into_iter()), &policies);
        let of = |name| sums[&(policy(name), Direction::Ingress)];
        assert_eq!(sums.len(), 2);
        assert_eq!(of("all").evaluated, traffic(12));
        assert_eq!(of("all").denied, traffic(2));
        assert_eq!(of("all").audited, traffic(3));
        assert_eq!(of("all").allowed_packets(), 7);
        assert_eq!(of("db").allowed_packets(), 4);
    }
}
