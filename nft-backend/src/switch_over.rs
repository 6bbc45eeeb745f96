//! The transactions of a change that leads packets to new chains.

use std::collections::BTreeSet;

use crate::changes::Changes;
use crate::creation::create;
use crate::delta::SetChange;
use crate::diff::{Planned, Step};
use crate::in_force::{base_comment, digest_set};
use crate::increment::replaced;
use crate::load::{begin_generation, comment, switch};
use crate::names::{BASE, DIGEST, GENERATION, Name};
use crate::placement::logical_name;
use crate::ruleset::Ruleset;
use crate::transaction::Transaction;

/// Makes all chains, all maps and the sets whose elements change under a new epoch, switches to them,
/// and deletes the old ones.
pub(crate) fn steps(changes: &Changes<'_>) -> Planned {
    let old = changes.old;
    let epoch = old.index.next;
    let mut new = made_anew(changes);
    let place = |name: &Name| match old.name(name) {
        Some(there) if keeps_elements(changes, name) => there.clone(),
        _ => name.at(epoch),
    };
    let (mut clear, mut bumped) = (None, false);
    if let Some((bits, current)) = old.index.generation {
        bumped = changes.takes_away_any();
        let next = if bumped { bits.next(current) } else { current };
        clear = bits.must_clear(current, next).then_some(bits);
        begin_generation(&mut new, bits, next);
    }
    let mut made = new.placed(place);
    let digest = Name::fixed(DIGEST).at(epoch);
    made.sets.insert(digest, digest_set(changes.delta.to));
    let mut base = made.chains.remove(&Name::fixed(BASE)).unwrap_or_default();
    comment(base.rules.first_mut(), &base_comment(epoch));

    let contents = old.contents;
    let kept = old.logical(&contents.sets);
    let kept = kept.filter(|(name, _)| keeps_elements(changes, name));
    let kept: BTreeSet<&Name> = kept.filter_map(|(name, _)| old.name(name)).collect();
    let sets = contents.sets.keys().filter(|name| !kept.contains(name));
    let chains = contents.chains.keys().filter(|name| name.as_str() != BASE);
    let gone = chains.chain(contents.maps.keys()).chain(sets);
    let mut delete = Transaction::new(contents.table.clone());
    old.remove(&mut delete, gone.cloned().collect(), changes.delta);
    let create = Step::Apply(create(made));
    let switch = Step::Apply(switch(&contents.table, base, true));
    let before = [Some(create), clear.map(Step::ClearMarks), Some(switch)];
    let mut steps: Vec<Step> = before.into_iter().flatten().collect();
    steps.push(Step::Apply(delete));
    Planned {
        steps,
        bumped,
        edits: None,
    }
}

/// Whether a set stays as it is. Chains and maps do not, nor does the set with the generation.
fn keeps_elements(changes: &Changes<'_>, name: &Name) -> bool {
    let is_there = changes.old.set(name).is_some();
    is_there && !changes.delta.sets.contains_key(name) && name.as_str() != GENERATION
}

/// All chains and maps as they will be, and the sets that change, by names without epochs.
fn made_anew(changes: &Changes<'_>) -> Ruleset {
    let (old, delta) = (changes.old, changes.delta);
    let contents = old.contents;
    let mut new = Ruleset::new(contents.table.clone());
    new.counters.clone_from(&contents.counters);
    let maps = old.logical(&contents.maps);
    new.maps = maps
        .map(|(name, map)| (name.clone(), map.rename(&logical_name)))
        .collect();
    let chains = old.logical(&contents.chains);
    new.chains = chains
        .map(|(name, chain)| (name.clone(), chain.rename(&logical_name)))
        .collect();
    delta.apply_to(&mut new);
    for (name, change) in &delta.sets {
        if let (SetChange::Changed { removed, added }, Some(set)) = (change, old.set(name)) {
            new.sets.insert(name.clone(), replaced(set, removed, added));
        }
    }
    new
}
