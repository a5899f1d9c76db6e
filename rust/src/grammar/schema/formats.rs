//! `format`: of strings, enforced where its rule is built; of numbers an annotation.

use serde_json::{Map, Value};

/// Enforced by llguidance.
const ENFORCED: [&str; 10] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
];

/// `OpenAPI`'s, and those that generators write for numbers: hints to a reader.
const HINTS: [&str; 18] = [
    "int8", "int16", "int32", "int64", "int128", "int", "uint8", "uint16", "uint32", "uint64",
    "uint128", "uint", "float", "double", "decimal", "number", "password", "binary",
];

pub(super) fn prepare(
    members: &Map<String, Value>,
    value: &Value,
    path: &str,
    prepared: &mut Map<String, Value>,
) -> Result<(), String> {
    let Some(name) = value.as_str() else {
        return Err(format!("'format' at {path} must be a string"));
    };
    if !may_be_string(members.get("type")) || HINTS.contains(&name) {
        return Ok(());
    }
    if !ENFORCED.contains(&name) {
        let known = ENFORCED.join(", ");
        return Err(format!(
            "the format '{name:.64}' at {path} is not supported; these are: {known}"
        ));
    }
    prepared.insert("format".to_owned(), value.clone());
    Ok(())
}

fn may_be_string(kind: Option<&Value>) -> bool {
    match kind {
        None => true,
        Some(Value::Array(types)) => types.iter().any(|each| each == "string"),
        Some(kind) => kind == "string",
    }
}
