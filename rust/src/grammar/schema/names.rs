//! `propertyNames`, which llguidance does not know: where it lists names or gives a pattern, and nothing else does, the
//! same is said by `properties` and `patternProperties`.

use std::cell::Cell;

use serde_json::{Map, Value, json};

/// Members and items of schemas that are written once for every name, in one whole schema.
const MAX_COPIED: usize = 20_000;

/// How much may still be copied: names in names in names grow without bound.
pub(super) struct CopyBudget(Cell<usize>);

impl Default for CopyBudget {
    fn default() -> Self {
        Self(Cell::new(MAX_COPIED))
    }
}

impl CopyBudget {
    /// Takes `times` copies of `value`. False if there is no room for them.
    fn take(&self, value: &Value, times: usize) -> bool {
        let num_copied = num_parts(value).saturating_mul(times);
        let left = self.0.get().checked_sub(num_copied);
        self.0.set(left.unwrap_or(0));
        left.is_some()
    }
}

fn num_parts(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(num_parts).sum(),
        Value::Object(members) => members.values().map(num_parts).sum(),
        _ => 0,
    }
}

/// Every property's name is a string.
pub(super) fn say_nothing(value: &Value) -> bool {
    *value == json!(true) || *value == json!({}) || *value == json!({"type": "string"})
}

/// Refuses one that stands beside named properties: which of the two a name belongs to would have to be found out.
pub(super) fn check_place(members: &Map<String, Value>, path: &str) -> Result<(), String> {
    let is_empty = |name: &str| members.get(name).is_none_or(|each| *each == json!({}));
    if is_empty("properties") && is_empty("patternProperties") {
        return Ok(());
    }
    Err(format!(
        "'propertyNames' at {path} is not supported beside 'properties' or 'patternProperties'"
    ))
}

/// Says in `prepared`, the rest of the schema, what `value` says.
pub(super) fn apply(
    value: &Value,
    prepared: &mut Map<String, Value>,
    path: &str,
    budget: &CopyBudget,
) -> Result<(), String> {
    if say_nothing(value) {
        return Ok(());
    }
    let of_all = prepared
        .remove("additionalProperties")
        .unwrap_or(json!(true));
    let named: Map<String, Value> = match (value.get("enum"), value.get("pattern")) {
        (Some(Value::Array(names)), None) if has_only(value, "enum") => {
            if !budget.take(&of_all, names.len()) {
                return Err(format!(
                    "'propertyNames' at {path} lists too many names for values of that schema"
                ));
            }
            let names = names.iter().filter_map(Value::as_str);
            names
                .map(|name| (name.to_owned(), of_all.clone()))
                .collect()
        }
        (None, Some(Value::String(pattern))) if has_only(value, "pattern") => {
            Map::from_iter([(pattern.clone(), of_all)])
        }
        _ => {
            return Err(format!(
                "'propertyNames' at {path} is supported with 'enum' or 'pattern' alone"
            ));
        }
    };
    let place = if value.get("enum").is_some() {
        "properties"
    } else {
        "patternProperties"
    };
    prepared.insert(place.to_owned(), Value::Object(named));
    prepared.insert("additionalProperties".to_owned(), json!(false));
    Ok(())
}

fn has_only(value: &Value, name: &str) -> bool {
    let members = value.as_object().into_iter().flatten();
    members
        .into_iter()
        .all(|(each, value)| each == name || (each == "type" && value == "string"))
}
