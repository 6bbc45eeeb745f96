//! Questions about what all policies of an input mean together. Each is answered by the algebra, for kinds of pods, and
//! so for every port and every address at once.

mod cells;
pub mod coverage;
pub mod equivalence;
pub mod exposure;
pub mod query;
pub mod selection;
