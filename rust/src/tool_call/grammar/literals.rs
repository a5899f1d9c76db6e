//! Arguments as the literals of a language, spelt out from a schema: Python's, or Gemma's with its string marks.

use serde_json::{Map, Value, json};

use super::super::literals::Literals;
use super::super::types::resolve;
use super::rules::Rules;
use super::texts::with_definitions;
use crate::grammar::lark_text::quote;

/// Schemas inside of schemas.
const MAX_DEPTH: u32 = 12;

/// Keywords that are enforced, or say nothing of what is valid.
const KEYWORDS: [&str; 26] = [
    "$comment",
    "$defs",
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "default",
    "definitions",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "items",
    "maxItems",
    "maximum",
    "maxLength",
    "minItems",
    "minimum",
    "minLength",
    "nullable",
    "properties",
    "required",
    "title",
    "type",
];

/// A schema's rules, being written.
struct Spelling<'r, 's> {
    rules: &'r mut Rules<'s>,
    syntax: &'static Literals,
    root: &'r Value,
}

/// All arguments of a call, and its end.
pub(super) fn arguments(
    rules: &mut Rules<'_>,
    syntax: &'static Literals,
    schema: &Value,
) -> Result<String, String> {
    let mut spelling = Spelling {
        rules,
        syntax,
        root: schema,
    };
    let members = schema.as_object().cloned().unwrap_or_default();
    check_keywords(&members)?;
    let assign = syntax.assign;
    let body = spelling.members(&members, 0, &|name| format!("{name}{assign}"))?;
    Ok(format!("{body} {}", quote(&syntax.close.to_string())))
}

/// Any arguments.
pub(super) fn any(rules: &mut Rules<'_>, syntax: &'static Literals) -> String {
    let mut spelling = Spelling {
        rules,
        syntax,
        root: &Value::Null,
    };
    let value = spelling.any_value();
    let assign = quote(&syntax.assign.to_string());
    let item = spelling.rules.rule(
        "item",
        &format!("/[A-Za-z_][A-Za-z0-9_]*/ {assign} {value}"),
    );
    let comma = spelling.comma();
    let close = quote(&syntax.close.to_string());
    format!("({item} ({comma} {item})*)? {close}")
}

impl Spelling<'_, '_> {
    fn is_python(&self) -> bool {
        self.syntax.assign == '='
    }

