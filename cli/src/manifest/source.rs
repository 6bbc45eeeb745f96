//! A text that was read, and the way from its bytes to lines and columns.

use std::sync::OnceLock;

/// A stretch of a [`Source`], in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

/// Where a byte stands for a human reader. Both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// One input file (or standard input) with its whole text.
#[derive(Debug)]
pub struct Source {
    name: String,
    text: String,
    line_starts: OnceLock<Vec<u32>>,
    /// For each block of [`BLOCK`] bytes, the characters before it.
    characters: OnceLock<Vec<usize>>,
}

/// Small enough to count through, large enough that the counts of all blocks cost nothing.
const BLOCK: usize = 4096;

impl Source {
    /// Takes the name that messages show and the text.
    #[must_use]
    pub fn new(name: String, text: String) -> Self {
        Self {
            name,
            text,
            line_starts: OnceLock::new(),
            characters: OnceLock::new(),
        }
    }

    /// The name that messages show: the path as given or as found below a given folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where byte `offset` stands. An offset past the end gives the end.
    pub fn position(&self, offset: u32) -> Position {
        let offset = self.floor_char_boundary(offset);
        let line = self
            .line_starts()
            .partition_point(|start| *start as usize <= offset);
        let start = self.line_starts()[line - 1] as usize;
        let column = self.characters_before(offset) - self.characters_before(start) + 1;
        Position { line, column }
    }

    /// The bytes of a line (counted from 1) without its line break; an absent line is empty.
    pub fn line(&self, line: usize) -> Span {
        let starts = self.line_starts();
        let end_of_text = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        let Some(start) = line
            .checked_sub(1)
            .and_then(|index| starts.get(index))
            .copied()
        else {
            return Span {
                start: end_of_text,
                end: end_of_text,
            };
        };
        let end = starts.get(line).map_or(end_of_text, |next| next - 1);
        Span { start, end }
    }

    /// The text of a span.
    pub fn slice(&self, span: Span) -> &str {
        let start = self.floor_char_boundary(span.start);
        let end = self.floor_char_boundary(span.end).max(start);
        &self.text[start..end]
    }

    fn floor_char_boundary(&self, offset: u32) -> usize {
        let mut offset = (offset as usize).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }

    /// Counted with the help of an index, since a file may be one long line.
    fn characters_before(&self, offset: usize) -> usize {
        // Every byte that is no continuation starts a character.
        let starts = |bytes: &[u8]| bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        let bytes = self.text.as_bytes();
        let index = self.characters.get_or_init(|| {
            let mut index = vec![0];
            for block in bytes.chunks(BLOCK) {
                index.push(index.last().copied().unwrap_or_default() + starts(block));
            }
            index
        });
        let block = offset / BLOCK;
        index[block] + starts(&bytes[block * BLOCK..offset])
    }

    /// Built on the first question, since most sources are never asked.
    fn line_starts(&self) -> &[u32] {
        self.line_starts.get_or_init(|| {
            let breaks = self.text.match_indices('\n').map(|(offset, _)| offset + 1);
            std::iter::once(0)
                .chain(breaks)
                .map(|offset| u32::try_from(offset).unwrap_or(u32::MAX))
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let source = Source::new("a".to_owned(), "ä: b\nc: dé\n".to_owned());
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(4), Position { line: 1, column: 4 });
        assert_eq!(source.position(6), Position { line: 2, column: 1 });
        assert_eq!(source.slice(source.line(2)), "c: dé");
        assert_eq!(source.slice(source.line(9)), "");
    }

    #[test]
    fn columns_are_right_in_long_lines() {
        let text = "ä".repeat(10_000) + "\nb";
        let source = Source::new("a".to_owned(), text);
        assert_eq!(source.position(19_998).column, 10_000);
        assert_eq!(source.position(8_192).column, 4_097);
        let block = Source::new("a".to_owned(), "a".repeat(BLOCK));
        assert_eq!(block.position(4_096).column, 4_097);
        assert_eq!(source.position(20_001), Position { line: 2, column: 1 });
    }

    #[test]
    fn an_offset_past_the_end_gives_the_end() {
        let source = Source::new("a".to_owned(), "a".to_owned());
        assert_eq!(source.position(99), Position { line: 1, column: 2 });
    }
}
