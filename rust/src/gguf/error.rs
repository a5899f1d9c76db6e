//! Why a GGUF file is refused; each text goes on a sentence that begins with the file's name.

use std::fmt;

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It is something else.
    NotGguf(String),
    /// It ends before what it describes does.
    Truncated(String),
    /// It contradicts itself or its format.
    Damaged(String),
    /// It is what it should be, and not something that is built.
    Unsupported(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGguf(why) => write!(f, "is not a GGUF file: {why}"),
            Self::Truncated(why) => write!(f, "is truncated: {why}"),
            Self::Damaged(why) => write!(f, "is damaged: {why}"),
            Self::Unsupported(why) => write!(f, "cannot be served: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// A stranger's text, as a sentence can hold it.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(64).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{}{more}", short.escape_debug())
}