    fn comma(&self) -> &'static str {
        if self.is_python() { "\", \"" } else { "\",\"" }
    }

    fn value(&mut self, schema: &Value, depth: u32) -> Result<String, String> {
        if depth > MAX_DEPTH {
            return Err("it nests too deep, or refers to itself".to_owned());
        }
        self.rules.check_size()?;
        let Some(members) = schema.as_object().filter(|members| !members.is_empty()) else {
            return Ok(self.any_value());
        };
        check_keywords(members)?;
        if let Some(reference) = members.get("$ref") {
            let target = resolve(reference, self.root).cloned();
            return self.value(
                &target.ok_or_else(|| format!("the reference {reference} leads nowhere"))?,
                depth + 1,
            );
        }
        if let Some(options) = members.get("anyOf").and_then(Value::as_array) {
            let options: Result<Vec<_>, _> = options
                .iter()
                .map(|option| self.value(option, depth + 1))
                .collect();
            return Ok(self.rules.rule("any", &options?.join(" | ")));
        }
        let constant = members.get("const").map(std::slice::from_ref);
        let listed = members
            .get("enum")
            .and_then(Value::as_array)
            .map(Vec::as_slice);
        if let Some(values) = constant.or(listed) {
            let values: Vec<String> = values.iter().map(|value| self.spelt(value)).collect();
            return Ok(self.rules.rule("choice", &values.join(" | ")));
        }
        let mut types: Vec<&str> = match members.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ if members.contains_key("properties") => vec!["object"],
            _ if members.contains_key("items") => vec!["array"],
            _ => return Ok(self.any_value()),
        };
        if members.get("nullable") == Some(&Value::Bool(true)) {
            types.push("null");
        }
        let options: Result<Vec<_>, _> = types
            .iter()
            .map(|name| self.of_type(name, members, depth))
            .collect();
        Ok(self.rules.rule("value", &options?.join(" | ")))
    }

    fn of_type(
        &mut self,
        name: &str,
        members: &Map<String, Value>,
        depth: u32,
    ) -> Result<String, String> {
        match name {
            "string" => self.string(members),
            "integer" | "number" => Ok(format!("%json {}", number(name, members))),
            "boolean" => Ok(format!(
                "({} | {})",
                self.spelt(&json!(true)),
                self.spelt(&json!(false))
            )),
            "null" => Ok(self.spelt(&Value::Null)),
            "array" => self.array(members, depth),
            "object" => {
                let is_python = self.is_python();
                let key = |name: &str| {
                    if is_python {
                        format!("{}: ", Value::from(name))
                    } else {
                        format!("{name}:")
                    }
                };
                let body = self.members(members, depth, &key)?;
                Ok(format!("\"{{\" {body} \"}}\""))
            }
            other => Err(format!("there is no type {other:?}")),
        }
    }

    fn string(&mut self, members: &Map<String, Value>) -> Result<String, String> {
        let bounds = ["minLength", "maxLength"]
            .iter()
            .filter_map(|name| Some((*name, members.get(*name)?.clone())));
        let bounds: Map<String, Value> = bounds
            .map(|(name, bound)| (name.to_owned(), bound))
            .collect();
        if self.is_python() {
            // A JSON string is a Python string, too.
            let mut schema = bounds;
            schema.insert("type".to_owned(), json!("string"));
            return Ok(format!("%json {}", Value::from(schema)));
        }
        if let Some((keyword, _)) = bounds.iter().next() {
            return Err(format!(
                "'{keyword}' of a string cannot be enforced in this model's tool format"
            ));
        }
        Ok(self.marked_string())
    }

    /// A string between the format's marks.
    fn marked_string(&mut self) -> String {
        let quote = self.syntax.quotes[0];
        let end = self.rules.text_until(quote, "*");
        format!("{} {end}", self.rules.text(quote))
    }

    fn array(&mut self, members: &Map<String, Value>, depth: u32) -> Result<String, String> {
        let item = self.value(members.get("items").unwrap_or(&json!({})), depth + 1)?;
        let bound = |name: &str| members.get(name).and_then(Value::as_u64);
        let (least, most) = (bound("minItems").unwrap_or(0), bound("maxItems"));
        let more = match (least, most) {
            (_, Some(0)) => return Ok("\"[]\"".to_owned()),
            (0 | 1, None) => "*".to_owned(),
            (least, None) => format!("{{{},}}", least - 1),
            (least, Some(most)) => format!("{{{},{}}}", least.saturating_sub(1), most - 1),
        };
        let comma = self.comma();
        let items = format!("{item} ({comma} {item}){more}");
        let items = if least == 0 {
            format!("({items})?")
        } else {
            items
        };
        Ok(format!("\"[\" {items} \"]\""))
    }

    /// Members in the schema's order, the optional ones perhaps left out, with commas between those that are there.
    fn members(
        &mut self,
        members: &Map<String, Value>,
        depth: u32,
        key: &dyn Fn(&str) -> String,
    ) -> Result<String, String> {
        let none = Map::new();
        let properties = members
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&none);
        let required = members.get("required").and_then(Value::as_array);
        let is_required =
            |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
        let known = |name: &&Value| !properties.contains_key(name.as_str().unwrap_or_default());
        if let Some(name) = required.into_iter().flatten().find(known) {
            return Err(format!("{name} is required and no property"));
        }
        // From the last one on: what may follow, and whether it may be left out.
        let (mut tail, mut may_be_empty) = (String::new(), true);
        for (name, property) in properties.iter().rev() {
            let value = self
                .value(property, depth + 1)
                .map_err(|why| format!("{name:?}: {why}"))?;
            let item = format!("{} {value}", self.rules.text(&key(name)));
            let comma = self.comma();
            let rest = match (tail.is_empty(), may_be_empty) {
                (true, _) => String::new(),
                (false, true) => format!("({comma} {tail})?"),
                (false, false) => format!("{comma} {tail}"),
            };
            let whole = format!("{item} {rest}");
            let is_required = is_required(name);
            let body = if is_required || tail.is_empty() {
                whole
            } else {
                format!("{whole} | {tail}")
            };
            tail = self.rules.rule("members", &body);
            may_be_empty &= !is_required;
        }
        Ok(match (tail.is_empty(), may_be_empty) {
            (true, _) => "\"\"".to_owned(),
            (false, true) => format!("{tail}?"),
            (false, false) => tail,
        })
    }

    /// A constant.
    fn spelt(&mut self, value: &Value) -> String {
        let is_python = self.is_python();
        match value {
            Value::Null if is_python => "\"None\"".to_owned(),
            Value::Bool(true) if is_python => "\"True\"".to_owned(),
            Value::Bool(false) if is_python => "\"False\"".to_owned(),
            Value::String(text) if !is_python => {
                let quote = self.syntax.quotes[0];
                self.rules.text(&format!("{quote}{text}{quote}"))
            }
            other => quote(&other.to_string()),
        }
    }

    /// A value of any type that does not nest.
    fn any_value(&mut self) -> String {
        let string = if self.is_python() {
            "%json {\"type\": \"string\"}".to_owned()
        } else {
            self.marked_string()
        };
        let constants = [json!(true), json!(false), Value::Null].map(|value| self.spelt(&value));
        let body = format!(
            "{string} | %json {{\"type\": \"number\"}} | {}",
            constants.join(" | ")
        );
        self.rules.rule("any", &body)
    }
}

fn check_keywords(members: &Map<String, Value>) -> Result<(), String> {
    match members.keys().find(|key| !KEYWORDS.contains(&key.as_str())) {
        Some(key) => Err(format!(
            "'{key}' cannot be enforced in this model's tool format"
        )),
        None => Ok(()),
    }
}

/// The schema of a number alone.
fn number(name: &str, members: &Map<String, Value>) -> Value {
    let mut schema = json!({"type": name});
    for keyword in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"] {
        if let Some(bound) = members.get(keyword) {
            schema[keyword] = bound.clone();
        }
    }
    with_definitions(&schema, &Value::Null)
}
