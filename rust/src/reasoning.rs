//! Reasoning, split from the answer as a choice's text comes.
//!
//! One splitter for all formats: a format is a row of a table, with what begins and what ends a thought.

mod formats;
mod splitter;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::stage::Stage;
use crate::tool_call::{self, ToolFormat, ToolSchemas, harmony_stage};

pub use formats::ReasoningFormat;

/// The stage that tells thoughts from text. `begins_inside`: the prompt has opened a thought, or the format takes that
/// for granted ([`ReasoningFormat::begins_inside`]).
#[must_use]
pub fn stage(format: &'static ReasoningFormat, begins_inside: bool) -> Box<dyn Stage> {
    if format.is_harmony() {
        return harmony_stage(Arc::default());
    }
    Box::new(splitter::Splitter::new(format, begins_inside))
}

/// The stages for both: thoughts are split off first, then calls are found in what is left. In harmony, one stage does
/// both.
#[must_use]
pub fn stages(
    reasoning: Option<(&'static ReasoningFormat, bool)>,
    tools: Option<(&'static ToolFormat, Arc<ToolSchemas>)>,
) -> Vec<Box<dyn Stage>> {
    let mut stages = Vec::new();
    match (reasoning, tools) {
        (_, Some((format, schemas))) if format.is_harmony() => stages.push(harmony_stage(schemas)),
        (reasoning, tools) => {
            stages.extend(reasoning.map(|(format, begins_inside)| stage(format, begins_inside)));
            stages.extend(tools.map(|(format, schemas)| tool_call::stage(format, schemas)));
        }
    }
    stages
}
