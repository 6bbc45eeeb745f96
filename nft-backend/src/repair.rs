//! What the kernel holds, as a ruleset that [`diff`](mod@crate::diff) can lead back to the desired one.

use crate::in_force::InForce;
use crate::ruleset::Ruleset;

/// `known` with the elements that the kernel tells; `None` when anything but elements differs, or when
/// an element is in a form that we do not write, so that only a full load helps.
pub(crate) fn with_elements(known: &Ruleset, found: &InForce) -> Option<Ruleset> {
    let is_read = found.sets.values().all(|set| set.unread.is_empty())
        && found.maps.values().all(|map| map.unread.is_empty());
    if !is_read || InForce::of(known).without_elements() != found.clone().without_elements() {
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
    use crate::element::{Element, Key};
    use crate::names::Name;
    use crate::ruleset::{Chain, Set};
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
}
