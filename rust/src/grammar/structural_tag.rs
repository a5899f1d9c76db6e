//! Structural tags: free text in which, after a trigger, only a part of a given form may follow.
//!
//! xgrammar's notation, as vLLM takes it: `{"structures": [{"begin", "schema", "end"}], "triggers": [text]}`.
//! Each `begin` begins with one of the triggers. The newer notation with a `format` is not taken.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::schema;
use super::source::{escape_one, quote, with_options};

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
    if value.get("format").is_some() {
        return Err(
            "a structural tag with a 'format' is not supported; give 'structures' and 'triggers'"
                .to_owned(),
        );
    }
    let tag: StructuralTag = serde_json::from_value(value.clone())
        .map_err(|error| format!("it is no structural tag: {error}"))?;
    if tag.structures.is_empty() || tag.triggers.iter().any(String::is_empty) {
        return Err(
            "a structural tag needs a structure, and triggers that are not empty".to_owned(),
        );
    }
    let parts = parts_by_trigger(&tag)?;
    let triggers: Vec<String> = tag.triggers.iter().map(|trigger| escape(trigger)).collect();
    let any_trigger = triggers.join("|");
    // What is free holds no trigger, and what leads to a part ends at the first one: no text can be read two ways.
    let mut lines = vec![format!(
        "start: part* FREE\nFREE: /(?s:.*)/ & ~/(?s:.*)({any_trigger})(?s:.*)/\npart: {}\n",
        numbered("part", parts.len()).join(" | ")
    )];
    for (number, (trigger, rests)) in parts.iter().enumerate() {
        let (lead, rests) = (escape(trigger), rests.join(" | "));
        lines.push(format!("part{number}: lead{number} ({rests})\n"));
        lines.push(format!("lead{number}[lazy]: /(?s:.*){lead}/\n"));
    }
    Ok(lines.concat())
}

/// What may follow each trigger that is used.
fn parts_by_trigger(tag: &StructuralTag) -> Result<BTreeMap<&str, Vec<String>>, String> {
    let mut parts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for structure in &tag.structures {
        let begins = |trigger: &&String| structure.begin.starts_with(trigger.as_str());
        let Some(trigger) = tag.triggers.iter().find(begins) else {
            return Err(format!("no trigger begins {:?}", structure.begin));
        };
        let rest = &structure.begin[trigger.len()..];
        let schema = schema::prepare(structure.schema.as_ref().unwrap_or(&Value::Bool(true)))?;
        let body = format!(
            "{} %json {} {}",
            quote(rest),
            with_options(schema),
            quote(&structure.end)
        );
        parts.entry(trigger).or_default().push(body);
    }
    Ok(parts)
}

fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}{number}")).collect()
}

/// A text in a regular expression.
fn escape(text: &str) -> String {
    let escaped: Vec<String> = text.chars().map(escape_one).collect();
    escaped.concat()
}
