//! Text to [`Node`] trees: the parser's events, put together with bounds on depth and on what aliases expand to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, Span as Mark, Tag};

use super::plain;
use super::source::Span;
use super::tree::{Node, Reading, Value};

/// How deep collections may lie in each other. Kubernetes objects need less than 30 levels; the bound keeps every
/// recursion over a tree within the stack.
const MAX_DEPTH: usize = 200;

/// How many values the aliases of one document may stand for in all, beside one for each byte of the document: what
/// aliases expand to ("billion laughs") stays in proportion to the input.
const FREE_ALIASED_VALUES: usize = 2_000;

/// Why a document ended before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// The byte where the parser stopped.
    pub(super) offset: u32,
    /// What is wrong.
    pub(super) message: String,
}

/// Reads the documents in `text`, which begins at byte `base` of its source. Documents that are complete before an
/// error are given too.
pub(super) fn parse(text: &str, base: u32) -> (Vec<Node<'_>>, Option<SyntaxError>) {
    match plain::parse(text, base) {
        Some(root) => (vec![root], None),
        None => parse_fully(text, base),
    }
}

/// The same by the parser alone.
pub(super) fn parse_fully(text: &str, base: u32) -> (Vec<Node<'_>>, Option<SyntaxError>) {
    let mut builder = Builder {
        base,
        max_aliased_values: FREE_ALIASED_VALUES + text.len(),
        ..Builder::default()
    };
    for event in Parser::new_from_str_with_options(text, options()) {
        let outcome = match event {
            Ok((event, mark)) => builder.take(event, mark),
            Err(error) => Err(SyntaxError {
                offset: base + offset(error.marker().byte_offset()),
                message: message(error.kind(), &error.info()),
            }),
        };
        if let Err(error) = outcome {
            return (builder.documents, Some(error));
        }
    }
    (builder.documents, None)
}

fn options() -> Options {
    let mut options = granit_parser::options! {
        block_nesting_limit: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);
    options
}

fn message(kind: &ErrorKind, info: &str) -> String {
    match kind {
        ErrorKind::RecursionLimitExceeded => too_deep(),
        _ => format!("not valid YAML: {info}"),
    }
}

fn too_deep() -> String {
    format!("more than {MAX_DEPTH} lists and mappings lie in each other")
}

/// A collection whose end has not come yet.
struct Open<'t> {
    start: u32,
    anchor: usize,
    flow: bool,
    contents: Contents<'t>,
    size: Size,
}

enum Contents<'t> {
    Sequence(Vec<Node<'t>>),
    Mapping {
        pairs: Vec<(Node<'t>, Node<'t>)>,
        key: Option<Node<'t>>,
    },
}

/// What a node amounts to once its aliases are followed.
#[derive(Clone, Copy)]
struct Size {
    /// Values in it, itself included.
    values: usize,
    /// Levels of collections.
    depth: usize,
}

impl Size {
    const SCALAR: Self = Self {
        values: 1,
        depth: 0,
    };
    const EMPTY: Self = Self {
        values: 1,
        depth: 1,
    };

    fn with(self, child: Size) -> Self {
        Self {
            values: self.values.saturating_add(child.values),
            depth: self.depth.max(child.depth + 1),
        }
    }
}

#[derive(Default)]
struct Builder<'t> {
    base: u32,
    documents: Vec<Node<'t>>,
    open: Vec<Open<'t>>,
    anchors: BTreeMap<usize, (Rc<Node<'t>>, Size)>,
    aliased_values: usize,
    max_aliased_values: usize,
}

