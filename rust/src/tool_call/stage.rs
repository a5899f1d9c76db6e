//! The parser as a stage of a choice.

use std::sync::Arc;

use crate::delta::{Delta, Kind};
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
        num_tokens_given: 0,
        num_tokens_seen: 0,
    })
}

#[derive(Debug)]
struct ToolStage {
    parser: Parser,
    /// What a delta lets out; between calls empty.
    out: Output,
    num_tokens_given: u32,
    num_tokens_seen: u32,
}

impl ToolStage {
    fn give(&mut self, next: &mut Next<'_>) -> Flow {
        let mut tokens = self.num_tokens_given..self.num_tokens_seen;
        let flow = self.out.give(&mut tokens, next);
        self.num_tokens_given = tokens.start;
        flow
    }
}

impl Stage for ToolStage {
    fn push(&mut self, delta: &Delta<'_>, next: &mut Next<'_>) -> Flow {
        if delta.kind == Kind::Text {
            self.num_tokens_seen = delta.tokens.end;
            self.parser.push(delta.text, &mut self.out);
            return self.give(next);
        }
        // Reasoning between two texts: what was held before it was no call.
        self.parser.finish(&mut self.out);
        self.give(next)?;
        self.num_tokens_seen = delta.tokens.end;
        let tokens =
            std::mem::replace(&mut self.num_tokens_given, delta.tokens.end)..delta.tokens.end;
        next.push(&Delta {
            tokens,
            ..delta.clone()
        })
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Flow {
        self.parser.finish(&mut self.out);
        self.give(next)
    }
}
