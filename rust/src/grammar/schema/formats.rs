//! `format`: of strings, enforced where its rule is built; of numbers an annotation.

use serde_json::{Map, Value, json};

use super::disjoint::add_schemas;

/// Enforced by llguidance as it stands.
const ENFORCED: [&str; 5] = ["duration", "ipv4", "ipv6", "uuid", "uri"];
/// Enforced by an expression of ours.
const OURS: [&str; 5] = ["date-time", "date", "time", "email", "hostname"];

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

/// A part of a host's name (RFC 1123, section 2.1), but no coded one ("xn--…"): few of these stand for anything.
const LABEL: &str = concat!(
    "[A-Za-z0-9](?:[A-Za-z0-9]?|[A-Za-z0-9-]{1,2}[A-Za-z0-9]",
    "|[A-Za-z0-9-](?:[A-Za-z0-9][A-Za-z0-9-]|-[A-Za-z0-9])[A-Za-z0-9-]{0,58}[A-Za-z0-9])"
);
/// In all (RFC 1035, section 2.3.4).
const MAX_HOST: u64 = 253;
/// Before and behind the "@" (RFC 5321, section 4.5.3.1), in words without quotes.
const LOCAL_PART: &str =
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,32}(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,15}){0,2}";

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
    let rule = match name {
        "date" => json!({"pattern": format!("^{DATE}$")}),
        "time" => json!({"pattern": format!("^{TIME}$")}),
        "date-time" => json!({"pattern": format!("^{DATE}T{TIME}$")}),
        "hostname" => {
            json!({"pattern": format!(r"^{LABEL}(?:\.{LABEL})*$"), "maxLength": MAX_HOST})
        }
        "email" => json!({
            "pattern": format!(r"^{LOCAL_PART}@(?:{LABEL}\.){{1,8}}[A-Za-z]{{2,24}}$"),
            "maxLength": MAX_HOST
        }),
        _ => {
            let known = [&OURS[..], &ENFORCED[..]].concat().join(", ");
            return Err(format!(
                "the format '{name:.64}' at {path} is not supported; these are: {known}"
            ));
        }
    };
    add_schemas("allOf", json!([rule]), prepared);
    Ok(())
}

fn may_be_string(kind: Option<&Value>) -> bool {
    match kind {
        None => true,
        Some(Value::Array(types)) => types.iter().any(|each| each == "string"),
        Some(kind) => kind == "string",
    }
}
