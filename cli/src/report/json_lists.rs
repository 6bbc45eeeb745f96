//! Long lists in JSON.

use serde_json::Value;

/// The object of these lists as [`json`](super::json) would write it, without ever holding more than one item as a value:
/// there can be very many. The names are in their alphabetical order, as those of other objects are.
pub(super) fn json_lists<const N: usize>(
    lists: [(&str, &mut dyn Iterator<Item = Value>); N],
) -> String {
    let mut text = String::from("{");
    for (index, (name, items)) in lists.into_iter().enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.extend(["  \"", name, "\": ["]);
        let mut is_empty = true;
        for item in items {
            text.push_str(if is_empty { "\n" } else { ",\n" });
            is_empty = false;
            // A text in JSON holds no line break of its own.
            let item = format!("{item:#}");
            let mut lines = item.lines().peekable();
            while let Some(line) = lines.next() {
                text += "    ";
                text += line;
                if lines.peek().is_some() {
                    text.push('\n');
                }
            }
        }
        text.push_str(if is_empty { "]" } else { "\n  ]" });
    }
    text + "\n}\n"
}

#[cfg(test)]
mod tests {
    use super::super::json as whole;
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_written_as_a_whole_object_would_be() {
        let items = [
            json!({"b": ["line\nbreak", {}], "a": null}),
            json!(1),
            json!([]),
        ];
        for (few, many) in [(0, 3), (1, 0), (2, 2)] {
            let (few, many) = (&items[..few], &items[..many]);
            let written = json_lists([
                ("errors", &mut few.iter().cloned()),
                ("findings", &mut many.iter().cloned()),
            ]);
            assert_eq!(written, whole(&json!({"errors": few, "findings": many})));
        }
    }
}
