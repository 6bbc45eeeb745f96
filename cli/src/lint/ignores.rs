//! What the input says to ignore: comments `# nopal: ignore NP108 (reason)` and annotations `nopal.dev/ignore`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy_core::problem::{FieldPath, ObjectRef};

use super::rules::{RULES, USELESS_IGNORE};
use super::{Finding, Findings, Input};
use crate::manifest::{Object, Part, Place, Source, Span};

const COMMENT: &str = "nopal: ignore";
const ANNOTATION: &str = "nopal.dev/ignore";

/// Leaves out the findings that the input says to ignore, and reports what ignores nothing. `ran` are the codes of the
/// rules that had their say.
pub(super) fn apply(input: &Input<'_>, findings: Findings, ran: &BTreeSet<&str>) -> Findings {
    let mut ignores = of_comments(input);
    ignores.extend(of_annotations(input));
    if ignores.is_empty() {
        return findings;
    }
    let mut by_scope: BTreeMap<(Scope, String), usize> = BTreeMap::new();
    for (index, ignore) in ignores.iter().enumerate() {
        by_scope.insert((ignore.scope.clone(), ignore.code.clone()), index);
    }
    let mut used = vec![false; ignores.len()];
    let mut kept = Findings::default();
    for finding in findings.into_list() {
        let file = finding.place.source.name().to_owned();
        let scopes = [
            Scope::Line(file, finding.place.position().line),
            Scope::Object(finding.object.clone()),
        ];
        let code = finding.code;
        let found = scopes
            .into_iter()
            .filter_map(|scope| by_scope.get(&(scope, code.to_owned())));
        let found: Vec<usize> = found.copied().collect();
        if found.is_empty() {
            kept.add(finding);
        }
        for index in found {
            used[index] = true;
        }
    }
    if ran.contains(USELESS_IGNORE.code) {
        let unused = ignores.iter().zip(used).filter(|(_, is_used)| !is_used);
        for (ignore, _) in unused {
            if let Some(finding) = useless(ignore, ran) {
                kept.add(finding);
            }
        }
    }
    kept
}

/// One code that is ignored somewhere.
struct Ignore {
    code: String,
    scope: Scope,
    place: Place,
    object: ObjectRef,
    path: FieldPath,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// A file's line.
    Line(String, usize),
    Object(ObjectRef),
}

fn useless(ignore: &Ignore, ran: &BTreeSet<&str>) -> Option<Finding> {
    let is_known = RULES.iter().any(|rule| rule.code == ignore.code);
    let message = if !is_known {
        format!("no rule is named {:?}", ignore.code)
    } else if ran.contains(ignore.code.as_str()) {
        format!("{} finds nothing here to ignore", ignore.code)
    } else {
        return None;
    };
    Some(Finding {
        code: USELESS_IGNORE.code,
        name: USELESS_IGNORE.name,
        severity: USELESS_IGNORE.severity,
        certainty: USELESS_IGNORE.certainty,
        object: ignore.object.clone(),
        path: ignore.path.clone(),
        message,
        fix: Some("remove it".to_owned()),
        repair: None,
        place: ignore.place.clone(),
        related: Vec::new(),
    })
}

fn of_annotations(input: &Input<'_>) -> Vec<Ignore> {
    let mut ignores = Vec::new();
    let annotations = FieldPath::root().field("metadata").field("annotations");
    let path = annotations.field(ANNOTATION);
    for policy in &input.policies {
        let written = policy.policy.object.metadata.annotations.as_ref();
        let Some(text) = written.and_then(|annotations| annotations.get(ANNOTATION)) else {
            continue;
        };
        ignores.extend(codes(text).map(|code| Ignore {
            code,
            scope: Scope::Object(policy.object.reference.clone()),
            place: policy.policy.fields.place(&path, Part::Key),
            object: policy.object.reference.clone(),
            path: path.clone(),
        }));
    }
    ignores
}

fn of_comments(input: &Input<'_>) -> Vec<Ignore> {
    let mut files: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
    for object in input.objects {
        let file = object.place.source.name();
        files.entry(file).or_default().push(object);
    }
    let mut ignores = Vec::new();
    for objects in files.values_mut() {
        objects.sort_unstable_by_key(|object| object.place.span.start);
        let source = &objects[0].place.source;
        for (span, text) in comments(source) {
            let after = objects.partition_point(|object| object.place.span.start <= span.start);
            let object = &objects[after.saturating_sub(1)].reference;
            let line = meant_line(source, span);
            ignores.extend(codes(text).map(|code| Ignore {
                code,
                scope: Scope::Line(source.name().to_owned(), line),
                place: Place {
                    source: Arc::clone(source),
                    span,
                },
                object: object.clone(),
                path: FieldPath::root(),
            }));
        }
    }
    ignores
}

/// The comments that say to ignore something, and what follows those words.
fn comments(source: &Source) -> impl Iterator<Item = (Span, &str)> {
    let text = source.text();
    text.match_indices(COMMENT).filter_map(move |(offset, _)| {
        let before = text[..offset]
            .trim_end_matches([' ', '\t'])
            .strip_suffix('#')?;
        if !before.is_empty() && !before.ends_with([' ', '\t', '\n', '\r']) {
            return None;
        }
        let rest = text[offset + COMMENT.len()..]
            .lines()
            .next()
            .unwrap_or_default();
        let end = offset + COMMENT.len() + rest.len();
        let span = Span {
            start: u32::try_from(before.len()).ok()?,
            end: u32::try_from(end).ok()?,
        };
        Some((span, rest))
    })
}

/// The line that a comment speaks of: its own, or the next one with content when it stands alone.
fn meant_line(source: &Source, comment: Span) -> usize {
    let own = source.position(comment.start).line;
    let is_alone = |line: usize| {
        let text = source.slice(source.line(line)).trim_start();
        text.is_empty() || text.starts_with('#')
    };
    let has_content = |line: &usize| !is_alone(*line);
    let last = source.position(u32::MAX).line;
    (own..=last).find(has_content).unwrap_or(own)
}

/// The codes before the reason, which stands in parentheses.
fn codes(text: &str) -> impl Iterator<Item = String> {
    let text = text.split('(').next().unwrap_or_default();
    let words = text.split([',', ' ', '\t', ':']).map(str::trim);
    words.filter(|word| !word.is_empty()).map(str::to_owned)
}
