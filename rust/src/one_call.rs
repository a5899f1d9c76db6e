//! Ends a choice where a second tool call would begin: for requests that allow one at a time.

use std::ops::ControlFlow;

use crate::delta::{Delta, Kind};
use crate::finish_reason::FinishReason;
use crate::stage::{Flow, Next, Stage};

/// The stage; it stands after the one that finds calls.
#[derive(Debug)]
pub struct OneCall;

impl Stage for OneCall {
    fn push(&mut self, delta: &Delta<'_>, next: &mut Next<'_>) -> Flow {
        match delta.kind {
            Kind::ToolCall { index: 1.., .. } => next.end(FinishReason::Stop),
            _ => next.push(delta),
        }
    }

    fn finish(&mut self, _: &mut Next<'_>) -> Flow {
        ControlFlow::Continue(())
    }
}
