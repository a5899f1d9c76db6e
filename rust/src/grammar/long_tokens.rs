//! A vocabulary's long tokens, the longest first: those that a string near its greatest length may have no room for.

use llguidance::toktrie::TokTrie;

/// Shorter tokens are not in the table.
pub(super) const MIN_BYTES: usize = 16;

/// A token of more than [`MIN_BYTES`] bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct LongToken {
    pub(super) id: u32,
    pub(super) num_bytes: usize,
    /// Of one that says within a JSON string just what it spells.
    pub(super) num_chars: Option<usize>,
}

/// All of them, the longest first.
pub(super) fn long_tokens(trie: &TokTrie) -> Vec<LongToken> {
    let num_ids = u32::try_from(trie.vocab_size()).unwrap_or(u32::MAX);
    let mut found: Vec<LongToken> = (0..num_ids)
        .filter(|id| trie.token_len(*id) > MIN_BYTES)
        .map(|id| {
            let bytes = trie.token(id);
            LongToken {
                id,
                num_bytes: bytes.len(),
                num_chars: num_plain_chars(bytes),
            }
        })
        .collect();
    found.sort_by_key(|token| std::cmp::Reverse(token.num_bytes));
    found
}

fn num_plain_chars(bytes: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_plain = |c: char| !c.is_control() && c != '"' && c != '\\';
    text.chars().all(is_plain).then(|| text.chars().count())
}
