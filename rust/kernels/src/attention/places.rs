//! Where new tokens stand in the pages, and which keys each of them sees.

use std::ops::Range;

use super::shape::PAGE;
use crate::error::Error;

/// Of B sequences with T new tokens each.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// [B, T], of each token in its sequence; -1 is padding, which stores nothing and becomes 0.
    pub positions: &'a [i32],
    /// T.
    pub num_new: usize,
    /// [B, P], the page of each 16 positions of a sequence.
    pub block_table: &'a [i32],
    /// P.
    pub num_table: usize,
    /// How many positions a token sees, itself included.
    pub window: Option<usize>,
}

impl Places<'_> {
    /// B.
    pub(super) fn num_sequences(&self) -> usize {
        self.positions.len().checked_div(self.num_new).unwrap_or(0)
    }

    /// Every page that is written or read is one of the cache, or `INVALID_ARGUMENT`.
    pub(super) fn check(&self, num_pages: usize) -> Result<(), Error> {
        let num_sequences = self.num_sequences();
        if num_sequences * self.num_new != self.positions.len()
            || self.block_table.len() != num_sequences * self.num_table
        {
            return Err(Error::invalid(
                "positions and block_table are of different batches",
            ));
        }
        if self.window == Some(0) {
            return Err(Error::invalid("a window of 0 positions"));
        }
        (0..num_sequences).try_for_each(|sequence| {
            let keys = self.keys_of(sequence, 0..self.num_new);
            let pages = keys.start / PAGE..keys.end.div_ceil(PAGE);
            if pages.end > self.num_table {
                let last = keys.end - 1;
                return Err(Error::invalid(format!(
                    "position {last} lies behind {} pages",
                    self.num_table
                )));
            }
            let named = &self.block_table[sequence * self.num_table..][pages];
            named
                .iter()
                .try_for_each(|&page| match usize::try_from(page) {
                    Ok(number) if number < num_pages => Ok(()),
                    _ => Err(Error::invalid(format!(
                        "block_table names page {page} of {num_pages}"
                    ))),
                })
        })
    }

    /// The position of a token, unless it is padding.
    pub(super) fn position(&self, sequence: usize, token: usize) -> Option<usize> {
        usize::try_from(self.positions[sequence * self.num_new + token]).ok()
    }

    /// The keys that a token sees.
    pub(super) fn keys(&self, sequence: usize, token: usize) -> Range<usize> {
        let Some(position) = self.position(sequence, token) else {
            return 0..0;
        };
        let end = position + 1;
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// From the first to the last key that one of some tokens sees.
    pub(super) fn keys_of(&self, sequence: usize, tokens: Range<usize>) -> Range<usize> {
        let seen = tokens
            .map(|token| self.keys(sequence, token))
            .filter(|keys| !keys.is_empty());
        seen.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
            .unwrap_or(0..0)
    }

    /// The page of a sequence's key.
    pub(super) fn page(&self, sequence: usize, key: usize) -> usize {
        usize::try_from(self.block_table[sequence * self.num_table + key / PAGE]).unwrap_or(0)
    }
}
