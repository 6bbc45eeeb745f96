//! What is counted for each rule of a policy, where [`Config::rule_counters`](crate::config::Config::rule_counters) asks
//! for it.
//!
//! The chains of a class look a packet up in what each rule admits by itself and count it for every rule that does, before
//! they decide about it by what all rules admit together. So a flow's first packet, and one more after each new
//! generation, counts for all rules that admit it at an end, and these decide nothing.
//!
//! A counter belongs to a rule's place in a policy, and all classes that the policy isolates count with it. It has no
//! epoch, so it goes on while pods come and go, while classes are made anew, while other policies come to isolate the
//! pods and while the rule is written anew; until the node has no isolated pod of the policy, or the policy no such rule.

use std::collections::BTreeMap;

use policy_core::{Direction, RuleId};

use crate::in_force::Traffic;
use crate::names::{Label, Name};

/// What the counters of rules have seen, by their names in the kernel.
pub type RuleCounts = BTreeMap<Name, Traffic>;

const PREFIX: &str = "rule_";

/// The name of a rule's counter: `rule_i0_shop_db_89a53f71`. Policies of different names have different ones, except
/// by accident: when what is left of the names in letters and digits is the same, and 32 bits of their hashes too.
pub fn name(rule: &RuleId) -> Name {
    let letter = match rule.direction {
        Direction::Ingress => 'i',
        Direction::Egress => 'e',
    };
    let policy = rule.policy.to_string();
    let label = Label::stable(&policy, &policy);
    Name::fixed(format!("{PREFIX}{letter}{}_{label}", rule.rule))
}

/// What was counted for each of these rules; those without a counter are left out.
pub fn by_rule(
    counts: &RuleCounts,
    rules: impl IntoIterator<Item = RuleId>,
) -> BTreeMap<RuleId, Traffic> {
    let counted = rules.into_iter().filter_map(|rule| {
        let traffic = counts.get(&name(&rule))?;
        Some((rule, *traffic))
    });
    counted.collect()
}

/// The counters of rules among these, as the kernel names them.
pub(crate) fn read<'n>(counters: impl Iterator<Item = (&'n str, Traffic)>) -> RuleCounts {
    let of_rules = counters.map(|(name, traffic)| (Name::listed(name), traffic));
    of_rules.filter(|(name, _)| is_of_rule(name)).collect()
}

/// Whether a counter of this name is a rule's.
pub(crate) fn is_of_rule(counter: &Name) -> bool {
    let rest = counter.as_str().strip_prefix(PREFIX);
    let rest = rest.and_then(|rest| rest.strip_prefix(['i', 'e'])?.split_once('_'));
    rest.is_some_and(|(number, label)| number.parse::<u32>().is_ok() && Label::new(label).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy_core::PolicyId;

    fn rule(name: &str, direction: Direction, rule: u32) -> RuleId {
        let policy = PolicyId {
            namespace: "shop".into(),
            name: name.into(),
        };
        RuleId {
            policy,
            direction,
            rule,
        }
    }

    #[test]
    fn every_rule_has_a_name_of_its_own_that_tells_that_it_is_a_rules() {
        let rules = [
            rule("web", Direction::Ingress, 0),
            rule("web", Direction::Ingress, 1),
            rule("web", Direction::Egress, 0),
            rule("web.db", Direction::Egress, 0),
            rule("web-db", Direction::Egress, 0),
            rule(&"x".repeat(253), Direction::Egress, u32::MAX),
        ];
        let names: Vec<Name> = rules.iter().map(name).collect();
        for (index, name) in names.iter().enumerate() {
            assert!(
                Name::new(name.as_str()).is_ok() && is_of_rule(name),
                "{name}"
            );
            assert!(!names[..index].contains(name), "{name}");
        }
        assert!(names[0].as_str().starts_with("rule_i0_shop_web_"));
        for other in [
            "denied",
            "evaluated_i_rule",
            "rule_x0_a",
            "rule_i_a",
            "rule_i0_",
        ] {
            assert!(!is_of_rule(&Name::fixed(other)), "{other}");
        }
    }

    #[test]
    fn counts_are_told_for_the_rules_that_are_asked_about() {
        let [first, second] = [0, 1].map(|number| rule("web", Direction::Ingress, number));
        let traffic = Traffic {
            packets: 3,
            bytes: 180,
        };
        let names = [
            name(&first),
            Name::fixed("denied"),
            Name::fixed("rule_i0_gone"),
        ];
        let counts = read(names.iter().map(|name| (name.as_str(), traffic)));
        assert_eq!(counts.len(), 2);
        let told = by_rule(&counts, [first.clone(), second]);
        assert_eq!(told, BTreeMap::from([(first, traffic)]));
    }
}
