//! The tools of a request: their names, and what type each parameter has.
//!
//! Formats that write arguments as bare text need the types to make JSON of them.

use std::collections::HashMap;

use serde_json::Value;

use super::literals::ArgumentTypes;
use super::scan::{Cursor, Scanned, Stop, is_name_char};
use super::types::{TypeReader, Types};

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

impl ToolSchemas {
    /// Reads a request's `tools`: a JSON array of function tools, as chat completions or as responses write them. Tools
    /// of other kinds are left out; of two with one name the later counts.
    ///
    /// # Errors
    /// When it is not JSON, or not an array.
    pub fn parse(tools: &[u8]) -> Result<Self, serde_json::Error> {
        let values: Vec<Value> = serde_json::from_slice(tools)?;
        let mut reader = TypeReader::new();
        let read = |value| Tool::read(value, &mut reader);
        let tools: Vec<Tool> = values.iter().filter_map(read).collect();
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

    /// The name of a tool, as its place among [`tools`](Self::tools). What cannot become one is refused at once.
    pub(super) fn read_name(&self, cursor: &mut Cursor<'_>) -> Scanned<usize> {
        let rest = cursor.rest();
        let Some(len) = rest.find(|c| !is_name_char(c)) else {
            let could_be = self.tools.iter().any(|tool| tool.name.starts_with(rest));
            return Err(if could_be { Stop::Wait } else { Stop::Fail });
        };
        cursor.at += len;
        self.position(&rest[..len]).ok_or(Stop::Fail)
    }
}

impl Tool {
    fn read(value: &Value, reader: &mut TypeReader) -> Option<Self> {
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
        let mut types = |part: &Value| reader.types(part, &schema);
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

    /// The types that the schema allows for a parameter.
    pub(super) fn types(&self, parameter: &str) -> Types {
        self.parameters
            .get(parameter)
            .copied()
            .unwrap_or(self.others)
    }
}

impl ArgumentTypes for Tool {
    fn is_string(&self, parameter: &str) -> bool {
        let types = self.types(parameter);
        types.is_text() || types.has(Types::STRING)
    }

    fn json(&self, parameter: &str, text: &str) -> String {
        self.types(parameter).json(text)
    }
}
