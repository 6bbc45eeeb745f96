//! A short way through the YAML that tools print: block lists and mappings of scalars that each stand on one line, and
//! flow collections within a line.
//!
//! It gives the tree that the parser gives, each span included, or nothing; the text is the parser's then. So whatever
//! has a finer point to it is left to the parser: anything but printable ASCII, escapes, anchors, aliases, tags, block
//! scalars, scalars of several lines, comments behind a value, keys without a value, and all that is not valid.

mod cursor;
#[cfg(test)]
mod tests;

use super::source::Span;
use super::tree::{Node, Value};
use cursor::{Cursor, Line};

/// Collections that lie deeper in each other are the parser's, which bounds them.
const MAX_DEPTH: usize = 64;

/// Reads the one document in `text`, which begins at byte `base` of its source; `None` when it is not all plain.
pub(super) fn parse(text: &str, base: u32) -> Option<Node<'_>> {
    let after_marker = text.strip_prefix("---\n").unwrap_or(text);
    let mut cursor = Cursor::new(text, text.len() - after_marker.len(), base);
    let next = cursor.next_line()?;
    let mut reader = Reader { cursor, next };
    let root = (next == Line::At(0)).then(|| reader.block(0, 0))??;
    (reader.next == Line::End).then_some(root)
}

fn node(start: u32, end: u32, value: Value<'_>) -> Node<'_> {
    Node {
        span: Span { start, end },
        value,
    }
}

struct Reader<'t> {
    cursor: Cursor<'t>,
    /// The line that the cursor went to last.
    next: Line,
}

impl<'t> Reader<'t> {
    /// A collection whose first line begins here.
    fn block(&mut self, column: usize, depth: usize) -> Option<Node<'t>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let start = self.cursor.offset();
        let (end, value) = if self.cursor.is_entry() {
            let items = self.entries(column, depth)?;
            (items.last()?.span.end, Value::Sequence(items))
        } else {
            let pairs = self.pairs(column, depth)?;
            (pairs.last()?.1.span.end, Value::Mapping(pairs))
        };
        Some(node(start, end, value))
    }

    fn pairs(&mut self, column: usize, depth: usize) -> Option<Vec<(Node<'t>, Node<'t>)>> {
        let mut pairs = Vec::new();
        loop {
            let key = self.cursor.word()?;
            self.cursor.expect(b':')?;
            let value = if self.cursor.is_end_of_line() {
                self.next = self.cursor.next_line()?;
                self.below(column, depth + 1)?
            } else {
                self.cursor.expect(b' ')?;
                self.cursor.skip_spaces();
                self.rest_of_line(depth + 1)?
            };
            pairs.push((key, value));
            if self.next > Line::At(column) {
                return None;
            }
            if self.next < Line::At(column) || self.cursor.is_entry() {
                return Some(pairs);
            }
        }
    }

    /// The value of a key in this column that has the lines below it to itself.
    fn below(&mut self, column: usize, depth: usize) -> Option<Node<'t>> {
        let Line::At(inner) = self.next else {
            return None;
        };
        if inner > column {
            return self.block(inner, depth);
        }
        // A list may stand as far left as the key that it belongs to. The parser sees such a one begin where its first
        // entry's value does.
        if inner < column || !self.cursor.is_entry() {
            return None;
        }
        let items = self.entries(column, depth)?;
        let (start, end) = (items.first()?.span.start, items.last()?.span.end);
        Some(node(start, end, Value::Sequence(items)))
    }

    fn entries(&mut self, column: usize, depth: usize) -> Option<Vec<Node<'t>>> {
        let mut items = Vec::new();
        loop {
            self.cursor.expect(b'-')?;
            self.cursor.skip_spaces();
            items.push(if self.cursor.is_pair() {
                self.block(self.cursor.column(), depth + 1)?
            } else {
                self.rest_of_line(depth + 1)?
            });
            if self.next > Line::At(column) {
                return None;
            }
            if self.next < Line::At(column) || !self.cursor.is_entry() {
                return Some(items);
            }
        }
    }

    /// The value that fills the rest of a line.
    fn rest_of_line(&mut self, depth: usize) -> Option<Node<'t>> {
        let value = match self.cursor.peek()? {
            b'{' | b'[' => self.flow(depth)?,
            _ => self.cursor.rest_of_line()?,
        };
        if !self.cursor.is_end_of_line() {
            return None;
        }
        self.next = self.cursor.next_line()?;
        Some(value)
    }

    fn flow(&mut self, depth: usize) -> Option<Node<'t>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let start = self.cursor.offset();
        let value = if self.cursor.step_over(b'{') {
            Value::Mapping(self.flow_entries(b'}', |reader| {
                let key = reader.cursor.word()?;
                reader.cursor.expect(b':')?;
                reader.cursor.expect(b' ')?;
                reader.cursor.skip_spaces();
                Some((key, reader.flow_value(depth + 1)?))
            })?)
        } else {
            self.cursor.expect(b'[')?;
            Value::Sequence(self.flow_entries(b']', |reader| reader.flow_value(depth + 1))?)
        };
        Some(node(start, self.cursor.offset(), value))
    }

    /// What stands between commas up to `close`, which is stepped over.
    fn flow_entries<T>(
        &mut self,
        close: u8,
        mut entry: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut entries = Vec::new();
        self.cursor.skip_spaces();
        while !self.cursor.step_over(close) {
            entries.push(entry(self)?);
            self.cursor.skip_spaces();
            if self.cursor.peek()? != close {
                self.cursor.expect(b',')?;
                self.cursor.skip_spaces();
            }
        }
        Some(entries)
    }

    fn flow_value(&mut self, depth: usize) -> Option<Node<'t>> {
        match self.cursor.peek()? {
            b'{' | b'[' => self.flow(depth),
            _ => self.cursor.word(),
        }
    }
}
