//! Applies what mends findings to texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use similar::TextDiff;

use crate::lint::{Edit, Finding};
use crate::manifest::Source;

/// A text before and after.
#[derive(Debug)]
pub struct Fixed {
    /// The text as it is.
    pub source: Arc<Source>,
    /// The text as it should be.
    pub text: String,
    /// How many findings that mends.
    pub count: usize,
}

impl Fixed {
    /// The difference, as `diff -u` and `git` print it.
    pub fn diff(&self) -> String {
        let name = self.source.name();
        let diff = TextDiff::from_lines(self.source.text(), &self.text);
        diff.unified_diff()
            .header(&format!("a/{name}"), &format!("b/{name}"))
            .to_string()
    }
}

/// The texts that change, by name. Of repairs that touch the same bytes the first one is made, and the others wait for
/// another run.
pub fn fix(findings: &[Finding], takes_unsafe: bool) -> Vec<Fixed> {
    let mut texts: BTreeMap<&str, (Arc<Source>, Vec<&Edit>, usize)> = BTreeMap::new();
    for finding in findings {
        let Some(repair) = &finding.repair else {
            continue;
        };
        let source = &finding.place.source;
        let is_elsewhere = |edit: &Edit| !Arc::ptr_eq(&edit.place.source, source);
        if !(repair.is_safe || takes_unsafe) || repair.edits.iter().any(is_elsewhere) {
            continue;
        }
        let entry = texts.entry(source.name());
        let (_, edits, count) = entry.or_insert_with(|| (Arc::clone(source), Vec::new(), 0));
        let touches = |edit: &Edit| edits.iter().any(|made| touch(made, edit));
        if !repair.edits.iter().any(touches) {
            edits.extend(&repair.edits);
            *count += 1;
        }
    }
    let fixed = texts.into_values().filter(|(.., count)| *count > 0);
    fixed
        .map(|(source, mut edits, count)| {
            edits.sort_by_key(|edit| edit.place.span);
            Fixed {
                text: apply(source.text(), &edits),
                source,
                count,
            }
        })
        .collect()
}

/// Whether two changes share a byte or a place.
fn touch(one: &Edit, other: &Edit) -> bool {
    let (one, other) = (one.place.span, other.place.span);
    one.start.max(other.start) < one.end.min(other.end) || one.start == other.start
}

fn apply(text: &str, edits: &[&Edit]) -> String {
    let mut fixed = String::with_capacity(text.len());
    let mut done = 0;
    for edit in edits {
        let (start, end) = (edit.place.span.start as usize, edit.place.span.end as usize);
        fixed.push_str(&text[done..start]);
        fixed.push_str(&edit.text);
        done = end;
    }
    fixed.push_str(&text[done..]);
    fixed
}
