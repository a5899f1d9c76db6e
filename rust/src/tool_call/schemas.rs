//! The tools of a request: their names, and what type each parameter has.
//!
//! Formats that write arguments as bare text need the types to make JSON of them.

use std::collections::HashMap;
use std::ops::BitOr;

use serde_json::Value;
use serde_json::value::RawValue;

use super::json_value::is_number;
use super::literals;

/// References that are followed from one schema to the next.
const MAX_REFERENCES: u32 = 16;

/// The tools of one request.
#[derive(Debug, Default)]
pub struct ToolSchemas {
    tools: Vec<Tool>,
    by_name: HashMap<String, usize>,
}

/// One tool.
#[derive(Debug)]
pub struct Tool {
    /// What a call names.
    pub name: String,
    /// JSON Schema of the arguments; an empty object where the request has none.
    pub schema: Value,
    /// Whether the arguments must fit the schema.
    pub is_strict: bool,
    parameters: HashMap<String, Types>,
    others: Types,
}

/// JSON types, as a set. The empty one: nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(2);
    pub(super) const INTEGER: Self = Self(4);
    pub(super) const NUMBER: Self = Self(8);
    pub(super) const ARRAY: Self = Self(16);
    pub(super) const OBJECT: Self = Self(32);
    pub(super) const STRING: Self = Self(64);
    /// All but strings.
    pub(super) const OTHERS: Self = Self(63);

    pub(super) const fn has(self, types: Self) -> bool {
        self.0 & types.0 != 0
    }

    /// Whether a text is taken as it is.
    pub(super) const fn is_text(self) -> bool {
        self.0 & Self::OTHERS.0 == 0
    }

    fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "null" => Self::NULL,
            "boolean" | "bool" => Self::BOOLEAN,
            "integer" | "int" => Self::INTEGER,
            "number" | "float" => Self::NUMBER,
            "array" | "list" => Self::ARRAY,
            "object" | "dict" => Self::OBJECT,
            "string" | "str" => Self::STRING,
            _ => Self::default(),
        }
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if number.is_f64() => Self::NUMBER,
            Value::Number(_) => Self::INTEGER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    /// `text` as JSON of one of these types, strings last; as a string, too, if it is of none.
    pub(super) fn json(self, text: &str) -> String {
        self.convert(text)
            .unwrap_or_else(|| Value::from(text).to_string())
    }

    /// Whether `text` is JSON that breaks off, where only JSON may stand: then a tag in it may be part of a string.
    pub(super) fn is_unfinished(self, text: &str) -> bool {
        let is_nested =
            self.has(Self::OBJECT | Self::ARRAY) && text.trim_start().starts_with(['{', '[']);
        let broken = || {
            serde_json::from_str::<&RawValue>(text.trim_start()).is_err_and(|error| error.is_eof())
        };
        is_nested && !self.has(Self::STRING) && broken()
    }

    fn convert(self, text: &str) -> Option<String> {
        let text = text.trim();
        if self.has(Self::NULL) && matches!(text, "null" | "None") {
            return Some("null".to_owned());
        }
        if self.has(Self::BOOLEAN) {
            for word in ["true", "false"] {
                if text.eq_ignore_ascii_case(word) {
                    return Some(word.to_owned());
                }
            }
        }
        if self.has(Self::INTEGER | Self::NUMBER)
            && let Some(number) = self.convert_number(text)
        {
            return Some(number);
        }
        let brackets = [(Self::OBJECT, '{'), (Self::ARRAY, '[')];
        let is_nested = brackets
            .iter()
            .any(|(types, open)| self.has(*types) && text.starts_with(*open));
        is_nested.then(|| convert_nested(text)).flatten()
    }

    fn convert_number(self, text: &str) -> Option<String> {
        if !is_number(text) {
            return None;
        }
        if self.has(Self::NUMBER) || !text.contains(['.', 'e', 'E']) {
            return Some(text.to_owned());
        }
        // An integer that a model has written as 3.0.
        let value: f64 = text.parse().ok()?;
        (value.fract() == 0.0 && value.abs() < 1e15).then(|| format!("{value:.0}"))
    }
}

