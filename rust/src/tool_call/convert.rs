//! A text as JSON of the types that a schema allows.

use serde_json::Value;
use serde_json::value::RawValue;

use super::json_text::is_number;
use super::literals;
use super::types::Types;

impl Types {
    /// `text` as JSON of one of these types, strings last; as a string, too, if it is of none.
    pub(super) fn json(self, text: &str) -> String {
        self.convert(text)
            .unwrap_or_else(|| Value::from(text).to_string())
    }

    /// Whether only JSON may stand where `text` does, and it begins as an object or array: then a tag in it may be part
    /// of a string.
    pub(super) fn is_nested(self, text: &str) -> bool {
        self.has(Self::OBJECT | Self::ARRAY)
            && !self.has(Self::STRING)
            && text.trim_start().starts_with(['{', '['])
    }

    fn convert(self, text: &str) -> Option<String> {
        let text = text.trim();
        if self.has(Self::NULL) && matches!(text, "null" | "None") {
            return Some("null".to_owned());
        }
        if self.has(Self::BOOLEAN) {
            for word in ["true", "false"] {
                if text.eq_ignore_ascii_case(word) {
                    return Some(word.to_owned());
                }
            }
        }
        if self.has(Self::INTEGER | Self::NUMBER)
            && let Some(number) = self.convert_number(text)
        {
            return Some(number);
        }
        let brackets = [(Self::OBJECT, '{'), (Self::ARRAY, '[')];
        let is_nested = brackets
            .iter()
            .any(|(types, open)| self.has(*types) && text.starts_with(*open));
        is_nested.then(|| convert_nested(text)).flatten()
    }

    fn convert_number(self, text: &str) -> Option<String> {
        if !is_number(text) {
            return None;
        }
        if self.has(Self::NUMBER) || !text.contains(['.', 'e', 'E']) {
            return Some(text.to_owned());
        }
        // An integer that a model has written as 3.0.
        let value: f64 = text.parse().ok()?;
        (value.fract() == 0.0 && value.abs() < 1e15).then(|| format!("{value:.0}"))
    }
}

/// JSON as it is written, else a Python literal as JSON.
fn convert_nested(text: &str) -> Option<String> {
    if serde_json::from_str::<&RawValue>(text).is_ok() {
        return Some(text.to_owned());
    }
    let json = literals::python_value(text)?;
    serde_json::from_str::<&RawValue>(&json)
        .is_ok()
        .then_some(json)
}
