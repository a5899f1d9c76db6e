//! `propertyNames`, which llguidance does not know: where it lists names or gives a pattern, and nothing else does, the
//! same is said by `properties` and `patternProperties`.

use serde_json::{Map, Value, json};

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
) -> Result<(), String> {
    if say_nothing(value) {
        return Ok(());
    }
    let of_all = prepared
        .remove("additionalProperties")
        .unwrap_or(json!(true));
    let named: Map<String, Value> = match (value.get("enum"), value.get("pattern")) {
        (Some(Value::Array(names)), None) if has_only(value, "enum") => {
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
