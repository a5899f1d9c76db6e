//! Parameters as tagged texts: strings are free up to their tag's end, all else is JSON.

use serde_json::{Map, Value, json};

use super::super::parameters::Parameters;
use super::rules::Rules;

/// What may stand beside the type of a string that is written as free text.
const STRING_KEYWORDS: [&str; 12] = [
    "type",
    "title",
    "description",
    "default",
    "examples",
    "enum",
    "const",
    "minLength",
    "maxLength",
    "$comment",
    "deprecated",
    "nullable",
];

/// All parameters of `schema`, in its order, and the call's end.
pub(super) fn parameters(
    rules: &mut Rules<'_>,
    syntax: &Parameters,
    schema: &Value,
) -> Result<String, String> {
    let mut parts = Vec::new();
    let required = schema.get("required").and_then(Value::as_array);
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        rules.check_size()?;
        let value =
            value(rules, syntax, property, schema).map_err(|why| format!("{name:?}: {why}"))?;
        let is_json = value.is_json;
        let head = head(syntax, name, is_json);
        let parameter = format!("{} {}", rules.text(&head), value.body);
        let parameter = rules.rule("parameter", &parameter);
        parts.push(if is_required(name) {
            parameter
        } else {
            format!("{parameter}?")
        });
    }
    let known = |name: &Value| {
        properties.is_some_and(|all| all.contains_key(name.as_str().unwrap_or_default()))
    };
    if let Some(name) = required.into_iter().flatten().find(|name| !known(name)) {
        return Err(format!("{name} is required and no property"));
    }
    parts.push(rules.text(syntax.close));
    Ok(parts.join(" "))
}

/// Any parameters.
pub(super) fn any(rules: &mut Rules<'_>, syntax: &Parameters) -> String {
    let (open, end) = (rules.text(syntax.opens[0]), value_end(syntax));
    let name = rules.rule("name", "/[A-Za-z0-9_.-]+/");
    let value = rules.text_until(&end, "*");
    let between = rules.text(&head_end(syntax, false));
    let parameter = rules.rule("parameter", &format!("{open} {name} {between} {value}"));
    format!("{parameter}* {}", rules.text(syntax.close))
}

struct Body {
    body: String,
    is_json: bool,
}

/// A value and its tag's end.
fn value(
    rules: &mut Rules<'_>,
    syntax: &Parameters,
    property: &Value,
    root: &Value,
) -> Result<Body, String> {
    let end = value_end(syntax);
    let resolved = resolved(property, root)?;
    let Some(members) = resolved
        .as_object()
        .filter(|members| allows_strings(members))
    else {
        let schema = with_definitions(property, root);
        let end = rules.text(&end);
        return Ok(Body {
            body: format!("%json {schema} {end}"),
            is_json: true,
        });
    };
    if let Some(keyword) = members.keys().find(|key| !is_plain_keyword(key)) {
        return Err(format!(
            "'{keyword}' of a string cannot be enforced in this model's tool format"
        ));
    }
    let constant = members.get("const").map(std::slice::from_ref);
    let listed = members
        .get("enum")
        .and_then(Value::as_array)
        .map(Vec::as_slice);
    if let Some(values) = constant.or(listed) {
        let texts = values.iter().map(|value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        });
        let texts: Vec<String> = texts
            .map(|text| rules.text(&format!("{text}{end}")))
            .collect();
        return Ok(Body {
            body: rules.rule("choice", &texts.join(" | ")),
            is_json: false,
        });
    }
    let length = length(members)?;
    Ok(Body {
        body: rules.text_until(&end, &length),
        is_json: false,
    })
}

/// A local reference's target, or the schema itself.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> Result<&'a Value, String> {
    let mut schema = schema;
    for _ in 0..16 {
        let Some(reference) = schema.get("$ref") else {
            return Ok(schema);
        };
        let target = super::super::types::resolve(reference, root);
        schema = target.ok_or_else(|| format!("the reference {reference} leads nowhere"))?;
    }
    Err("references lead in a circle".to_owned())
}

/// Whether a string may stand there: then it is read as one, however it looks, unless another type fits.
fn allows_strings(members: &Map<String, Value>) -> bool {
    let is_string = |value: &Value| value == "string";
    match (
        members.get("type"),
        members.get("enum"),
        members.get("const"),
    ) {
        (Some(Value::Array(types)), ..) => types.iter().any(is_string),
        (Some(name), ..) => is_string(name),
        (_, Some(Value::Array(values)), _) => values.iter().any(Value::is_string),
        (_, _, Some(value)) => value.is_string(),
        _ => {
            let lists = ["anyOf", "oneOf"]
                .iter()
                .filter_map(|list| members.get(*list)?.as_array());
            let mut options = lists.flatten().peekable();
            options.peek().is_none()
                && !members.contains_key("properties")
                && !members.contains_key("items")
                || options.any(|option| option.as_object().is_some_and(allows_strings))
        }
    }
}

fn is_plain_keyword(key: &str) -> bool {
    STRING_KEYWORDS.contains(&key) || matches!(key, "anyOf" | "oneOf" | "$defs" | "definitions")
}

/// A string's bounds as a repetition.
fn length(members: &Map<String, Value>) -> Result<String, String> {
    let bound = |name: &str| match members.get(name) {
        None => Ok(String::new()),
        Some(bound) => match bound.as_u64() {
            Some(length) if length <= 10_000 => Ok(length.to_string()),
            _ => Err(format!(
                "'{name}' must be a number up to 10000 in this model's tool format"
            )),
        },
    };
    let (least, most) = (bound("minLength")?, bound("maxLength")?);
    if least.is_empty() && most.is_empty() {
        return Ok("*".to_owned());
    }
    let least = if least.is_empty() { "0" } else { &least };
    Ok(format!("{{{least},{most}}}"))
}

/// A part of a schema, on its own.
pub(super) fn with_definitions(part: &Value, root: &Value) -> Value {
    let mut part = part.clone();
    if let (Some(part), Some(root)) = (part.as_object_mut(), root.as_object()) {
        for name in ["$defs", "definitions"] {
            if let Some(definitions) = root.get(name) {
                part.insert(name.to_owned(), definitions.clone());
            }
        }
    }
    if part.is_object() { part } else { json!({}) }
}

fn head(syntax: &Parameters, name: &str, is_json: bool) -> String {
    format!("{}{name}{}", syntax.opens[0], head_end(syntax, is_json))
}

/// All between a parameter's name and its value, as the models write it.
fn head_end(syntax: &Parameters, is_json: bool) -> String {
    let is_quoted = syntax.opens[0].ends_with('"');
    let quote = if is_quoted { "\"" } else { "" };
    let attribute = match (syntax.has_attributes, is_json) {
        (false, _) => "",
        (true, true) => " string=\"false\"",
        (true, false) => " string=\"true\"",
    };
    let value_line = if syntax.value_open.is_empty() {
        ""
    } else {
        syntax.line
    };
    let padding = if syntax.writes_padding { "\n" } else { "" };
    format!(
        "{quote}{attribute}{}{value_line}{}{padding}",
        syntax.name_close, syntax.value_open
    )
}

fn value_end(syntax: &Parameters) -> String {
    let padding = if syntax.writes_padding { "\n" } else { "" };
    format!("{padding}{}{}", syntax.value_close, syntax.line)
}
