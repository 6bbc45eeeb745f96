//! The transactions of a change that leads packets to new chains.

use std::collections::BTreeSet;

use crate::changes::Changes;
use crate::diff::{Planned, Step};
use crate::in_force::{base_comment, digest_set, stamp_comment};
use crate::layout::set_generation;
use crate::load::{comment, create, switch};
use crate::names::{BASE, DIGEST, Name, STAMP};
use crate::placement::Placement;
use crate::ruleset::Ruleset;
use crate::transaction::Transaction;

/// Makes all chains, all maps and the sets whose elements change under a new epoch, switches to them,
/// and deletes the old ones.
pub(crate) fn steps(
    placement: &Placement<'_>,
    changes: &Changes<'_>,
    desired: &Ruleset,
) -> Planned {
    let epoch = placement.next;
    let place = |name: &Name| {
        if changes.keeps_elements(name) {
            placement.place(name)
        } else {
            name.at(epoch)
        }
    };
    let mut new = desired.clone();
    new.sets.retain(|name, _| !changes.keeps_elements(name));
    let (mut clear, mut bumped) = (None, false);
    if let Some((bits, current)) = placement.generation {
        bumped = changes.takes_away_any();
        let next = if bumped { bits.next(current) } else { current };
        clear = bits.must_clear(current, next).then_some(bits);
        set_generation(&mut new, bits, next);
        let stamp = new.chains.entry(Name::fixed(STAMP)).or_default();
        comment(stamp.rules.last_mut(), &stamp_comment(bits, next));
    }
    let mut made = new.placed(place);
    let digest = Name::fixed(DIGEST).at(epoch);
    made.sets.insert(digest, digest_set(desired.digest()));
    let mut base = made.chains.remove(&Name::fixed(BASE)).unwrap_or_default();
    comment(base.rules.first_mut(), &base_comment(epoch));

    let kept = desired
        .sets
        .keys()
        .filter(|name| changes.keeps_elements(name));
    let kept: BTreeSet<Name> = kept.map(|name| placement.place(name)).collect();
    let mut delete = Transaction::new(desired.table.clone());
    placement.remove(&mut delete, |name| !kept.contains(name));
    let create = Step::Apply(create(made));
    let switch = Step::Apply(switch(&desired.table, base, true));
    let before = [Some(create), clear.map(Step::ClearMarks), Some(switch)];
    let mut steps: Vec<Step> = before.into_iter().flatten().collect();
    steps.push(Step::Apply(delete));
    Planned { steps, bumped }
}
