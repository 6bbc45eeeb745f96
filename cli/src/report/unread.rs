//! What an answer says when a part of the input could not be read: it covers only the rest.

use serde_json::Value;

use crate::manifest::InputError;

/// The last line of such an answer.
const COVERS: &str = "This covers only what could be read; what could not may change it.\n";

/// The answer for people.
pub(super) fn text(mut answer: String, unread: &[InputError]) -> String {
    if !unread.is_empty() {
        answer.push('\n');
        answer.push_str(COVERS);
    }
    answer
}

/// The answer for programs: the errors are its field `unread`, which is absent when all was read.
pub(super) fn json(mut answer: Value, unread: &[InputError]) -> String {
    if !unread.is_empty() {
        answer["unread"] = unread.iter().map(super::input_error).collect();
    }
    super::json(&answer)
}
