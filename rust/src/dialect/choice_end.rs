//! What stands behind a choice's text: log probabilities, why it ended, ids.

use std::ops::Range;

use super::json::{push_number, push_string};
use super::logprobs::{self, push_list};
use super::{Details, Identity, Prompt, StopMatch};
use crate::finish_reason::FinishReason;

/// How an API writes log probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogprobStyle {
    Chat,
    Completions,
}

/// What stands behind a choice's text.
pub(super) struct Rest<'a> {
    /// Whose rows come before the tokens' own.
    pub(super) prompt: Option<&'a Prompt<'a>>,
    /// The tokens whose log probabilities are told.
    pub(super) ranges: &'a [Range<u32>],
    /// The tokens whose ids are told.
    pub(super) tokens: Range<u32>,
    pub(super) details: &'a Details<'a>,
    pub(super) reason: Option<FinishReason>,
    pub(super) stop: Option<&'a StopMatch>,
}

/// Writes it, as one stream wants it.
#[derive(Debug)]
pub(super) struct ChoiceEnd {
    style: LogprobStyle,
    tells_logprobs: bool,
    pub(super) tells_token_ids: bool,
    /// Why a choice ended that has called a tool.
    call_reason: &'static str,
}

impl ChoiceEnd {
    pub(super) fn new(of: &Identity<'_>, style: LogprobStyle) -> Self {
        Self {
            style,
            tells_logprobs: of.output.logprobs.is_some(),
            tells_token_ids: of.output.returns_token_ids,
            call_reason: if of.output.calls_are_functions {
                "function_call"
            } else {
                FinishReason::ToolCalls.name()
            },
        }
    }

    /// A field with a prompt's ids, if it was asked for.
    pub(super) fn push_prompt_ids(&self, ids: &[u32], out: &mut Vec<u8>) {
        if self.tells_token_ids {
            out.extend_from_slice(b",\"prompt_token_ids\":[");
            push_list(ids.iter(), out, |id, out| push_number(*id as usize, out));
            out.push(b']');
        }
    }

    /// A field with the log probabilities of a prompt's tokens, where it was asked for.
    pub(super) fn push_prompt_logprobs(
        prompt: &Prompt<'_>,
        details: &Details<'_>,
        out: &mut Vec<u8>,
    ) {
        if let Some(table) = prompt.own_tokens {
            out.extend_from_slice(b",\"prompt_logprobs\":");
            logprobs::push_prompt(table.rows(0..u32::MAX), details, out);
        }
    }

    /// `is_whole`: of a body, which tells log probabilities that were asked for even where there are none.
    pub(super) fn push(&self, rest: &Rest<'_>, is_whole: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"logprobs\":");
        self.push_logprobs(rest, is_whole, out);
        out.extend_from_slice(b",\"finish_reason\":");
        match rest.reason {
            Some(FinishReason::ToolCalls) => push_string(self.call_reason, out),
            Some(reason) => push_string(reason.name(), out),
            None => out.extend_from_slice(b"null"),
        }
        if let Some(stop) = rest.stop {
            out.extend_from_slice(b",\"stop_reason\":");
            match stop {
                StopMatch::String(text) => push_string(text, out),
                StopMatch::Id(id) => push_number(*id as usize, out),
            }
        }
        if self.tells_token_ids {
            self.push_token_ids(rest, out);
        }
        if let (Some(prompt), LogprobStyle::Completions) = (rest.prompt, self.style) {
            Self::push_prompt_logprobs(prompt, rest.details, out);
        }
        out.push(b'}');
    }

    fn push_logprobs(&self, rest: &Rest<'_>, is_whole: bool, out: &mut Vec<u8>) {
        let (prompt, table) = (rest.prompt.and_then(|it| it.tokens), rest.details.tokens);
        let own =
            move |range: Range<u32>| table.into_iter().flat_map(move |it| it.rows(range.clone()));
        let prompts = prompt.into_iter().flat_map(|it| it.rows(0..u32::MAX));
        let rows = prompts.chain(rest.ranges.iter().cloned().flat_map(own));
        if !self.tells_logprobs || (!is_whole && rows.clone().next().is_none()) {
            return out.extend_from_slice(b"null");
        }
        match self.style {
            LogprobStyle::Chat => logprobs::push_chat(rows, rest.details, out),
            LogprobStyle::Completions => logprobs::push_completions(rows, rest.details, out),
        }
    }

    fn push_token_ids(&self, rest: &Rest<'_>, out: &mut Vec<u8>) {
        let table = rest.details.tokens;
        let rows = table
            .into_iter()
            .flat_map(|it| it.rows(rest.tokens.clone()));
        out.extend_from_slice(b",\"token_ids\":[");
        push_list(rows, out, |(row, _), out| push_number(row.id as usize, out));
        out.push(b']');
        if let (Some(prompt), LogprobStyle::Completions) = (rest.prompt, self.style) {
            self.push_prompt_ids(prompt.ids, out);
        }
    }
}
