//! A place in a text of plain YAML, and its steps over lines and scalars.

use std::borrow::Cow;

use super::node;
use crate::manifest::tree::{Node, Reading, Value};

/// May begin a scalar that is not quoted.
const FIRST: u8 = 1;
/// May stand in a key, and in a scalar of a flow collection.
const WORD: u8 = 2;
/// May stand in a scalar that fills the rest of a line.
const LINE: u8 = 4;
/// May stand between quotes.
const QUOTED: u8 = 8;

/// What each byte may be. A colon and a dash are more than that at times.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        classes[byte as usize] = match byte {
            b'"' | b'\'' | b'\\' => LINE,
            b'#' => QUOTED,
            b':' | b'-' | b')' => WORD | LINE | QUOTED,
            b'_' | b'.' | b'/' | b'+' | b'$' | b'(' | b'~' | b'=' => FIRST | WORD | LINE | QUOTED,
            _ if byte.is_ascii_alphanumeric() => FIRST | WORD | LINE | QUOTED,
            _ => LINE | QUOTED,
        };
        byte += 1;
    }
    classes
};

fn is(byte: Option<u8>, class: u8) -> bool {
    byte.is_some_and(|byte| CLASSES[usize::from(byte)] & class != 0)
}

/// The line that a step went to: the end of the text lies left of every column.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Line {
    End,
    /// The column of its first character.
    At(usize),
}

/// The place. A step gives `None` where the text is not plain.
pub(super) struct Cursor<'t> {
    text: &'t str,
    base: u32,
    at: usize,
    /// Where the line begins.
    line: usize,
}

impl<'t> Cursor<'t> {
    /// The place before byte `at` of `text`, which begins at byte `base` of its source.
    pub(super) fn new(text: &'t str, at: usize, base: u32) -> Self {
        Self {
            text,
            base,
            at,
            line: at,
        }
    }

    /// From the end of a line to the first character of the next one that holds more than a comment.
    pub(super) fn next_line(&mut self) -> Option<Line> {
        loop {
            self.step_over(b'\n');
            self.line = self.at;
            self.skip_spaces();
            match self.peek() {
                Some(b'\n') => {}
                Some(b'#') => {
                    while is(self.peek(), LINE | QUOTED) {
                        self.at += 1;
                    }
                    if !self.is_end_of_line() {
                        return None;
                    }
                }
                Some(_) => return Some(Line::At(self.column())),
                None => return Some(Line::End),
            }
        }
    }

    /// A key, or a scalar in a flow collection.
    pub(super) fn word(&mut self) -> Option<Node<'t>> {
        self.scalar(WORD)
    }

    /// A scalar that nothing but the end of the line may follow.
    pub(super) fn rest_of_line(&mut self) -> Option<Node<'t>> {
        self.scalar(LINE)
    }

    fn scalar(&mut self, class: u8) -> Option<Node<'t>> {
        let start = self.at;
        let (text, reading) = match self.peek()? {
            quote @ (b'"' | b'\'') => (self.quoted(quote)?, Reading::Text),
            _ => (self.unquoted(class)?, Reading::Plain),
        };
        let text = Cow::Borrowed(text);
        let value = Value::Scalar { text, reading };
        Some(node(self.offset_of(start), self.offset(), value))
    }

    fn unquoted(&mut self, class: u8) -> Option<&'t str> {
        let start = self.at;
        let is_dashed = self.peek() == Some(b'-') && is(self.byte(start + 1), WORD);
        if !is(self.peek(), FIRST) && !is_dashed {
            return None;
        }
        while is(self.peek(), class) {
            // A colon ends the scalar, unless a letter or its like follows.
            if self.peek() == Some(b':') && !is(self.byte(self.at + 1), WORD) {
                break;
            }
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        (!text.ends_with(' ')).then_some(text)
    }

    fn quoted(&mut self, quote: u8) -> Option<&'t str> {
        self.at += 1;
        let start = self.at;
        while is(self.peek(), QUOTED) {
            self.at += 1;
        }
        let end = self.at;
        self.expect(quote)?;
        Some(&self.text[start..end])
    }

    /// Whether a list's entry begins here.
    pub(super) fn is_entry(&self) -> bool {
        self.peek() == Some(b'-') && self.byte(self.at + 1) == Some(b' ')
    }

    /// Whether a key with its value begins here.
    pub(super) fn is_pair(&mut self) -> bool {
        let start = self.at;
        let is_pair = self.word().is_some() && self.peek() == Some(b':');
        self.at = start;
        is_pair
    }

    pub(super) fn is_end_of_line(&self) -> bool {
        matches!(self.peek(), None | Some(b'\n'))
    }

    pub(super) fn skip_spaces(&mut self) {
        while self.step_over(b' ') {}
    }

    /// Steps over a byte that must be here.
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        self.step_over(byte).then_some(())
    }

    /// Steps over a byte if it is here, and tells whether it is.
    pub(super) fn step_over(&mut self, byte: u8) -> bool {
        let is_here = self.peek() == Some(byte);
        self.at += usize::from(is_here);
        is_here
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.byte(self.at)
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// The characters before this place in its line.
    pub(super) fn column(&self) -> usize {
        self.at - self.line
    }

    /// The byte of the source that this place is before.
    pub(super) fn offset(&self) -> u32 {
        self.offset_of(self.at)
    }

    /// Sources are bounded far below 4 GiB.
    fn offset_of(&self, at: usize) -> u32 {
        self.base + u32::try_from(at).unwrap_or_default()
    }
}
