//! What is told of tokens beside their text: ids, log probabilities, where in the text they stand.
//!
//! A choice keeps a table only where its request asked for one of these, from when a token comes until it is told.

use std::ops::Range;

/// What a token's log probability is unknown or minus infinity for: JSON has no infinity, and this is `OpenAI`'s word.
pub const LEAST_LOGPROB: f32 = -9999.0;

/// One token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenRow {
    /// Its id.
    pub id: u32,
    /// Characters of the choice's text before it.
    pub text_offset: u32,
    /// Natural logarithm of its probability under the raw logits; none of a prompt's first token.
    pub logprob: Option<f32>,
}

/// One of the likeliest tokens at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopLogprob {
    /// Its id.
    pub id: u32,
    /// As `TokenRow::logprob`.
    pub logprob: f32,
}

/// A token of an engine that tells bytes in place of ids.
#[derive(Clone, Debug, PartialEq)]
pub struct SpelledToken {
    /// What it stands for.
    pub bytes: Vec<u8>,
    /// As `TokenRow::logprob`.
    pub logprob: f32,
    /// The likeliest tokens in its place: bytes and log probability, the likeliest first.
    pub top: Vec<(Vec<u8>, f32)>,
}

/// Rows of consecutive tokens.
#[derive(Debug, Default)]
pub struct TokenTable {
    /// Which token the first row is of.
    first: u32,
    rows: Vec<TokenRow>,
    /// `num_top` of each row, the likeliest first.
    top: Vec<TopLogprob>,
    num_top: usize,
    /// How tokens are spelled whose ids are places in this list: those of an engine that tells no ids.
    spellings: Vec<Box<[u8]>>,
}

/// The id of a token of which nothing is known.
const UNKNOWN: u32 = u32::MAX;

impl TokenTable {
    /// A table without rows, whose rows will have `num_top` likeliest tokens each.
    #[must_use]
    pub fn new(num_top: usize) -> Self {
        Self {
            num_top,
            ..Self::default()
        }
    }

    /// Adds the next token. Of `top`, the first `num_top` are kept; a row that has fewer has none.
    pub fn push(&mut self, row: TokenRow, top: impl IntoIterator<Item = TopLogprob>) {
        self.rows.push(row);
        self.top.extend(top.into_iter().take(self.num_top));
        let none = TopLogprob {
            id: row.id,
            logprob: LEAST_LOGPROB,
        };
        self.top.resize(self.rows.len() * self.num_top, none);
    }

    /// Adds a token that is known by its bytes alone, with its likeliest ones.
    pub fn push_spelled(&mut self, token: &SpelledToken, text_offset: u32) {
        let row = TokenRow {
            id: self.spell(&token.bytes),
            text_offset,
            logprob: Some(token.logprob),
        };
        let spelled = token.top.iter().take(self.num_top);
        let top = spelled.map(|(bytes, logprob)| (bytes, *logprob));
        let top: Vec<TopLogprob> = top
            .map(|(bytes, logprob)| TopLogprob {
                id: self.spell(bytes),
                logprob,
            })
            .collect();
        self.push(row, top);
    }

    /// Adds a token of which nothing is known: no row of it is given.
    pub fn push_unknown(&mut self) {
        let row = TokenRow {
            id: UNKNOWN,
            text_offset: 0,
            logprob: None,
        };
        self.push(row, []);
    }

    /// The bytes of an id, where the table and no vocabulary knows them.
    #[must_use]
    pub fn spelling(&self, id: u32) -> Option<&[u8]> {
        self.spellings.get(id as usize).map(|bytes| &**bytes)
    }

    fn spell(&mut self, bytes: &[u8]) -> u32 {
        self.spellings.push(bytes.into());
        u32::try_from(self.spellings.len() - 1).unwrap_or(UNKNOWN)
    }

    /// The rows of `tokens`, as far as they are kept, each with its likeliest tokens.
    pub fn rows(
        &self,
        tokens: Range<u32>,
    ) -> impl Iterator<Item = (&TokenRow, &[TopLogprob])> + Clone {
        let at = |token: u32| (token.saturating_sub(self.first) as usize).min(self.rows.len());
        let (start, end) = (at(tokens.start), at(tokens.end));
        let top = move |row: usize| &self.top[row * self.num_top..(row + 1) * self.num_top];
        let rows = self.rows[start..end].iter();
        let rows = rows.zip(start..).filter(|(row, _)| row.id != UNKNOWN);
        rows.map(move |(row, index)| (row, top(index)))
    }

    /// Rows that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Forgets the rows of tokens before `token`.
    pub fn forget_before(&mut self, token: u32) {
        let num_told = (token.saturating_sub(self.first) as usize).min(self.rows.len());
        self.rows.drain(..num_told);
        self.top.drain(..num_told * self.num_top);
        self.first = self.first.max(token);
        if self.rows.is_empty() {
            self.spellings.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u32) -> TokenRow {
        TokenRow {
            id,
            text_offset: 0,
            logprob: Some(-1.0),
        }
    }

    fn ids(table: &TokenTable, tokens: Range<u32>) -> Vec<(u32, Vec<u32>)> {
        let ids_of = |top: &[TopLogprob]| top.iter().map(|it| it.id).collect();
        let rows = table.rows(tokens);
        rows.map(|(row, top)| (row.id, ids_of(top))).collect()
    }

    #[test]
    fn rows_are_found_by_their_token_whatever_was_forgotten() {
        let mut table = TokenTable::new(2);
        for id in 0..4 {
            let top = (10 * id..).map(|id| TopLogprob { id, logprob: 0.0 });
            table.push(row(id), top.take(3));
        }
        table.forget_before(2);
        assert_eq!(ids(&table, 0..3), [(2, vec![20, 21])]);
        assert_eq!(ids(&table, 3..9), [(3, vec![30, 31])]);
        table.push(row(4), []);
        assert_eq!(ids(&table, 4..5), [(4, vec![4, 4])]);
    }
}
