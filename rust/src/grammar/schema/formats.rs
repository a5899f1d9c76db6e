//! `format`: of strings, enforced where its rule is built; of numbers an annotation.

use serde_json::{Map, Value, json};

use super::disjoint::add_schemas;

/// Enforced by llguidance as it stands.
const ENFORCED: [&str; 7] = [
    "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri",
];
/// Enforced by an expression of ours.
const DATES: [&str; 3] = ["date-time", "date", "time"];

/// `OpenAPI`'s, and those that generators write for numbers: hints to a reader.
const HINTS: [&str; 18] = [
    "int8", "int16", "int32", "int64", "int128", "int", "uint8", "uint16", "uint32", "uint64",
    "uint128", "uint", "float", "double", "decimal", "number", "password", "binary",
];

/// A day that is in the calendar (RFC 3339, section 5.7), from the year 1 on, as Python's `datetime` has it.
const DATE: &str = concat!(
    "(?:(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)-(?:",
    "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))",
    "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)"
);
/// Without leap seconds, which few parsers take.
const TIME: &str = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";

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
    if ENFORCED.contains(&name) {
        prepared.insert("format".to_owned(), value.clone());
        return Ok(());
    }
    let pattern = match name {
        "date" => format!("^{DATE}$"),
        "time" => format!("^{TIME}$"),
        "date-time" => format!("^{DATE}T{TIME}$"),
        _ => {
            let known = [&DATES[..], &ENFORCED[..]].concat().join(", ");
            return Err(format!(
                "the format '{name:.64}' at {path} is not supported; these are: {known}"
            ));
        }
    };
    add_schemas("allOf", json!([{ "pattern": pattern }]), prepared);
    Ok(())
}

fn may_be_string(kind: Option<&Value>) -> bool {
    match kind {
        None => true,
        Some(Value::Array(types)) => types.iter().any(|each| each == "string"),
        Some(kind) => kind == "string",
    }
}
