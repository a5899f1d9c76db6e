//! Names of tools, of all letters and signs that a request may give them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::vectors::vectors;
use super::{calls, tools};
use crate::stage::{Chain, testing::fold_of};
use crate::tool_call::{ToolFormat, ToolSchemas, stage};

fn renamed(name: &str) -> Arc<ToolSchemas> {
    let weather = tools().get("get_weather").unwrap().schema.clone();
    let tools = json!([
        {"name": name, "parameters": weather},
        {"name": "get_time", "parameters": {}},
        {"name": "search", "parameters": {"properties": {"query": {"type": "string"}}}},
    ]);
    Arc::new(ToolSchemas::parse(tools.to_string().as_bytes()).unwrap())
}

#[test]
fn every_name_that_passes_the_door_can_be_called_in_every_format() {
    for name in ["mcp:files/read-all.v2", "größe", "天気", "मौसम_१", "x"] {
        let tools = renamed(name);
        for (format, output, _, expected) in vectors() {
            let format = ToolFormat::from_name(format).unwrap();
            let output = output.replace("get_weather", name);
            let expected = expected.to_string().replace("get_weather", name);
            let expected: Value = serde_json::from_str(&expected).unwrap();
            let mut chain = Chain::new(vec![stage(format, tools.clone())]);
            let fold = fold_of(&mut chain, &[&output]);
            assert_eq!(calls(&fold), expected, "{}: {output}", format.name);
        }
    }
}
