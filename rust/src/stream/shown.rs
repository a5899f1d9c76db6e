//! What of a choice has come out of its chain: told as events, or added up for the plain answer.

use std::ops::Range;

use crate::delta::{Delta, Fold, Kind};
use crate::dialect::{Details, Ending, StopMatch, Usage};
use crate::finish_reason::FinishReason;
use crate::opening::Opening;
use crate::token_table::TokenTable;
use crate::vocabulary::Vocabulary;

use super::frames::Frames;

/// What is told of reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reasoning {
    All,
    /// The ids of its tokens, for a request that wants those of all.
    Ids,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Shown {
    index: usize,
    reasoning: Reasoning,
    /// Of plain answers only.
    pub(super) fold: Fold,
    /// Of plain answers that tell more than text: the tokens that came out as text.
    pub(super) text_tokens: Vec<Range<u32>>,
    /// Where the request asked for more than text: rows of the tokens that are not told yet, or of all in plain answers.
    pub(super) table: Option<TokenTable>,
    /// What the choice cost so far; its tokens are those that the engine gave, shown or not.
    pub(super) usage: Usage,
    /// Of its tokens, those that came out of the chain.
    num_tokens_out: u32,
    /// Whether a tool call was shown.
    has_called: bool,
    /// Whether what came last is text, or nothing did.
    is_in_text: bool,
}

impl Shown {
    pub(super) fn new(index: usize, opening: &Opening) -> Self {
        let output = &opening.output;
        let num_top = output.logprobs.unwrap_or(0) as usize;
        Self {
            index,
            reasoning: match (output.includes_reasoning, output.returns_token_ids) {
                (true, _) => Reasoning::All,
                (false, true) => Reasoning::Ids,
                (false, false) => Reasoning::Nothing,
            },
            fold: Fold::default(),
            text_tokens: Vec::new(),
            table: output.tells_tokens().then(|| TokenTable::new(num_top)),
            usage: Usage {
                prompt_tokens: u64::from(opening.prompt_tokens),
                ..Usage::default()
            },
            num_tokens_out: 0,
            has_called: false,
            is_in_text: true,
        }
    }

    /// Given by the engine, shown or not.
    pub(super) fn num_tokens(&self) -> u32 {
        u32::try_from(self.usage.completion_tokens).unwrap_or(u32::MAX)
    }

    pub(super) fn details<'a>(&'a self, vocabulary: &'a Vocabulary) -> Details<'a> {
        Details {
            tokens: self.table.as_ref(),
            vocabulary,
            usage: &self.usage,
        }
    }

    /// Takes what comes out of the chain.
    pub(super) fn add(&mut self, delta: &Delta<'_>, vocabulary: &Vocabulary, frames: &mut Frames) {
        let tokens = delta.tokens.clone();
        debug_assert_eq!(
            tokens.start, self.num_tokens_out,
            "deltas leave no token out"
        );
        self.num_tokens_out = tokens.end;
        self.is_in_text = delta.kind == Kind::Text;
        match delta.kind {
            Kind::Reasoning => {
                self.usage.reasoning_tokens += u64::from(tokens.end - tokens.start);
                self.tell_reasoning(delta, vocabulary, frames);
            }
            Kind::ToolCall { .. } => {
                self.has_called = true;
                self.tell(delta, vocabulary, frames);
            }
            Kind::Text | Kind::ToolArguments { .. } => self.tell(delta, vocabulary, frames),
        }
        self.forget_told(frames);
    }

    fn tell_reasoning(&mut self, delta: &Delta<'_>, vocabulary: &Vocabulary, frames: &mut Frames) {
        match self.reasoning {
            Reasoning::All => self.tell(delta, vocabulary, frames),
            Reasoning::Ids => {
                let text = "";
                let without_text = Delta {
                    text,
                    ..delta.clone()
                };
                self.tell(&without_text, vocabulary, frames);
            }
            Reasoning::Nothing => {}
        }
    }

    fn tell(&mut self, delta: &Delta<'_>, vocabulary: &Vocabulary, frames: &mut Frames) {
        if frames.is_streamed {
            let details = self.details(vocabulary);
            frames.write(|writer, out| writer.push_delta(self.index, delta, &details, out));
        } else {
            self.fold.add(delta);
            if self.is_in_text && self.table.is_some() {
                add_range(&mut self.text_tokens, delta.tokens.clone());
            }
        }
    }

    /// The end of the choice as it is told: one that stops after it has called a tool ends for that.
    pub(super) fn reason_of(&self, reason: FinishReason) -> FinishReason {
        match reason {
            FinishReason::Stop if self.has_called => FinishReason::ToolCalls,
            other => other,
        }
    }

    /// Tells the end, with the tokens that no delta told.
    pub(super) fn end(
        &mut self,
        reason: FinishReason,
        stop: Option<&StopMatch>,
        vocabulary: &Vocabulary,
        frames: &mut Frames,
    ) {
        let tokens = self.num_tokens_out..self.num_tokens();
        if frames.is_streamed {
            let ending = Ending {
                reason,
                tokens,
                is_text: self.is_in_text,
                stop,
            };
            let details = self.details(vocabulary);
            frames.write(|writer, out| writer.push_finish(self.index, &ending, &details, out));
        } else if self.is_in_text && self.table.is_some() {
            add_range(&mut self.text_tokens, tokens);
        }
    }

    /// A plain answer tells its tokens at its end.
    fn forget_told(&mut self, frames: &Frames) {
        if let Some(table) = &mut self.table
            && frames.is_streamed
        {
            table.forget_before(self.num_tokens_out);
        }
    }
}

/// Adds tokens that come after all others.
fn add_range(ranges: &mut Vec<Range<u32>>, tokens: Range<u32>) {
    match ranges.last_mut() {
        Some(last) if last.end == tokens.start => last.end = tokens.end,
        _ if tokens.is_empty() => {}
        _ => ranges.push(tokens),
    }
}
