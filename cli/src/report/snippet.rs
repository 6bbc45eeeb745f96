//! A finding drawn into the text that it speaks of.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::wrap::wrap;
use crate::lint::{Finding, Severity};
use crate::manifest::{Place, Source, Span};

/// Lines that are longer (a whole object in one line of JSON) are not drawn.
const LONGEST_LINE: u32 = 400;

/// How far apart two places of one finding may lie to be drawn in one piece, in lines.
const LONGEST_WINDOW: usize = 60;

/// Draws one finding, for a terminal of so many columns if it is for one.
pub(super) fn draw(finding: &Finding, is_colored: bool, columns: Option<usize>) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    // `warning[NP101]: ` and, beside the line numbers, ` = note: `: what the lines of a text are indented by.
    let head = finding.severity.word().len() + finding.code.len() + "[]: ".len();
    let title = level
        .primary_title(wrap(&finding.message, head, columns))
        .id(finding.code);
    let window = Window::of(finding);
    let gutter = window
        .as_ref()
        .map_or(1, |window| window.last_line.to_string().len());
    let room = columns.map(|columns| columns.saturating_sub(gutter + " | ".len()));
    let window = window.map(|window| window.within(finding, room));
    let mut group = body(finding, window.as_ref(), Group::with_title(title));
    let message = |text: &str| wrap(text, gutter + " = note: ".len(), columns);
    let certainty = finding.certainty.word();
    let owner = format!("{} ({certainty})", super::findings::subject(finding));
    group = group.element(Level::NOTE.message(message(&owner)));
    for (place, label) in elsewhere(finding, window.as_ref()) {
        let (file, line) = (place.source.name(), place.position().line);
        let text = message(&format!("{file}:{line}: {label}"));
        group = group.element(Level::NOTE.message(text));
    }
    if let Some(fix) = &finding.fix {
        group = group.element(Level::HELP.message(message(fix)));
    }
    let renderer = if is_colored {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = match columns {
        Some(columns) => renderer.term_width(columns),
        None => renderer,
    };
    renderer.render(&[group])
}

fn body<'a>(finding: &'a Finding, window: Option<&Window<'a>>, group: Group<'a>) -> Group<'a> {
    let place = &finding.place;
    let Some(window) = window else {
        let position = place.position();
        let origin = Origin::path(place.source.name()).line(position.line);
        return group.element(origin.char_column(position.column));
    };
    let mut snippet = Snippet::source(without_passwords(place.source.slice(window.span)))
        .line_start(window.first_line)
        .path(place.source.name())
        .annotation(AnnotationKind::Primary.span(window.range(place)));
    for (related, label) in &finding.related {
        if window.holds(related) {
            let mark = AnnotationKind::Context.span(window.range(related));
            let label = Some(label.as_str()).filter(|label| window.has_room(label));
            snippet = snippet.annotation(mark.label(label));
        }
    }
    group.element(snippet)
}

/// A text with stars in place of the passwords of its URLs, as many as they have bytes: lines are drawn whole, and stand
/// in logs of many readers.
fn without_passwords(text: &str) -> Cow<'_, str> {
    let mut masked = Cow::Borrowed(text);
    for (found, scheme) in text.match_indices("://") {
        let start = found + scheme.len();
        let rest = &text[start..];
        let end = rest.find(|c: char| c.is_whitespace() || c == '"' || c == '\'');
        let word = &rest[..end.unwrap_or(rest.len())];
        let user = word.rfind('@').map(|at| &word[..at]).unwrap_or_default();
        if let Some(colon) = user.find(':') {
            let password = start + colon + 1..start + user.len();
            let mask = "*".repeat(password.len());
            masked.to_mut().replace_range(password, &mask);
        }
    }
    masked
}

/// The related places that are not drawn beside the finding, or not with their label.
fn elsewhere<'a>(
    finding: &'a Finding,
    window: Option<&Window<'a>>,
) -> impl Iterator<Item = &'a (Place, String)> {
    let is_drawn = move |place: &Place, label: &str| {
        window.is_some_and(|it| it.holds(place) && it.has_room(label))
    };
    let related = finding.related.iter();
    related.filter(move |(place, label)| !is_drawn(place, label))
}

/// The lines that are drawn. A snippet is cut out of its file first, so that drawing costs nothing in large files.
struct Window<'a> {
    source: &'a Source,
    first_line: usize,
    last_line: usize,
    span: Span,
    /// The longest mark and label, in characters, where the terminal is too narrow for them as they are.
    longest: Option<usize>,
}

impl<'a> Window<'a> {
    fn of(finding: &'a Finding) -> Option<Self> {
        let place = &finding.place;
        let line = place.position().line;
        let (mut first_line, mut last_line) = (line, line);
        for (other, _) in &finding.related {
            let other_line = other.position().line;
            if other.source.name() == place.source.name()
                && line.abs_diff(other_line) < LONGEST_WINDOW
            {
                first_line = first_line.min(other_line);
                last_line = last_line.max(other_line);
            }
        }
        let mut lines = (first_line..=last_line).map(|line| place.source.line(line));
        let is_drawable = lines.all(|line| line.end - line.start <= LONGEST_LINE);
        let span = Span {
            start: place.source.line(first_line).start,
            end: place.source.line(last_line).end,
        };
        is_drawable.then_some(Self {
            source: &place.source,
            first_line,
            last_line,
            span,
            longest: None,
        })
    }

    /// The same in so many columns: lines that are wider are cut, and then marks and labels have a third of the room each.
    fn within(mut self, finding: &Finding, room: Option<usize>) -> Self {
        let lines = self.source.slice(self.span).lines();
        let line = lines.map(|line| line.chars().count()).max();
        let labels = finding
            .related
            .iter()
            .map(|(_, label)| label.chars().count());
        let widest = line.unwrap_or_default() + labels.max().map_or(0, |label| label + 1);
        self.longest = room.filter(|&room| widest > room).map(|room| room / 3);
        self
    }

    fn has_room(&self, label: &str) -> bool {
        self.longest
            .is_none_or(|longest| label.chars().count() < longest)
    }

    fn holds(&self, place: &Place) -> bool {
        place.source.name() == self.source.name()
            && (self.span.start..=self.span.end).contains(&place.span.start)
    }

    /// The part of a place that lies on its first line, counted from the window's start.
    fn range(&self, place: &Place) -> Range<usize> {
        let line = self.source.line(place.position().line);
        let start = place.span.start.clamp(self.span.start, self.span.end);
        let end = place.span.end.clamp(start, line.end.max(start));
        let end = self.longest.map_or(end, |longest| {
            let mut letters = self.source.slice(Span { start, end }).char_indices();
            let cut = letters.nth(longest).map(|(length, _)| length);
            cut.and_then(|length| u32::try_from(length).ok())
                .map_or(end, |length| start + length)
        });
        (start - self.span.start) as usize..(end - self.span.start) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_are_not_drawn() {
        let text = "a: \"amqp://shop:hünt:er2@queue\" b: redis://:x@c d: http://shop@e:80/f";
        let masked = without_passwords(text);
        assert_eq!(
            masked,
            "a: \"amqp://shop:*********@queue\" b: redis://:*@c d: http://shop@e:80/f"
        );
        assert_eq!(masked.len(), text.len());
    }
}
