//! What the kernel holds, as a ruleset that [`diff`](mod@crate::diff) can lead back to the desired one.
//!
//! Not when the set with the generation is another: flows may carry, or have got rid of, a mark that no change of ours
//! accounts for. A load makes a new set, with the next generation.

use crate::element::Key;
use crate::in_force::InForce;
use crate::names::Name;
use crate::ruleset::{Ruleset, Set};

/// `known` with the elements that the kernel tells; `None` when anything but elements differs, or when
/// an element is in a form that we do not write, so that only a full load helps.
pub(crate) fn with_elements(known: &Ruleset, found: &InForce) -> Option<Ruleset> {
    let is_read = found.sets.values().all(|set| set.unread.is_empty())
        && found.maps.values().all(|map| map.unread.is_empty());
    if !is_read || InForce::of(known).without_elements() != found.clone().without_elements() {
        return None;
    }
    let mut marks = known.sets.iter().filter(|(_, set)| set.key == Key::Mark);
    let same = |(name, set): (&Name, &Set)| {
        let found = found.sets.get(name);
        found.is_some_and(|found| found.elements == set.elements)
    };
    if !marks.all(same) {
        return None;
    }
    let mut ruleset = known.clone();
    for (name, set) in &mut ruleset.sets {
        set.elements.clone_from(&found.sets.get(name)?.elements);
    }
    for (name, map) in &mut ruleset.maps {
        map.entries.clone_from(&found.maps.get(name)?.entries);
    }
    Some(ruleset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Element;
    use crate::ruleset::Chain;
    use crate::statement::{Rule, Statement};
    use crate::value::{AddressRange, Family};

    fn known() -> Ruleset {
        let mut ruleset = Ruleset::new(Name::fixed("nopal"));
        let set = Set::new(Key::Address(Family::V4), false);
        ruleset.sets.insert(Name::fixed("s_e1"), set);
        let chain = Chain::new([Rule::new([Statement::Drop])]);
        ruleset.chains.insert(Name::fixed("c_e1"), chain);
        ruleset
    }

    #[test]
    fn elements_are_taken_over() {
        let mut changed = known();
        let element = Element::Address(AddressRange::single("10.0.0.1".parse().unwrap()));
        let set = changed.sets.get_mut(&Name::fixed("s_e1")).unwrap();
        set.elements.insert(element);
        assert_eq!(
            with_elements(&known(), &InForce::of(&changed)),
            Some(changed)
        );
    }

    #[test]
    fn anything_else_needs_a_load() {
        let known = known();
        let found = InForce::of(&known);
        let [mut unread, mut rule, mut stranger] = [found.clone(), found.clone(), found];
        let name = Name::fixed("s_e1");
        let unread_set = unread.sets.get_mut(&name).unwrap();
        unread_set.unread.push("10.0.0.1 timeout 5s".to_owned());
        let chain = rule.chains.get_mut(&Name::fixed("c_e1")).unwrap();
        chain.rules.push(None);
        stranger.others.insert("flowtable f".to_owned());
        for found in [unread, rule, stranger] {
            assert_eq!(with_elements(&known, &found), None);
        }
    }

    #[test]
    fn another_generation_needs_a_load() {
        let name = Name::fixed("generation_e1");
        let with = |marks: &[u32]| {
            let mut ruleset = known();
            let mut set = Set::new(Key::Mark, false);
            set.elements = marks.iter().copied().map(Element::Mark).collect();
            ruleset.sets.insert(name.clone(), set);
            ruleset
        };
        let known = with(&[1]);
        assert_eq!(
            with_elements(&known, &InForce::of(&known)),
            Some(known.clone())
        );
        for marks in [&[][..], &[0, 1], &[2]] {
            assert_eq!(with_elements(&known, &InForce::of(&with(marks))), None);
        }
    }
}
