//! Texts as Lark spells them.

use serde_json::Value;

/// A literal of Lark: JSON's, where DEL is written as an escape, too.
pub(crate) fn quote(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A character of a regular expression, by its number: none then means anything else.
pub(crate) fn escape_one(sign: char) -> String {
    format!("\\x{{{:x}}}", u32::from(sign))
}

/// A text in a regular expression.
pub(crate) fn escape_text(text: &str) -> String {
    let escaped: Vec<String> = text.chars().map(escape_one).collect();
    escaped.concat()
}
