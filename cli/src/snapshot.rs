//! What policies mean as a text to commit: the same for the same meaning, whatever the files look like.
//!
//! For each pod it holds who may reach it on what, as both ends allow it, and to which addresses outside it may connect.
//! What a pod opens to pods stands at these. Each peer has a line of its own, so that a changed line is a changed
//! permission. Pods that mean the same stand together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use policy_core::Isolation;

use crate::diff::Side;
use crate::report::words::{Words, addresses};
use crate::view::{Alike, View};

/// The first line of every snapshot.
const HEAD: &str = "nopal snapshot, format 1";

/// The snapshot of a view.
#[must_use]
pub fn snapshot(view: &View) -> String {
    let words = Words::new(&view.pods);
    let mut sections: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for group in &view.groups {
        let members = sections.entry(body(group, &words)).or_default();
        members.extend(&group.pods);
    }
    let mut texts: Vec<(Vec<String>, String)> = sections
        .into_iter()
        .map(|(body, mut pods)| {
            pods.sort_unstable();
            (words.listed(&pods), body)
        })
        .collect();
    texts.sort();
    let mut text = format!("{HEAD}\n");
    for (names, body) in texts {
        let _ = write!(text, "\n{}\n{body}", names.join("\n"));
    }
    text
}

fn body(group: &Alike, words: &Words<'_>) -> String {
    let mut text = String::new();
    for ((isolation, peers), (direction, preposition)) in group
        .isolation
        .into_iter()
        .zip(&group.peers)
        .zip([("ingress", "from"), ("egress", "to")])
    {
        let state = match isolation {
            Isolation::None => "open",
            Isolation::Audited => "audited",
            Isolation::Enforced => "isolated",
        };
        let _ = writeln!(text, "  {direction} {state}");
        for (ports, side) in peers {
            for name in peer_names(group, side, direction == "ingress", words) {
                let _ = writeln!(text, "    {preposition} {name}: {ports}");
            }
        }
    }
    text
}

fn peer_names(group: &Alike, side: &Side, has_pods: bool, words: &Words<'_>) -> Vec<String> {
    let mut names = addresses(&side.addresses);
    if has_pods {
        let others = words.pods(&side.pods);
        // A pod always reaches itself, so it may be counted in where that is shorter.
        let mut all = [&group.pods[..], &side.pods].concat();
        all.sort_unstable();
        all.dedup();
        let with_itself = words.pods(&all);
        let is_shorter = with_itself.concat().len() < others.concat().len();
        let is_one = group.pods.len() == 1 && !side.pods.is_empty();
        names.extend(if is_one && is_shorter {
            with_itself
        } else {
            others
        });
    }
    names
}

/// What a snapshot holds: for each name its lines.
type Sections = BTreeMap<String, BTreeSet<String>>;

/// What differs between a snapshot that was written before and the one of now: nothing when they mean the same.
///
/// # Errors
/// The message says why the text before is no snapshot that can be compared.
pub fn compare(before: &str, now: &str) -> Result<String, String> {
    let (before, now) = (read(before)?, read(now)?);
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let mut changes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in names {
        let none = BTreeSet::new();
        let (old, new) = (
            before.get(name).unwrap_or(&none),
            now.get(name).unwrap_or(&none),
        );
        let mut text = String::new();
        match (before.contains_key(name), now.contains_key(name)) {
            (true, false) => text.push_str("  no longer listed\n"),
            (false, true) => text.push_str("  not listed before\n"),
            _ => {}
        }
        for line in new.difference(old) {
            let _ = writeln!(text, "+ {line}");
        }
        for line in old.difference(new) {
            let _ = writeln!(text, "- {line}");
        }
        if !text.is_empty() {
            changes.entry(text).or_default().push(name);
        }
    }
    let mut changes: Vec<(Vec<&str>, String)> = changes
        .into_iter()
        .map(|(text, names)| (names, text))
        .collect();
    changes.sort();
    let mut text = String::new();
    for (names, change) in changes {
        let _ = write!(text, "{}\n{change}\n", names.join("\n"));
    }
    Ok(text)
}

fn read(text: &str) -> Result<Sections, String> {
    let text = text.replace("\r\n", "\n");
    let mut lines = text.lines();
    match lines.next() {
        Some(HEAD) => {}
        Some(head) if head.starts_with("nopal snapshot") => {
            return Err(format!(
                "is of another version of nopal ({head:?}, and this one writes {HEAD:?}): look at `nopal diff`, then write it anew with --update"
            ));
        }
        _ => return Err("is no snapshot of nopal: write one with --update".to_owned()),
    }
    let mut sections = Sections::new();
    for section in lines.collect::<Vec<_>>().split(|line| line.is_empty()) {
        let (names, body): (Vec<&str>, Vec<&str>) =
            section.iter().partition(|line| !line.starts_with(' '));
        let mut direction = "";
        let mut permissions = BTreeSet::new();
        for line in body {
            if let Some(permission) = line.strip_prefix("    ") {
                permissions.insert(format!("{direction} {permission}"));
            } else {
                let state = line.trim_start();
                direction = state.split(' ').next().unwrap_or_default();
                permissions.insert(state.to_owned());
            }
        }
        for name in names {
            sections.insert(name.to_owned(), permissions.clone());
        }
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_of_each_name_and_those_alike_together() {
        let before = format!("{HEAD}\n\na/x\na/y\n  ingress open\n    from anyone: all\n");
        let now = format!(
            "{HEAD}\n\na/x\n  ingress isolated\n    from b: TCP 80\n\na/y\n  ingress isolated\n    from b: TCP 80\n\na/z\n  egress open\n"
        );
        assert_eq!(
            compare(&before, &now).unwrap(),
            "a/x\na/y\n+ ingress from b: TCP 80\n+ ingress isolated\n- ingress from anyone: all\n- ingress open\n\na/z\n  not listed before\n+ egress open\n\n"
        );
        assert_eq!(compare(&now, &now).unwrap(), "");
    }

    #[test]
    fn another_version_and_another_text_are_refused() {
        let refused = |before: &str| compare(before, HEAD).unwrap_err();
        assert!(refused("nopal snapshot, format 2\n").contains("another version"));
        assert!(refused("").contains("no snapshot"));
        assert!(refused("kind: Pod\n").contains("no snapshot"));
    }
}