impl<'t> Builder<'t> {
    fn take(&mut self, event: Event<'t>, mark: Mark) -> Result<(), SyntaxError> {
        let span = self.span(mark);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let reading = reading(style, tag.as_deref());
                let node = Node {
                    span,
                    value: Value::Scalar { text, reading },
                };
                self.close(node, anchor, Size::SCALAR)
            }
            Event::SequenceStart(style, anchor, _) => {
                self.start(span, anchor, style, Contents::Sequence(Vec::new()));
                Ok(())
            }
            Event::MappingStart(style, anchor, _) => {
                self.start(
                    span,
                    anchor,
                    style,
                    Contents::Mapping {
                        pairs: Vec::new(),
                        key: None,
                    },
                );
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::DocumentStart(..) => {
                self.anchors.clear();
                self.aliased_values = 0;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn start(
        &mut self,
        span: Span,
        anchor: usize,
        style: granit_parser::StructureStyle,
        contents: Contents<'t>,
    ) {
        let flow = style == granit_parser::StructureStyle::Flow;
        self.open.push(Open {
            start: span.start,
            anchor,
            flow,
            contents,
            size: Size::EMPTY,
        });
    }

    fn end(&mut self, span: Span) -> Result<(), SyntaxError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let (value, last) = match open.contents {
            Contents::Sequence(items) => {
                let last = items.last().map(|item| item.span.end);
                (Value::Sequence(items), last)
            }
            Contents::Mapping { pairs, .. } => {
                let last = pairs
                    .last()
                    .map(|(key, value)| key.span.end.max(value.span.end));
                (Value::Mapping(pairs), last)
            }
        };
        // The end of a block collection is seen only where the next thing starts.
        let end = if open.flow {
            span.end
        } else {
            last.unwrap_or(open.start)
        };
        let node = Node {
            span: Span {
                start: open.start,
                end: end.max(open.start),
            },
            value,
        };
        self.close(node, open.anchor, open.size)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), SyntaxError> {
        let error = |message: String| SyntaxError {
            offset: span.start,
            message,
        };
        let Some((target, size)) = self.anchors.get(&anchor) else {
            return Err(error(
                "an alias stands inside the value that it names".to_owned(),
            ));
        };
        let (target, size) = (Rc::clone(target), *size);
        self.aliased_values = self.aliased_values.saturating_add(size.values);
        if self.aliased_values > self.max_aliased_values {
            let most = self.max_aliased_values;
            return Err(error(format!("aliases stand for more than {most} values")));
        }
        if self.open.len() + size.depth > MAX_DEPTH {
            return Err(error(too_deep()));
        }
        self.put(
            Node {
                span,
                value: Value::Alias(target),
            },
            size,
        );
        Ok(())
    }

    /// Takes a node that is complete.
    fn close(&mut self, node: Node<'t>, anchor: usize, size: Size) -> Result<(), SyntaxError> {
        if self.open.len() + size.depth > MAX_DEPTH {
            return Err(SyntaxError {
                offset: node.span.start,
                message: too_deep(),
            });
        }
        if anchor == 0 {
            self.put(node, size);
            return Ok(());
        }
        let span = node.span;
        let target = Rc::new(node);
        self.anchors.insert(anchor, (Rc::clone(&target), size));
        self.put(
            Node {
                span,
                value: Value::Alias(target),
            },
            size,
        );
        Ok(())
    }

    fn put(&mut self, node: Node<'t>, size: Size) {
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return;
        };
        open.size = open.size.with(size);
        match &mut open.contents {
            Contents::Sequence(items) => items.push(node),
            Contents::Mapping { pairs, key } => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => *key = Some(node),
            },
        }
    }

    fn span(&self, mark: Mark) -> Span {
        Span {
            start: self.base + offset(mark.start.byte_offset()),
            end: self.base + offset(mark.end.byte_offset()),
        }
    }
}

/// Sources are bounded far below 4 GiB, and a parser of borrowed text always knows its byte offsets.
fn offset(bytes: Option<usize>) -> u32 {
    bytes
        .and_then(|bytes| u32::try_from(bytes).ok())
        .unwrap_or_default()
}

fn reading(style: ScalarStyle, tag: Option<&Tag>) -> Reading {
    let typed = |tag: &Tag| {
        ["int", "float", "bool", "null"]
            .iter()
            .any(|name| tag.is_yaml_core_schema_tag(name))
    };
    match tag {
        Some(tag) if typed(tag) => Reading::Plain,
        None if style == ScalarStyle::Plain => Reading::Plain,
        Some(_) | None => Reading::Text,
    }
}

/// A node for a list entry or field that stands nowhere in the text.
impl Default for Node<'_> {
    fn default() -> Self {
        let value = Value::Scalar {
            text: Cow::Borrowed(""),
            reading: Reading::Plain,
        };
        Self {
            span: Span::default(),
            value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text, 0).1.expect("an error").message
    }

    #[test]
    fn spans_cover_values_and_keys() {
        let text = "a: {b: [1, 'x y']}\nc:\n  d: e # f\n";
        let (documents, error) = parse(text, 0);
        assert_eq!(error, None);
        let slice = |node: &Node<'_>| &text[node.span.start as usize..node.span.end as usize];
        let root = &documents[0];
        assert_eq!(slice(root.get("a").unwrap()), "{b: [1, 'x y']}");
        assert_eq!(
            slice(root.get("a").unwrap().get("b").unwrap()),
            "[1, 'x y']"
        );
        assert_eq!(slice(root.get("c").unwrap()), "d: e");
        let (entries, _) = root.entries().unwrap();
        assert_eq!(
            &text[entries[1].key.start as usize..entries[1].key.end as usize],
            "c"
        );
    }

    #[test]
    fn an_error_keeps_the_documents_before_it() {
        let (documents, error) = parse("a: 1\n...\nb: [\n", 10);
        assert_eq!(documents.len(), 1);
        assert!(error.unwrap().offset >= 10);
    }

    #[test]
    fn depth_is_bounded_in_block_flow_and_through_aliases() {
        assert!(error(&"[".repeat(10_000)).contains("more than 200"));
        let block: String = (0..10_000)
            .map(|depth| " ".repeat(depth) + "a:\n")
            .collect();
        assert!(error(&block).contains("more than 200"));
        let dashes = "- ".repeat(10_000);
        assert!(error(&dashes).contains("more than 200"));
        let mut chain = vec!["a0: &a0 [x]\n".to_owned()];
        for step in 1..1000 {
            chain.push(format!("a{step}: &a{step} [*a{}]\n", step - 1));
        }
        assert!(error(&chain.concat()).contains("more than 200"));
    }

    #[test]
    fn exploding_aliases_are_refused() {
        let mut laughs = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned()];
        for step in 1..12 {
            let alias = format!("*a{}, ", step - 1).repeat(10);
            laughs.push(format!("a{step}: &a{step} [{alias}]\n"));
        }
        assert!(error(&laughs.concat()).contains("aliases stand for more than"));
    }

    #[test]
    fn an_alias_inside_its_own_value_is_refused() {
        assert!(error("a: &a [*a]").contains("inside the value"));
    }
}
