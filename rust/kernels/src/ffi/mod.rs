//! XLA's foreign function interface: a handler is a type with `run`, given a checked view of its call.

mod call;
mod entry;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use crate::error::Error;
pub use call::{Call, Element, Operand, ResultView};
pub use entry::{Handler, entry};
