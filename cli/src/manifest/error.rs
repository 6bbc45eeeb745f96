//! What could not be read, and where.

use std::fmt;

use policy_core::problem::{FieldPath, ObjectRef};

use super::source::Position;

/// A file, document or object that could not be read. Everything else is still read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct InputError {
    /// The file, as messages show it.
    pub file: String,
    /// The place in the file, when there is one.
    pub position: Option<Position>,
    /// The object, when it is known.
    pub object: Option<ObjectRef>,
    /// The field of the object.
    pub path: FieldPath,
    /// What is wrong.
    pub message: String,
}

impl InputError {
    /// An error that speaks of a whole file or folder.
    #[must_use]
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            position: None,
            object: None,
            path: FieldPath::root(),
            message: message.into(),
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(": ")?;
        if let Some(object) = &self.object {
            write!(f, "{object}")?;
            if self.path != FieldPath::root() {
                write!(f, " {}", self.path)?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}
