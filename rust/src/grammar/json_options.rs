//! How the JSON that a schema describes is spelt.

use llguidance::JsonCompileOptions;
use serde_json::{Value, json};

/// What may stand between two parts of JSON: a space, or a new line and its indentation. Bounded, as a model that has
/// begun a run of it may never end it.
const JSON_WHITESPACE: &str = r"\x20|\x0D?\x0A[\x20\x09]{0,32}";

/// A prepared schema that says how the JSON is spelt. (llguidance reads that from the schema's root.)
pub(super) fn with_options(mut schema: Value) -> Value {
    let options = JsonCompileOptions {
        whitespace_pattern: Some(JSON_WHITESPACE.to_owned()),
        ..JsonCompileOptions::default()
    };
    match schema.as_bool() {
        Some(true) => schema = json!({}),
        Some(false) => schema = json!({"enum": []}),
        None => {}
    }
    options.apply_to(&mut schema);
    schema
}
