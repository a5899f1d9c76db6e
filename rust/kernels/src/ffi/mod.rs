//! XLA's foreign function interface: a handler is a type with `run`, given a checked view of its call.

pub mod c_api;
mod call;
mod entry;
mod error;

pub use call::{Call, Element, Operand, ResultView};
pub use entry::{Handler, entry};
pub use error::Error;
