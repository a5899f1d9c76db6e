//! A choice's way from text to events, as a chain of stages: each takes deltas and gives deltas.
//!
//! What a stage gives goes straight into the next one; the last gives to whoever shows it. The deltas that enter a
//! chain are made from ids (`detokenize`) or come from an engine that speaks text.

use std::fmt::Debug;
use std::ops::ControlFlow;

use crate::delta::Delta;
use crate::finish_reason::FinishReason;

/// Goes on, or breaks with how a stage has ended the choice.
pub type Flow = ControlFlow<End>;

/// How a stage, or the engine, has ended a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub reason: FinishReason,
    /// The stop string that it met, by its place among those that are looked for.
    pub stop_string: Option<u32>,
}

impl From<FinishReason> for End {
    fn from(reason: FinishReason) -> Self {
        Self {
            reason,
            stop_string: None,
        }
    }
}

/// One stage.
pub trait Stage: Debug + Send {
    /// Takes a delta and gives what of the text so far can be shown to `next`. A stage that ends the choice gives what
    /// stands before the end and then returns [`Next::end`].
    ///
    /// # Errors
    /// Breaks when this stage or a later one has ended the choice; nothing must be pushed any more.
    fn push(&mut self, delta: &Delta<'_>, next: &mut Next<'_>) -> Flow;

    /// The text has ended: gives what was held back. May break with a reason that is truer than the engine's.
    ///
    /// # Errors
    /// As `push`.
    fn finish(&mut self, next: &mut Next<'_>) -> Flow;

    /// Tool calls that no client could run and that were shown all the same, as text or as they broke off; of a choice
    /// that has ended. `is_cut`: the limit of new tokens has ended it, so that what is open may have gone on well.
    fn num_malformed_calls(&self, _is_cut: bool) -> u32 {
        0
    }
}

/// The stages of one choice, in order.
#[derive(Debug, Default)]
pub struct Chain {
    stages: Vec<Box<dyn Stage>>,
}

/// What comes after a stage.
pub struct Next<'a> {
    stages: &'a mut [Box<dyn Stage>],
    show: &'a mut dyn FnMut(&Delta<'_>),
}

impl Chain {
    /// A chain of `stages`; without any, what enters is shown as it is.
    #[must_use]
    pub fn new(stages: Vec<Box<dyn Stage>>) -> Self {
        Self { stages }
    }

    /// Sends a delta through; `show` gets what comes out.
    ///
    /// # Errors
    /// Breaks when a stage has ended the choice.
    pub fn push(&mut self, delta: &Delta<'_>, show: &mut dyn FnMut(&Delta<'_>)) -> Flow {
        let stages = &mut self.stages;
        Next { stages, show }.push(delta)
    }

    /// As of its stages.
    #[must_use]
    pub fn num_malformed_calls(&self, is_cut: bool) -> u32 {
        let stages = self.stages.iter();
        stages.map(|stage| stage.num_malformed_calls(is_cut)).sum()
    }

    /// The text has ended: every stage in turn gives what it held back.
    ///
    /// # Errors
    /// Breaks when a stage knows a truer reason for the end.
    pub fn finish(&mut self, show: &mut dyn FnMut(&Delta<'_>)) -> Flow {
        let stages = &mut self.stages;
        Next { stages, show }.finish()
    }
}

impl Next<'_> {
    /// Sends a delta on.
    ///
    /// # Errors
    /// Breaks when a later stage has ended the choice.
    pub fn push(&mut self, delta: &Delta<'_>) -> Flow {
        let Some((stage, stages)) = self.stages.split_first_mut() else {
            (self.show)(delta);
            return Flow::Continue(());
        };
        let show = &mut *self.show;
        stage.push(delta, &mut Next { stages, show })
    }

    /// Ends the choice here: the later stages give what they held back.
    ///
    /// # Errors
    /// Breaks always: with `end`, or with a later stage's truer one.
    pub fn end(&mut self, end: impl Into<End>) -> Flow {
        self.finish()?;
        Flow::Break(end.into())
    }

    fn finish(&mut self) -> Flow {
        let mut rest = &mut *self.stages;
        while let Some((stage, stages)) = rest.split_first_mut() {
            let show = &mut *self.show;
            // A stage that breaks has finished the later ones itself.
            stage.finish(&mut Next { stages, show })?;
            rest = stages;
        }
        Flow::Continue(())
    }
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::Kind;

    /// Holds back all text until the end, or until an exclamation mark ends it.
    #[derive(Debug, Default)]
    struct Hold {
        text: String,
        num_tokens: u32,
    }

    impl Stage for Hold {
        fn push(&mut self, delta: &Delta<'_>, next: &mut Next<'_>) -> Flow {
            self.text.push_str(delta.text);
            self.num_tokens = delta.tokens.end;
            if delta.text.contains('!') {
                self.finish(next)?;
                return next.end(FinishReason::Stop);
            }
            Flow::Continue(())
        }

        fn finish(&mut self, next: &mut Next<'_>) -> Flow {
            next.push(&Delta {
                kind: Kind::Text,
                text: &std::mem::take(&mut self.text),
                tokens: 0..self.num_tokens,
            })
        }
    }

    fn run(texts: &[&str]) -> (Flow, Vec<(String, u32)>) {
        let mut chain = Chain::new(vec![Box::new(Hold::default()), Box::new(Hold::default())]);
        let mut shown = Vec::new();
        let mut show = |delta: &Delta<'_>| shown.push((delta.text.to_owned(), delta.tokens.end));
        let mut flow = Flow::Continue(());
        for (token, text) in (0..).zip(texts) {
            let (kind, tokens) = (Kind::Text, token..token + 1);
            flow = chain.push(&Delta { kind, text, tokens }, &mut show);
            if flow.is_break() {
                return (flow, shown);
            }
        }
        if chain.finish(&mut show).is_break() {
            flow = Flow::Break(FinishReason::Length.into());
        }
        (flow, shown)
    }

    #[test]
    fn what_every_stage_held_comes_out_once_at_the_end() {
        let (flow, shown) = run(&["a", "b"]);
        assert_eq!(
            (flow, shown),
            (Flow::Continue(()), vec![("ab".to_owned(), 2)])
        );
    }

    #[test]
    fn a_stage_that_ends_the_choice_finishes_the_later_ones() {
        let (flow, shown) = run(&["a", "!", "c"]);
        assert_eq!(flow, Flow::Break(FinishReason::Stop.into()));
        assert_eq!(shown, [("a!".to_owned(), 2)]);
    }
}
