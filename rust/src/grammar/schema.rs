//! JSON schemas before they are compiled: what cannot be enforced is refused by its name and place, never passed over.
//!
//! llguidance enforces most of JSON Schema 2020-12 and passes over keywords that the schema's draft does not know. So
//! that none is lost, every keyword is looked at here: it is enforced, says nothing about what is valid (an
//! annotation), asks for what happens anyway, or is refused. Older drafts' spellings are read as the new ones.

mod bounds;
mod disjoint;
mod formats;
mod keywords;
mod names;

use serde_json::{Map, Value};

use super::regex_classes;
pub(super) use bounds::without as without_bounds;
use keywords::{Keyword, keyword};
use names::CopyBudget;

/// A schema that can be compiled, and means the same. Tool parameters go through here, too.
///
/// # Errors
/// The reason, in one sentence with the keyword and its place, where a part of the schema cannot be enforced.
pub fn prepare(schema: &Value) -> Result<Value, String> {
    let walk = Walk {
        root: schema,
        copies: CopyBudget::default(),
    };
    walk.schema(schema, "#")
}

/// [`prepare`], for its errors alone.
///
/// # Errors
/// As there.
pub fn check(schema: &Value) -> Result<(), String> {
    prepare(schema).map(drop)
}

/// A pass over one whole schema.
struct Walk<'a> {
    /// Where local references point to.
    root: &'a Value,
    copies: CopyBudget,
}

impl Walk<'_> {
    fn schema(&self, schema: &Value, path: &str) -> Result<Value, String> {
        match schema {
            Value::Bool(_) => Ok(schema.clone()),
            Value::Object(members) => self.members(members, path).map(Value::Object),
            other => Err(format!(
                "the schema at {path} must be an object or a boolean, not {other:.40}"
            )),
        }
    }

    fn members(
        &self,
        members: &Map<String, Value>,
        path: &str,
    ) -> Result<Map<String, Value>, String> {
        check_base(members, path)?;
        let mut prepared = Map::new();
        for (name, value) in members {
            let place = format!("{path}/{name}");
            match keyword(name) {
                Keyword::Assertion => {
                    prepared.insert(name.clone(), value.clone());
                }
                Keyword::Pattern => {
                    prepared.insert(name.clone(), spelt_out(value));
                }
                Keyword::Format => formats::prepare(members, value, path, &mut prepared)?,
                Keyword::Schema => {
                    prepared.insert(name.clone(), self.schema_or_list(value, &place)?);
                }
                Keyword::Schemas => {
                    let schemas = self.list(name, value, &place)?;
                    disjoint::add_schemas(name, schemas, &mut prepared);
                }
                Keyword::NamedSchemas => {
                    prepared.insert(name.clone(), self.named(name, value, &place)?);
                }
                Keyword::OneOf => {
                    let options = self.list(name, value, &place)?;
                    disjoint::add_one_of(self.root, options, &mut prepared);
                }
                Keyword::Annotation => {}
                Keyword::Neutral(neutral) if neutral == *value => {}
                Keyword::PropertyNames if names::say_nothing(value) => {}
                Keyword::PropertyNames => names::check_place(members, path)?,
                Keyword::Neutral(_) | Keyword::Unsupported => return Err(unsupported(name, path)),
                Keyword::Unknown => return Err(unknown(name, path)),
            }
        }
        if let Some(value) = members.get("propertyNames") {
            names::apply(value, &mut prepared, path, &self.copies)?;
        }
        check_type(&prepared, path)?;
        Ok(prepared)
    }

    fn schema_or_list(&self, value: &Value, path: &str) -> Result<Value, String> {
        match value {
            Value::Array(_) => self.list("items", value, path),
            _ => self.schema(value, path),
        }
    }

    fn list(&self, name: &str, value: &Value, path: &str) -> Result<Value, String> {
        let Value::Array(schemas) = value else {
            return Err(format!("'{name}' at {path} must be an array of schemas"));
        };
        let prepare = |(index, schema)| self.schema(schema, &format!("{path}/{index}"));
        let prepared: Result<Vec<_>, _> = schemas.iter().enumerate().map(prepare).collect();
        Ok(Value::Array(prepared?))
    }

    fn named(&self, name: &str, value: &Value, path: &str) -> Result<Value, String> {
        let Value::Object(schemas) = value else {
            return Err(format!("'{name}' at {path} must be an object of schemas"));
        };
        let mut prepared = Map::new();
        for (key, schema) in schemas {
            let schema = self.schema(schema, &format!("{path}/{key}"))?;
            let is_pattern = name == "patternProperties";
            let key = if is_pattern {
                regex_classes::spelt_out(key)
            } else {
                key.clone()
            };
            prepared.insert(key, schema);
        }
        Ok(Value::Object(prepared))
    }
}

/// A pattern; what is none is the compiler's to say.
fn spelt_out(pattern: &Value) -> Value {
    let spelt = pattern.as_str().map(regex_classes::spelt_out);
    spelt.map_or_else(|| pattern.clone(), Value::String)
}

/// What a reference points to beside an `$id` is not the same in all drafts: up to draft 7 an `$id` says nothing there.
/// That of the whole schema changes nothing, as references point into it.
fn check_base(members: &Map<String, Value>, path: &str) -> Result<(), String> {
    if path == "#" || !(members.contains_key("$ref") && members.contains_key("$id")) {
        return Ok(());
    }
    Err(format!(
        "the keyword '$id' at {path} is not supported beside '$ref'"
    ))
}

const TYPES: [&str; 7] = [
    "null", "boolean", "integer", "number", "string", "array", "object",
];

fn check_type(members: &Map<String, Value>, path: &str) -> Result<(), String> {
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let is_good = match members.get("type") {
        None => true,
        Some(Value::Array(types)) => !types.is_empty() && types.iter().all(is_type),
        Some(value) => is_type(value),
    };
    if is_good {
        return Ok(());
    }
    let names = TYPES.join(", ");
    Err(format!(
        "'type' at {path} must be one of {names}, or an array of them"
    ))
}

fn unsupported(name: &str, path: &str) -> String {
    format!("the keyword '{name}' at {path} is not supported")
}

fn unknown(name: &str, path: &str) -> String {
    format!("the keyword '{name:.64}' at {path} is unknown; name an annotation 'x-…'")
}

#[cfg(test)]
mod tests;
