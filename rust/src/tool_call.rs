//! Tool calls, found in a choice's text as it comes.
//!
//! One parser reads all formats: a format is a row of a table, which says how blocks of calls begin and end and how a
//! call is written. Calls are shown by name first, then their arguments as JSON, piece by piece.

mod convert;
mod formats;
mod grammar;
mod harmony;
mod head;
mod id;
mod json_prefix;
mod json_text;
mod json_value;
mod literals;
mod malformed;
mod object;
pub(crate) mod output;
mod parameters;
mod parser;
pub(crate) mod scan;
mod schemas;
mod stage;
mod syntax;
#[cfg(test)]
mod tests;
mod types;

pub use formats::HARMONY_MARKERS;
pub use grammar::{GrammarRefusal, ToolChoice, grammar};
pub use harmony::harmony_stage;
pub use schemas::{Tool, ToolSchemas};
pub use stage::stage;
pub use syntax::ToolFormat;
