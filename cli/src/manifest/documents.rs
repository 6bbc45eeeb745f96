//! Cuts a text at its document markers, so that a broken document does not take its neighbours along and all
//! of them can be parsed side by side.
//!
//! A line that starts with `---` and then ends or goes on with a blank is a document marker wherever it stands:
//! YAML forbids such a line inside every scalar. JSON values that simply follow each other, as `jq` prints them, are
//! documents too.

use std::ops::Range;

const MARKER: &str = "---";

/// The byte ranges of the documents, in order. Each begins with its marker, if it has one; together they are the
/// whole text.
pub(super) fn split(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    let mut has_directives_end = false;
    for marker in markers(text).filter(|marker| *marker > 0) {
        // Directives belong to the document whose marker ends them.
        if !has_directives_end && ends_directives(&text[start..marker]) {
            has_directives_end = true;
            continue;
        }
        ranges.push(start..marker);
        start = marker;
        has_directives_end = false;
    }
    ranges.push(start..text.len());
    ranges
        .into_iter()
        .flat_map(|range| split_json(text, range))
        .collect()
}

/// Cuts JSON values apart that follow each other line by line.
fn split_json(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let document = &text[range.clone()];
    let mut starts = vec![range.start];
    if document.trim_start().starts_with('{') {
        let seams = document.match_indices("}\n{");
        starts.extend(seams.map(|(offset, _)| range.start + offset + "}\n".len()));
    }
    let ends = starts.iter().skip(1).copied().chain([range.end]);
    starts
        .iter()
        .copied()
        .zip(ends)
        .map(|(start, end)| start..end)
        .collect()
}

fn markers(text: &str) -> impl Iterator<Item = usize> {
    let first = is_marker(text).then_some(0);
    let later = text.match_indices("\n---").map(|(offset, _)| offset + 1);
    first
        .into_iter()
        .chain(later.filter(|offset| is_marker(&text[*offset..])))
}

fn is_marker(rest: &str) -> bool {
    rest.strip_prefix(MARKER)
        .is_some_and(|after| after.is_empty() || after.starts_with([' ', '\t', '\n', '\r']))
}

/// Whether the text before a marker holds directives (`%YAML 1.2`) that wait for it.
fn ends_directives(before: &str) -> bool {
    let mut lines = before.trim_start_matches('\u{feff}').lines();
    lines
        .find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .is_some_and(|line| line.starts_with('%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<&str> {
        split(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn markers_cut_and_stay_with_their_document() {
        assert_eq!(
            parts("a: 1\n---\nb: 2\n--- # c\nd"),
            ["a: 1\n", "---\nb: 2\n", "--- # c\nd"]
        );
        assert_eq!(parts("---\na: 1\n---\n"), ["---\na: 1\n", "---\n"]);
    }

    #[test]
    fn json_values_that_follow_each_other_are_cut_apart() {
        assert_eq!(
            parts("{\"a\": {}}\n{\n}\n{}\n"),
            ["{\"a\": {}}\n", "{\n}\n", "{}\n"]
        );
        assert_eq!(parts("a: {b: c}\n{d: e}: f\n"), ["a: {b: c}\n{d: e}: f\n"]);
    }

    #[test]
    fn indented_or_longer_dashes_do_not_cut() {
        assert_eq!(
            parts("a: |\n  ---\n----\n---a\n"),
            ["a: |\n  ---\n----\n---a\n"]
        );
    }

    #[test]
    fn directives_stay_with_the_document_they_speak_of() {
        assert_eq!(
            parts("%YAML 1.1\n---\na\n---\nb"),
            ["%YAML 1.1\n---\na\n", "---\nb"]
        );
    }
}
