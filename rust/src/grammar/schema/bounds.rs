//! Strings with a greatest length, and the same schema without it.
//!
//! A lexer that counts characters is in a new state after each, so that nothing it has found is of use again; one that
//! does not count stays where it is. Far from the bound both allow the same, so the cheap one may be asked (`twin`).
//! That holds only where nothing but its length limits such a string: schemas in which several parts may describe one
//! value are left alone.

use serde_json::{Map, Value};

/// A prepared schema without its greatest lengths, and the least of these.
pub(in crate::grammar) struct Unbounded {
    pub(in crate::grammar) schema: Value,
    pub(in crate::grammar) least_max_length: usize,
}

/// What may stand beside `maxLength` in a string that only its length limits.
const OF_PLAIN_STRINGS: [&str; 3] = ["type", "minLength", "maxLength"];
/// Keywords by which two parts of a schema describe one value.
const OVERLAPPING: [&str; 9] = [
    "allOf",
    "oneOf",
    "not",
    "if",
    "dependentSchemas",
    "patternProperties",
    "propertyNames",
    "$dynamicRef",
    "contains",
];
/// Types whose values cannot be taken for the start of a string, a list or an object.
const SCALARS: [&str; 4] = ["null", "boolean", "integer", "number"];

/// None where no string is bounded, or parts of the schema overlap.
pub(in crate::grammar) fn without(schema: &Value) -> Option<Unbounded> {
    let mut walk = Walk {
        least: usize::MAX,
        overlaps: false,
    };
    let schema = walk.schema(schema);
    let least_max_length = walk.least;
    let is_of_use = !walk.overlaps && least_max_length < usize::MAX;
    is_of_use.then_some(Unbounded {
        schema,
        least_max_length,
    })
}

struct Walk {
    least: usize,
    overlaps: bool,
}

impl Walk {
    fn schema(&mut self, schema: &Value) -> Value {
        let Value::Object(members) = schema else {
            return schema.clone();
        };
        self.overlaps |= overlaps(members);
        let bound = plain_bound(members);
        let mut without = Map::new();
        for (name, value) in members {
            if name == "maxLength" && bound.is_some() {
                continue;
            }
            without.insert(name.clone(), self.member(name, value));
        }
        self.least = self.least.min(bound.unwrap_or(usize::MAX));
        Value::Object(without)
    }

    /// What a keyword says, as far as it holds schemas.
    fn member(&mut self, name: &str, value: &Value) -> Value {
        match (name, value) {
            ("properties" | "$defs" | "definitions", Value::Object(schemas)) => {
                let inner = schemas.iter();
                Value::Object(
                    inner
                        .map(|(key, schema)| (key.clone(), self.schema(schema)))
                        .collect(),
                )
            }
            ("anyOf" | "prefixItems" | "items", Value::Array(schemas)) => {
                Value::Array(schemas.iter().map(|each| self.schema(each)).collect())
            }
            ("items" | "additionalItems" | "additionalProperties", Value::Object(_)) => {
                self.schema(value)
            }
            _ => value.clone(),
        }
    }
}

/// The greatest length of a string that nothing else limits.
fn plain_bound(members: &Map<String, Value>) -> Option<usize> {
    let is_plain = members
        .keys()
        .all(|name| OF_PLAIN_STRINGS.contains(&name.as_str()));
    let bound = members.get("maxLength").filter(|_| is_plain)?;
    usize::try_from(bound.as_u64()?).ok()
}

fn overlaps(members: &Map<String, Value>) -> bool {
    let has = |name: &str| members.contains_key(name);
    let is_shared = |name: &str| has(name) && members.len() > 1 + usize::from(has("$defs"));
    let options = members.get("anyOf").and_then(Value::as_array);
    let num_open = options.map_or(0, |options| {
        options.iter().filter(|option| !is_scalar(option)).count()
    });
    OVERLAPPING.into_iter().any(has) || is_shared("$ref") || is_shared("anyOf") || num_open > 1
}

fn is_scalar(schema: &Value) -> bool {
    schema
        .get("type")
        .and_then(Value::as_str)
        .is_some_and(|name| SCALARS.contains(&name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn least(schema: &Value) -> Option<usize> {
        without(schema).map(|found| found.least_max_length)
    }

    #[test]
    fn plain_bounds_go_wherever_they_stand() {
        let schema = json!({
            "type": "object",
            "properties": {
                "maxLength": {"type": "string", "minLength": 2, "maxLength": 300},
                "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
                "note": {"anyOf": [{"type": "string", "maxLength": 80}, {"type": "null"}]},
                "code": {"type": "string", "pattern": "^a+$", "maxLength": 5},
            },
            "$defs": {"tag": {"type": "string", "maxLength": 40}},
        });
        let found = without(&schema).unwrap();
        assert_eq!(found.least_max_length, 40);
        let expected = json!({
            "type": "object",
            "properties": {
                "maxLength": {"type": "string", "minLength": 2},
                "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "code": {"type": "string", "pattern": "^a+$", "maxLength": 5},
            },
            "$defs": {"tag": {"type": "string"}},
        });
        assert_eq!(found.schema, expected);
    }

    #[test]
    fn schemas_whose_parts_overlap_are_left_alone() {
        let text = json!({"type": "string", "maxLength": 80});
        for schema in [
            json!({"type": "string"}),
            json!({"type": "string", "maxLength": 80, "pattern": "a"}),
            json!({"allOf": [text, {"pattern": "a"}]}),
            json!({"anyOf": [text, {"enum": ["a"]}]}),
            json!({"anyOf": [text], "pattern": "a"}),
            json!({"properties": {"a": {"$ref": "#/$defs/t", "pattern": "a"}}, "$defs": {"t": text}}),
            json!({"items": text, "contains": {"const": "a"}}),
            json!({"properties": {"a": text}, "patternProperties": {"a": {"enum": ["b"]}}}),
        ] {
            assert_eq!(least(&schema), None, "{schema}");
        }
    }
}
