//! Schemas inside Lark grammars: held to the same rules as those that come alone.

use serde_json::{Deserializer, Value};

use super::json_options::with_options;
use super::schema;

const KEYWORD: &str = "%json";

/// The grammar with what follows each `%json` prepared. The reason, in one sentence, where a schema asks for what cannot
/// be enforced.
pub(super) fn prepare(lark: &str) -> Result<String, String> {
    let mut prepared = String::new();
    let mut rest = lark;
    while let Some(place) = rest.find(KEYWORD) {
        let (before, after) = rest.split_at(place + KEYWORD.len());
        prepared.push_str(before);
        rest = after;
        let mut values = Deserializer::from_str(after).into_iter::<Value>();
        // What is no JSON is a word in a comment or a text, or an error that the compiler tells better.
        if let Some(Ok(value)) = values
            .next()
            .filter(|value| value.as_ref().is_ok_and(is_schema))
        {
            rest = &after[values.byte_offset()..];
            let schema = with_options(schema::prepare(&value)?);
            prepared.push(' ');
            prepared.push_str(&schema.to_string());
        }
    }
    prepared.push_str(rest);
    Ok(prepared)
}

const fn is_schema(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Bool(_))
}
