//! What an engine step says of tokens beside their ids, as its arrays lie in memory.

use crate::token_table::TopLogprob;

/// Log probabilities of `N` consecutive tokens.
#[derive(Clone, Copy, Debug)]
pub struct LogprobRows<'a> {
    /// Of the tokens themselves, `[N]`.
    pub sampled: &'a [f32],
    /// Ids of the likeliest tokens in each one's place, the likeliest first, `[N, K]`.
    pub top_ids: &'a [i32],
    /// Their log probabilities, `[N, K]`.
    pub top: &'a [f32],
}

/// Log probabilities of a prompt's tokens `start` + 1 to `start` + `N`, given what stands before each.
#[derive(Clone, Copy, Debug)]
pub struct PromptColumns<'a> {
    /// Whose prompt.
    pub row_key: u64,
    /// The place of the token before them.
    pub start: u32,
    /// Theirs.
    pub rows: LogprobRows<'a>,
}

/// Log probabilities in one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenLogprobs<'a> {
    pub(super) sampled: f32,
    top_ids: &'a [i32],
    top: &'a [f32],
}

impl<'a> LogprobRows<'a> {
    /// Of the token at `place`; none where there is no such row.
    pub(super) fn get(&self, place: usize) -> Option<TokenLogprobs<'a>> {
        let num_top = self.top_ids.len() / self.sampled.len().max(1);
        let top = place * num_top..(place + 1) * num_top;
        Some(TokenLogprobs {
            sampled: *self.sampled.get(place)?,
            top_ids: self.top_ids.get(top.clone())?,
            top: self.top.get(top)?,
        })
    }
}

impl<'a> PromptColumns<'a> {
    pub(super) fn tokens(&self) -> impl Iterator<Item = TokenLogprobs<'a>> {
        let rows = self.rows;
        (0..rows.sampled.len()).filter_map(move |place| rows.get(place))
    }
}

impl<'a> TokenLogprobs<'a> {
    /// The likeliest tokens. A negative id is none.
    pub(super) fn top(&self) -> impl Iterator<Item = TopLogprob> + use<'a> {
        let pairs = self.top_ids.iter().zip(self.top);
        pairs.filter_map(|(id, logprob)| {
            let id = u32::try_from(*id).ok()?;
            let logprob = *logprob;
            Some(TopLogprob { id, logprob })
        })
    }
}
