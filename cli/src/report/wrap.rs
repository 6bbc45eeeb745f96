//! Texts for a terminal that is narrower than they are long.

use std::io::IsTerminal;

/// Below this, lines of a few letters would be harder to read than lines that the terminal breaks.
const NARROWEST: usize = 16;

/// The columns of the terminal that standard output is: what `COLUMNS` says, or the terminal itself. Nothing in a pipe or
/// a file, whose readers want whole lines.
pub fn columns() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let stated = std::env::var("COLUMNS").ok();
    let stated = stated.and_then(|columns| columns.parse().ok());
    let stated = stated.filter(|&columns| columns > 0);
    stated.or_else(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)))
}

/// The text with its spaces turned into line breaks, so that after an `indent` no line is wider than `columns`. A word that
/// is wider stays whole, since it may be something to copy.
pub(super) fn wrap(text: &str, indent: usize, columns: Option<usize>) -> String {
    let Some(columns) = columns else {
        return text.to_owned();
    };
    let width = columns.saturating_sub(indent).max(NARROWEST);
    let mut wrapped = String::with_capacity(text.len());
    let mut used = 0;
    for (number, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if number > 0 && used + 1 + length > width {
            wrapped.push('\n');
            used = 0;
        } else if number > 0 {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += length;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_words_stay_whole() {
        let text = "a rule that admits [2001:db8:1:ff00::/56] alone";
        for (columns, expected) in [
            (None, text),
            (Some(80), text),
            (
                Some(24),
                "a rule that admits\n[2001:db8:1:ff00::/56]\nalone",
            ),
            (
                Some(5),
                "a rule that\nadmits\n[2001:db8:1:ff00::/56]\nalone",
            ),
        ] {
            assert_eq!(wrap(text, 0, columns), expected);
        }
        assert_eq!(
            wrap("one two three four", 6, Some(23)),
            "one two three\nfour"
        );
    }
}
