//! Selectors in canonical form, on a universe of labels that is small enough to try everything.

use policy_core::Labels;
use policy_core::selector::{Constraint, Selector};
use proptest::collection::vec;
use proptest::prelude::*;

const KEYS: [&str; 2] = ["app", "tier"];
/// The values that requirements name.
const NAMED: [&str; 2] = ["a", "b"];
/// The values that labels have: one of them stands for all that no requirement names.
const HELD: [Option<&str>; 4] = [None, Some("a"), Some("b"), Some("unnamed")];

/// A requirement as it is written: key, operator, values.
type Written = (usize, usize, Vec<usize>);

fn requirements() -> impl Strategy<Value = Vec<Written>> {
    vec((0..KEYS.len(), 0..4_usize, vec(0..NAMED.len(), 1..3)), 0..4)
}

fn selector(written: &[Written]) -> Selector {
    let requirement = |(key, operator, values): &Written| {
        let values = values.iter().map(|&value| NAMED[value]);
        let constraint = match operator {
            0 => Constraint::one_of(values),
            1 => Constraint::none_of(values),
            2 => Constraint::exists(),
            _ => Constraint::lacks(),
        };
        (KEYS[*key], constraint)
    };
    written.iter().map(requirement).collect()
}

/// Whether labels meet all requirements, each by the API's words.
fn meets(written: &[Written], labels: [Option<&str>; 2]) -> bool {
    written.iter().all(|(key, operator, values)| {
        let held = labels[*key];
        let is_named = held.is_some_and(|held| values.iter().any(|&value| NAMED[value] == held));
        match operator {
            0 => is_named,
            1 => !is_named,
            2 => held.is_some(),
            _ => held.is_none(),
        }
    })
}

fn universe() -> Vec<[Option<&'static str>; 2]> {
    HELD.iter()
        .flat_map(|&app| HELD.map(|tier| [app, tier]))
        .collect()
}

fn labels(held: [Option<&str>; 2]) -> Labels {
    let pairs = KEYS.into_iter().zip(held);
    pairs
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

fn matches(selector: &Selector) -> Vec<bool> {
    universe()
        .into_iter()
        .map(|held| selector.matches(&labels(held)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn a_difference_matches_what_one_matches_and_the_other_does_not(
        one in requirements(),
        other in requirements(),
    ) {
        let (one, other) = (selector(&one), selector(&other));
        let pieces: Vec<Vec<bool>> = one.difference(&other).iter().map(matches).collect();
        for (index, (of_one, of_other)) in matches(&one).into_iter().zip(matches(&other)).enumerate() {
            let found = pieces.iter().filter(|piece| piece[index]).count();
            prop_assert_eq!(found, usize::from(of_one && !of_other));
        }
    }

    #[test]
    fn a_selector_matches_what_meets_all_its_requirements(written in requirements()) {
        let met: Vec<bool> = universe().into_iter().map(|held| meets(&written, held)).collect();
        prop_assert_eq!(matches(&selector(&written)), met);
    }

    #[test]
    fn a_selector_is_satisfiable_when_some_labels_match(written in requirements()) {
        let selector = selector(&written);
        prop_assert_eq!(selector.is_satisfiable(), matches(&selector).contains(&true));
        prop_assert_eq!(selector.is_everything(), !matches(&selector).contains(&false));
    }

    #[test]
    fn satisfiable_selectors_are_equal_when_they_match_alike(a in requirements(), b in requirements()) {
        let (a, b) = (selector(&a), selector(&b));
        if a.is_satisfiable() && b.is_satisfiable() {
            prop_assert_eq!(a == b, matches(&a) == matches(&b), "{} and {}", a, b);
        }
    }

    #[test]
    fn the_order_of_requirements_says_nothing(written in requirements(), split in 0..4_usize) {
        let (head, tail) = written.split_at(split.min(written.len()));
        let turned: Vec<Written> = tail.iter().chain(head).cloned().collect();
        prop_assert_eq!(selector(&turned), selector(&written));
        prop_assert_eq!(selector(head).and(&selector(tail)), selector(&written));
    }

    #[test]
    fn the_first_unmet_constraint_is_one_that_the_labels_fail(written in requirements()) {
        let selector = selector(&written);
        for held in universe() {
            let labels = labels(held);
            match selector.unmet(&labels) {
                None => prop_assert!(selector.matches(&labels)),
                Some((key, constraint)) => prop_assert!(!constraint.admits(labels.value(key))),
            }
        }
    }
}
