//! `oneOf`: the same as `anyOf` where no two of its schemas can hold at once, and only so can it be enforced.
//!
//! Two are told apart by their types, or by a property that both require and whose values differ: the tag of a tagged
//! union, as pydantic's discriminators write it. llguidance tells other cases apart by itself, or refuses them.

use serde_json::{Map, Value, json};

/// More schemas than these are not compared in pairs.
const MAX_OPTIONS: usize = 256;
/// References that are followed one after the other.
const MAX_REFERENCES: usize = 8;

/// Adds a `oneOf` to `prepared`, as `anyOf` if it is the same.
pub(super) fn add_one_of(root: &Value, options: Value, prepared: &mut Map<String, Value>) {
    let is_any_of = options
        .as_array()
        .is_some_and(|each| are_disjoint(root, each));
    if !is_any_of {
        prepared.insert("oneOf".to_owned(), options);
        return;
    }
    add_schemas("allOf", json!([{"anyOf": options}]), prepared);
}

/// Adds schemas to those that `prepared` has under a name.
pub(super) fn add_schemas(name: &str, schemas: Value, prepared: &mut Map<String, Value>) {
    match (prepared.get_mut(name), schemas) {
        (Some(Value::Array(present)), Value::Array(more)) => present.extend(more),
        (_, schemas) => {
            prepared.insert(name.to_owned(), schemas);
        }
    }
}

fn are_disjoint(root: &Value, options: &[Value]) -> bool {
    let options: Vec<&Value> = options.iter().map(|option| follow(root, option)).collect();
    let pairs = || {
        let later = |(index, first)| {
            options[index + 1..]
                .iter()
                .map(move |second| (first, second))
        };
        options.iter().enumerate().flat_map(later)
    };
    options.len() <= MAX_OPTIONS && pairs().all(|(first, second)| are_two_disjoint(first, second))
}

/// What a schema that is nothing but a local reference points to.
fn follow<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..MAX_REFERENCES {
        let pointer = schema.get("$ref").and_then(Value::as_str);
        let target = pointer
            .and_then(|pointer| pointer.strip_prefix('#'))
            .and_then(|pointer| root.pointer(pointer));
        match target {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

fn are_two_disjoint(first: &Value, second: &Value) -> bool {
    let (types, others) = (types_of(first), types_of(second));
    let (Some(types), Some(others)) = (types, others) else {
        return false;
    };
    let overlap = |one: &str| {
        let is_number = |name: &str| name == "integer" || name == "number";
        others
            .iter()
            .any(|other| *other == one || (is_number(other) && is_number(one)))
    };
    let common: Vec<&str> = types.into_iter().filter(|one| overlap(one)).collect();
    common.is_empty() || (common == ["object"] && has_tag(first, second))
}

fn types_of(schema: &Value) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::String(name) => Some(vec![name.as_str()]),
        Value::Array(names) => names.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// A property that both require, with values of which none is in both.
fn has_tag(first: &Value, second: &Value) -> bool {
    let properties = first.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().any(|(name, property)| {
        let other = second.get("properties").and_then(|each| each.get(name));
        let (Some(values), Some(others)) = (values_of(property), other.and_then(values_of)) else {
            return false;
        };
        is_required(first, name)
            && is_required(second, name)
            && !values.iter().any(|value| others.contains(value))
    })
}

fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|names| names.iter().any(|each| each == name))
}

/// The values that a property can have, if they are strings: numbers may be equal in several spellings.
fn values_of(property: &Value) -> Option<Vec<&Value>> {
    let values = match (property.get("const"), property.get("enum")) {
        (Some(value), _) => vec![value],
        (None, Some(Value::Array(values))) => values.iter().collect(),
        _ => return None,
    };
    values
        .iter()
        .all(|value| value.is_string())
        .then_some(values)
}
