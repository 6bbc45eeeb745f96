//! Where in an object lowering is. Paths are written out only for what there is something to say about: nothing, for most
//! objects.

use crate::problem::FieldPath;

/// The way to a field, as steps that each know the one before.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    /// The object itself.
    Object,
    /// The field at a path that is written out already.
    Written(&'a FieldPath),
    /// A field of a value.
    Field(&'a Path<'a>, &'a str),
    /// An entry of a list.
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    /// The path of a field of this value.
    pub(super) fn field(&'a self, name: &'a str) -> Self {
        Self::Field(self, name)
    }

    /// The path of an entry of this list.
    pub(super) fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// The path, written out.
    pub(super) fn written(&self) -> FieldPath {
        match self {
            Self::Object => FieldPath::root(),
            Self::Written(path) => (*path).clone(),
            Self::Field(value, name) => value.written().field(name),
            Self::Index(list, index) => list.written().index(*index),
        }
    }
}
