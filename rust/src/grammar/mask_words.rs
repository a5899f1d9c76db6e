//! Masks as words of 32 tokens each.

use llguidance::toktrie::SimpleVob;

/// A set of tokens as the words of a mask. The set may have room for one token more.
pub(super) fn words_of(set: &SimpleVob, num_words: usize) -> &[u32] {
    let words = set.as_slice();
    &words[..num_words.min(words.len())]
}
