//! Structural tags: free text in which, after a trigger, only a part of a given form may follow.
//!
//! xgrammar's notation, as vLLM takes it: `{"structures": [{"begin", "schema", "end"}], "triggers": [text]}`.
//! Each `begin` begins with one of the triggers. Of the newer notation, with a `format`, a part is taken (`format`).

mod format;
mod triggers;

use serde::Deserialize;
use serde_json::Value;

use super::json_options::with_options;
use super::lark_text::quote;
use super::schema;
use triggers::{Part, triggered};

#[derive(Deserialize)]
struct StructuralTag {
    structures: Vec<Structure>,
    triggers: Vec<String>,
}

#[derive(Deserialize)]
struct Structure {
    begin: String,
    #[serde(default)]
    schema: Option<Value>,
    #[serde(default)]
    end: String,
}

/// The Lark grammar. The reason, in one sentence, where the value is at fault.
pub(super) fn to_lark(value: &Value) -> Result<String, String> {
    if let Some(format) = value.get("format") {
        return format::to_lark(format);
    }
    let tag: StructuralTag = serde_json::from_value(value.clone())
        .map_err(|error| format!("it is no structural tag: {error}"))?;
    let parts: Result<Vec<Part>, String> = tag.structures.into_iter().map(part).collect();
    let triggers: Vec<&str> = tag.triggers.iter().map(String::as_str).collect();
    triggered(&triggers, &parts?)
}

fn part(structure: Structure) -> Result<Part, String> {
    let schema = schema::prepare(structure.schema.as_ref().unwrap_or(&Value::Bool(true)))?;
    let end = quote(&structure.end);
    Ok(Part {
        begin: structure.begin,
        rest: format!("%json {} {end}", with_options(schema)),
    })
}
