//! What a reasoning model thinks before it answers: free text up to a marker, and no constraint before that.

use llguidance::toktrie::TokTrie;

/// A thought that comes, or may come, before the constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thought {
    /// The token that begins one, where the prompt has not: the answer may begin without it. None: it has begun.
    pub begin: Option<u32>,
    /// The text, special tokens included, that ends it.
    pub end: Vec<u8>,
    /// The tokens that spell `end`, to close a thought that is over its budget.
    pub close: Vec<u32>,
    /// Tokens that it may take. None: any number.
    pub max_tokens: Option<u32>,
}

/// How far a thought has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    num_tokens: u32,
    /// The last bytes, fewer than the end marker has.
    tail: Vec<u8>,
}

impl Progress {
    /// Takes a token of a thought. True if it ends it; text behind the marker in that token is not looked at.
    pub(super) fn is_ended_by(&mut self, token: u32, thought: &Thought, trie: &TokTrie) -> bool {
        self.num_tokens = self.num_tokens.saturating_add(1);
        self.tail.extend_from_slice(&trie.decode(&[token]));
        if contains(&self.tail, &thought.end) {
            return true;
        }
        let keep = thought.end.len().saturating_sub(1);
        self.tail.drain(..self.tail.len().saturating_sub(keep));
        false
    }

    /// No more tokens are left to it.
    pub(super) fn is_over_budget(&self, thought: &Thought) -> bool {
        thought.max_tokens.is_some_and(|max| self.num_tokens >= max)
    }
}

fn contains(text: &[u8], marker: &[u8]) -> bool {
    marker.is_empty() || text.windows(marker.len()).any(|window| window == marker)
}

/// The tokens that spell `marker`: special ones by their names, the rest greedily. None where the model cannot.
pub(super) fn spell(marker: &str, trie: &TokTrie) -> Option<Vec<u32>> {
    if let Some(token) = token_of(marker, trie) {
        return Some(vec![token]);
    }
    let ids = trie.tokenize_with_special(marker, |text| trie.greedy_tokenize(text.as_bytes()));
    (trie.decode(&ids) == marker.as_bytes()).then_some(ids)
}

/// The one token that is `marker`, special or not.
pub(super) fn token_of(marker: &str, trie: &TokTrie) -> Option<u32> {
    let is_text = || {
        let mut ids = trie.greedy_tokenize(marker.as_bytes());
        ids.pop().filter(|_| ids.is_empty())
    };
    trie.get_special_token(marker)
        .or_else(is_text)
        .filter(|id| trie.decode(&[*id]) == marker.as_bytes())
}
