//! Constrained output: grammars compiled for one model's tokens, and the masks of many rows at once.
//!
//! A grammar is compiled once (`factory`), within limits of size and time, and kept by its text. Each row that writes
//! under it has a matcher of its own, which a small pool of threads moves on by one token and asks for the next mask
//! (`rows`). The work is the crate llguidance's; what is here are its limits, the kinds of grammar that the wire
//! knows, and what comes before the constraint (`thought`). Knows no HTTP, no hub and no Python.

mod compiled;
mod ebnf;
mod environment;
mod factory;
mod inline_json;
mod json_options;
mod kept;
mod lark_size;
pub(crate) mod lark_text;
mod long_tokens;
mod mask_words;
mod regex_classes;
mod rows;
pub mod schema;
mod source;
mod structural_tag;
mod thought;
mod twin;
mod work;

pub use compiled::Grammar;
pub use environment::EnvironmentError;
pub use factory::{CompileLimits, GrammarError, GrammarFactory};
pub use rows::{GrammarRows, Taken};
pub use source::Kind;
pub use thought::Thought;

#[cfg(test)]
mod tests;
