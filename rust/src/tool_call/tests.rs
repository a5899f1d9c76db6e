//! Outputs of models in every format, under every split.

mod malformed;
mod numbers;
mod splits;
mod vectors;

use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{ToolFormat, ToolSchemas, stage};
use crate::delta::{Delta, Fold, Kind};
use crate::stage::Chain;

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
    let mut fold = Fold::default();
    let mut num_told = 0;
    let mut show = |delta: &Delta<'_>| {
        assert!(!delta.text.is_empty(), "no delta is empty");
        assert_eq!(delta.tokens.start, num_told, "no token is left out");
        num_told = delta.tokens.end;
        fold.add(delta);
    };
    let pieces = pieces.iter().filter(|piece| !piece.is_empty());
    for (token, text) in (0..).zip(pieces) {
        let (kind, tokens) = (Kind::Text, token..token + 1);
        assert_eq!(
            chain.push(&Delta { kind, text, tokens }, &mut show),
            ControlFlow::Continue(())
        );
    }
    assert_eq!(chain.finish(&mut show), ControlFlow::Continue(()));
    for call in &mut fold.tool_calls {
        call.id.clear();
    }
    // Without what tells which tokens told what: that depends on the pieces.
    let mut sum = Fold::default();
    (sum.text, sum.reasoning, sum.tool_calls) = (fold.text, fold.reasoning, fold.tool_calls);
    sum
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