impl BitOr for Types {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// JSON as it is written, else a Python literal as JSON.
fn convert_nested(text: &str) -> Option<String> {
    if serde_json::from_str::<&RawValue>(text).is_ok() {
        return Some(text.to_owned());
    }
    let json = literals::python_value(text)?;
    serde_json::from_str::<&RawValue>(&json)
        .is_ok()
        .then_some(json)
}

impl ToolSchemas {
    /// Reads a request's `tools`: a JSON array of function tools, as chat completions or as responses write them. Tools
    /// of other kinds are left out; of two with one name the later counts.
    ///
    /// # Errors
    /// When it is not JSON, or not an array.
    pub fn parse(tools: &[u8]) -> Result<Self, serde_json::Error> {
        let values: Vec<Value> = serde_json::from_slice(tools)?;
        let tools: Vec<Tool> = values.iter().filter_map(Tool::read).collect();
        let names = tools.iter().map(|tool| tool.name.clone());
        let by_name = names.zip(0..).collect();
        Ok(Self { tools, by_name })
    }

    /// The tool of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.tools.get(self.position(name)?)
    }

    /// Where in [`tools`](Self::tools) the tool of that name is.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// All tools, in the request's order.
    #[must_use]
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }

    pub(super) fn any_begins_with(&self, start: &str) -> bool {
        self.tools.iter().any(|tool| tool.name.starts_with(start))
    }
}

impl Tool {
    fn read(value: &Value) -> Option<Self> {
        let function = value.get("function").unwrap_or(value);
        let name = function
            .get("name")?
            .as_str()
            .filter(|name| !name.is_empty())?;
        let schema = function
            .get("parameters")
            .filter(|schema| schema.is_object());
        let schema = schema
            .cloned()
            .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let types = |part: &Value| types_of(part, &schema, 0);
        let mut parameters = HashMap::new();
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            parameters.extend(
                properties
                    .iter()
                    .map(|(name, part)| (name.clone(), types(part))),
            );
        }
        Some(Self {
            name: name.to_owned(),
            is_strict: function
                .get("strict")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            others: schema
                .get("additionalProperties")
                .map(types)
                .unwrap_or_default(),
            parameters,
            schema,
        })
    }

    /// A tool of which nothing is known.
    pub(super) fn unknown() -> Self {
        Self {
            name: String::new(),
            schema: Value::Null,
            is_strict: false,
            parameters: HashMap::new(),
            others: Types::default(),
        }
    }

    /// The types that the schema allows for a parameter.
    pub(super) fn types(&self, parameter: &str) -> Types {
        self.parameters
            .get(parameter)
            .copied()
            .unwrap_or(self.others)
    }
}

/// The types that `schema` allows, as far as it says so.
fn types_of(schema: &Value, root: &Value, num_references: u32) -> Types {
    let Some(schema) = schema
        .as_object()
        .filter(|_| num_references < MAX_REFERENCES)
    else {
        return Types::default();
    };
    let inner = |part: &Value| types_of(part, root, num_references + 1);
    if let Some(target) = schema.get("$ref").and_then(|path| resolve(path, root)) {
        return inner(target);
    }
    let any = |types: &mut dyn Iterator<Item = Types>| types.fold(Types::default(), BitOr::bitor);
    let mut types = match schema.get("type") {
        Some(Value::String(name)) => Types::named(name),
        Some(Value::Array(names)) => {
            any(&mut names.iter().filter_map(Value::as_str).map(Types::named))
        }
        _ => Types::default(),
    };
    for list in ["anyOf", "oneOf", "allOf"] {
        if let (true, Some(parts)) = (
            types == Types::default(),
            schema.get(list).and_then(Value::as_array),
        ) {
            types = any(&mut parts.iter().map(inner));
        }
    }
    if types == Types::default() {
        types = match (schema.get("enum"), schema.get("const")) {
            (Some(Value::Array(values)), _) => any(&mut values.iter().map(Types::of)),
            (_, Some(value)) => Types::of(value),
            _ if schema.contains_key("properties") => Types::OBJECT,
            _ if schema.contains_key("items") => Types::ARRAY,
            _ => types,
        };
    }
    if schema.get("nullable") == Some(&Value::Bool(true)) {
        types = types | Types::NULL;
    }
    types
}

/// What a local reference, as `#/$defs/city`, stands for.
pub(super) fn resolve<'a>(reference: &Value, root: &'a Value) -> Option<&'a Value> {
    root.pointer(reference.as_str()?.strip_prefix('#')?)
}
