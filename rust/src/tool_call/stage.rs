//! The parser as a stage of a choice.

use std::sync::Arc;

use crate::delta::{Delta, Kind, Untold};
use crate::stage::{Flow, Next, Stage};

use super::output::Output;
use super::parser::Parser;
use super::schemas::ToolSchemas;
use super::syntax::ToolFormat;

/// The stage that finds the calls of `tools` in a choice's text.
#[must_use]
pub fn stage(format: &'static ToolFormat, tools: Arc<ToolSchemas>) -> Box<dyn Stage> {
    Box::new(ToolStage {
        parser: Parser::new(format, tools),
        out: Output::default(),
        untold: Untold::default(),
    })
}

#[derive(Debug)]
struct ToolStage {
    parser: Parser,
    /// What a delta lets out; between calls empty.
    out: Output,
    untold: Untold,
}

impl Stage for ToolStage {
    fn push(&mut self, delta: &Delta<'_>, next: &mut Next<'_>) -> Flow {
        if delta.kind == Kind::Text {
            self.untold.take(delta);
            self.parser.push(delta.text, &mut self.out);
            return self.out.give(&mut self.untold, next);
        }
        // Reasoning between two texts: what was held before it was no call.
        self.parser.flush(&mut self.out);
        self.out.give(&mut self.untold, next)?;
        self.untold.take(delta);
        next.push(&Delta {
            tokens: self.untold.tell(),
            ..delta.clone()
        })
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Flow {
        self.parser.finish(&mut self.out);
        self.out.give(&mut self.untold, next)
    }

    fn num_malformed_calls(&self, is_cut: bool) -> u32 {
        self.parser.num_malformed(is_cut)
    }
}
