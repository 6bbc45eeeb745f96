//! Changes of the text that mend findings: they touch the bytes that they speak of and nothing else, so that comments and
//! layout stay.

use std::sync::Arc;

use policy_core::FieldPath;

use super::LintPolicy;
use crate::manifest::{Part, Place, Span};

/// What mends a finding.
#[derive(Debug, Clone)]
pub struct Repair {
    /// The changes, all or none of them to be made.
    pub edits: Vec<Edit>,
    /// Whether the policy means the same afterwards, or what its author plainly wrote where nopal and the API server
    /// read nothing. Other repairs are guesses at what was meant.
    pub is_safe: bool,
}

/// A stretch of text, and what takes its place.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The stretch; an empty one is where the text is put in.
    pub place: Place,
    /// What takes its place.
    pub text: String,
}

impl Repair {
    /// Writes `text` for the scalar at `place`, in the quotes that it has.
    pub(super) fn scalar(place: &Place, text: &str) -> Self {
        let quote = quote_of(place);
        Self::edit(place.clone(), format!("{quote}{text}{quote}"))
    }

    /// One change.
    pub(super) fn edit(place: Place, text: String) -> Self {
        Self {
            edits: vec![Edit { place, text }],
            is_safe: true,
        }
    }

    /// Puts a field with a word or a list in brackets into a mapping, before the field at `before`, which is written there.
    pub(super) fn insert(
        policy: &LintPolicy<'_>,
        mapping: &FieldPath,
        before: &FieldPath,
        (name, value): (&str, &str),
    ) -> Option<Self> {
        let fields = &policy.policy.fields;
        let (whole, mut key) = (
            fields.place(mapping, Part::Value),
            fields.place(before, Part::Key),
        );
        // What an anchor or a merge key brings in from elsewhere is not changed here.
        let is_inside = whole.span.start <= key.span.start && key.span.end <= whole.span.end;
        let quote = quote_of(&key);
        let name = format!("{quote}{name}{quote}");
        let value = if value.starts_with('[') {
            value.to_owned()
        } else {
            format!("{quote}{value}{quote}")
        };
        let source = key.source.clone();
        let is_flow = source.slice(whole.span).starts_with('{');
        let position = key.position();
        let line = source.line(position.line);
        let margin = &source.text()[line.start as usize..key.span.start as usize];
        let is_first_in_line = margin.chars().all(|char| matches!(char, ' ' | '-'));
        key.span.end = key.span.start;
        if !is_inside && is_flow {
            return None;
        }
        if is_flow {
            return Some(Self::edit(key, format!("{name}: {value}, ")));
        }
        let indent = margin.replace('-', " ");
        is_first_in_line.then(|| Self::edit(key, format!("{name}: {value}\n{indent}")))
    }

    /// Takes out `gone`, which stands right behind `kept` in the same list or mapping. None where that would take a
    /// comment or an anchor away.
    pub(super) fn take_out(kept: &Place, gone: &Place) -> Option<Self> {
        let source = &gone.source;
        let end_of = |place: &Place| {
            let length = source.slice(place.span).trim_end().len();
            place.span.start as usize + length
        };
        if !Arc::ptr_eq(source, &kept.source) || kept.span.end > gone.span.start {
            return None;
        }
        let text = source.text();
        let (start, end) = (end_of(kept), end_of(gone));
        let between = text[start..gone.span.start as usize].trim();
        let rest = text[end..].lines().next().unwrap_or_default();
        let loses_something = text[gone.span.start as usize..end].contains(['#', '&']);
        let is_neighbour = matches!(between, "" | "-" | ",");
        if loses_something || !is_neighbour || rest.trim_start().starts_with('#') {
            return None;
        }
        let span = Span {
            start: u32::try_from(start).ok()?,
            end: u32::try_from(end).ok()?,
        };
        let place = Place {
            source: Arc::clone(source),
            span,
        };
        Some(Self::edit(place, String::new()))
    }

    /// The same as a guess at what was meant.
    pub(super) fn unsafely(mut self) -> Self {
        self.is_safe = false;
        self
    }
}

fn quote_of(place: &Place) -> &'static str {
    match place.source.slice(place.span).chars().next() {
        Some('"') => "\"",
        Some('\'') => "'",
        _ => "",
    }
}
