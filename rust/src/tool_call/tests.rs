//! Outputs of models in every format, under every split.

mod malformed;
mod names;
mod numbers;
mod splits;
mod vectors;
mod warnings;

use std::sync::Arc;

use serde_json::{Value, json};

use super::{ToolFormat, ToolSchemas, stage};
use crate::delta::Fold;
use crate::stage::{Chain, testing::fold_of};

/// The tools of most tests.
pub(super) fn tools() -> Arc<ToolSchemas> {
    let string = json!({"type": "string"});
    let weather = json!({
        "type": "object",
        "properties": {
            "city": string,
            "days": {"type": "integer"},
            "metric": {"type": "boolean"},
            "limit": {"type": ["number", "null"]},
            "tags": {"type": "array", "items": string},
            "where": {"$ref": "#/$defs/place"},
            "unit": {"enum": ["C", "F"]},
        },
        "$defs": {"place": {"type": "object", "properties": {"lat": {"type": "number"}}}},
    });
    let tools = json!([
        {"type": "function", "function": {"name": "get_weather", "parameters": weather}},
        {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}},
        {"type": "function", "name": "search", "parameters": {"type": "object", "properties": {"query": string}}},
    ]);
    Arc::new(ToolSchemas::parse(tools.to_string().as_bytes()).unwrap())
}

/// What a choice of these pieces shows, all added up.
pub(super) fn parse(format: &str, pieces: &[&str]) -> Fold {
    let format = ToolFormat::from_name(format).unwrap();
    let mut chain = Chain::new(vec![stage(format, tools())]);
    fold_of(&mut chain, pieces)
}

/// The calls of a fold, arguments read by an independent parser.
pub(super) fn calls(fold: &Fold) -> Value {
    let read = |arguments: &str| {
        serde_json::from_str::<Value>(arguments).unwrap_or_else(|e| panic!("{e}: {arguments}"))
    };
    fold.tool_calls
        .iter()
        .map(|call| json!([call.name, read(&call.arguments)]))
        .collect()
}
