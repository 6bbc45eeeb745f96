//! Labels that are nearly those that pods have.

use policy_core::selector::Values;
use policy_core::{Labels, Selector};

use super::world::is_injected;

/// A label that is wanted, and the one that pods have in its place.
pub(crate) struct Miss<'l> {
    /// As the selector has it.
    pub(crate) wanted: (&'l str, &'l str),
    /// As the pod has it.
    pub(crate) held: (&'l str, &'l str),
}

/// The wanted label and the one that looks like it, where all else matches. What is known is a label of some pod.
pub(crate) fn only_miss<'l>(
    selector: &'l Selector,
    labels: &'l Labels,
    is_known: &dyn Fn((&str, &str)) -> bool,
) -> Option<Miss<'l>> {
    let mut unmet = selector
        .constraints()
        .filter(|(key, constraint)| !constraint.admits(labels.value(key)));
    let (key, constraint) = unmet.next()?;
    let Values::Only(values) = &constraint.values else {
        return None;
    };
    if unmet.next().is_some() || constraint.may_lack || values.is_empty() {
        return None;
    }
    let like = |(held_key, held): (&'l str, &'l str)| {
        let wanted = values.iter().find(|value| {
            if held_key == key {
                looks_like(value, held)
                    || (looks_like_short(value, held) && !is_known((key, value)))
            } else {
                is_same_key(key, held_key) && ***value == *held
            }
        })?;
        Some(Miss {
            wanted: (key, wanted),
            held: (held_key, held),
        })
    };
    let mut held = labels.iter().filter(|(key, _)| !is_injected(key));
    held.find_map(like)
}

/// Whether a value is another one with a typing error: another case, or one letter in four changed at most.
fn looks_like(wanted: &str, held: &str) -> bool {
    let most = wanted.chars().count().min(held.chars().count()) / 4;
    wanted.eq_ignore_ascii_case(held)
        || (differs_in_letters(wanted, held) && strsim::osa_distance(wanted, held) <= most.min(2))
}

/// Whether a name of two or three letters is another one with a slip of the fingers: a letter doubled, left out from within,
/// or swapped with its neighbour. Any other letter in its place makes another name (`api`, `app`), and so does one more at
/// an end (`db`, `dbs`).
fn looks_like_short(wanted: &str, held: &str) -> bool {
    let [wanted, held] = [wanted, held].map(|name| name.chars().collect::<Vec<_>>());
    let shorter = wanted.len().min(held.len());
    if !(2..=3).contains(&shorter) || wanted.iter().chain(&held).any(|c| !c.is_ascii_lowercase()) {
        return false;
    }
    match wanted.len().abs_diff(held.len()) {
        0 => shorter == 3 && is_swapped(&wanted, &held),
        1 if wanted.len() > held.len() => has_slip(&wanted, &held),
        1 => has_slip(&held, &wanted),
        _ => false,
    }
}

/// Whether a name of four letters or more is another one with a slip of the fingers: a letter doubled or left out from
/// within, or swapped with its neighbour. Any other difference makes another name (`team-a`, `team-b`).
pub(super) fn is_slip(wanted: &str, held: &str) -> bool {
    let [wanted, held] = [wanted, held].map(|name| name.chars().collect::<Vec<_>>());
    let is_near = match wanted.len().abs_diff(held.len()) {
        0 => is_swapped(&wanted, &held),
        1 if wanted.len() > held.len() => has_slip(&wanted, &held),
        1 => has_slip(&held, &wanted),
        _ => false,
    };
    let is_number = |letter: &char| letter.is_ascii_digit();
    let numbers = [&wanted, &held].map(|name| name.iter().filter(|c| is_number(c)).count());
    is_near && wanted.len().min(held.len()) >= 4 && numbers[0] == numbers[1]
}

/// Whether two neighbours of one are swapped in the other.
fn is_swapped(one: &[char], other: &[char]) -> bool {
    (1..one.len()).any(|index| {
        let mut swapped = one.to_vec();
        swapped.swap(index - 1, index);
        one != other && swapped == other
    })
}

/// Whether the longer name is the other with a letter more, which is either within it or doubles its neighbour.
fn has_slip(longer: &[char], shorter: &[char]) -> bool {
    (0..longer.len()).any(|index| {
        let is_within = 0 < index && index < longer.len() - 1;
        let is_doubled = index > 0 && longer[index] == longer[index - 1];
        let rest = longer[..index].iter().chain(&longer[index + 1..]);
        (is_within || is_doubled) && rest.eq(shorter)
    })
}

/// Names that differ in a number alone (`web-1`, `web-2`) are different names.
fn differs_in_letters(wanted: &str, held: &str) -> bool {
    let letters = |text: &str| -> String {
        text.chars()
            .filter(|letter| !letter.is_ascii_digit())
            .collect()
    };
    letters(wanted) != letters(held)
}

/// The keys under which pods usually have the name of their application.
const OF_APPLICATION: [&str; 5] = ["app", "app.kubernetes.io/name", "k8s-app", "name", "run"];

/// Whether keys differ in their prefix or by a typing error alone, or both are usual ones for the name of an application.
fn is_same_key(wanted: &str, held: &str) -> bool {
    let name = |key: &str| key.rsplit('/').next().unwrap_or_default().to_owned();
    let are_of_application = [wanted, held]
        .iter()
        .all(|key| OF_APPLICATION.contains(key));
    wanted != held
        && (are_of_application
            || name(wanted).eq_ignore_ascii_case(&name(held))
            || looks_like(wanted, held)
            || looks_like_short(wanted, held))
}
