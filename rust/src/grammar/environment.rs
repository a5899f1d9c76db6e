//! A model's tokens as a trie of bytes: what llguidance walks to find those that a grammar allows.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use llguidance::toktrie::{INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use crate::vocabulary::{Piece, Vocabulary};

/// Longer tokens are never allowed: the trie cannot hold them, and no tokenizer needs them.
const MAX_TOKEN_BYTES: usize = 1000;

/// Why a vocabulary cannot be used for grammars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvironmentError {
    /// More tokens, or more text in them, than the trie can hold.
    TooLarge,
    /// A stop token that the model does not have.
    UnknownStop(u32),
}

impl fmt::Display for EnvironmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the vocabulary is too large for grammars"),
            Self::UnknownStop(id) => write!(f, "the stop token {id} is not in the vocabulary"),
        }
    }
}

impl std::error::Error for EnvironmentError {}

/// The trie, and no tokenizer: which of several spellings of a text is taken is the model's choice.
struct Environment {
    trie: TokTrie,
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, text: &[u8]) -> Vec<TokenId> {
        self.trie.greedy_tokenize(text)
    }

    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}

/// The trie of a model with `num_ids` logits, which end a text by one of `stop_ids`.
///
/// # Errors
/// See [`EnvironmentError`].
pub(super) fn environment(
    vocabulary: &Vocabulary,
    num_ids: u32,
    stop_ids: &[u32],
) -> Result<TokEnv, EnvironmentError> {
    if let Some(id) = stop_ids.iter().find(|id| **id >= num_ids) {
        return Err(EnvironmentError::UnknownStop(*id));
    }
    let tokens: Vec<Vec<u8>> = (0..num_ids).map(|id| bytes_of(vocabulary, id)).collect();
    let first_stop = stop_ids.first().copied().unwrap_or(INVALID_TOKEN);
    let build = || {
        let trie = TokTrie::from(&TokRxInfo::new(num_ids, first_stop), &tokens);
        if stop_ids.is_empty() {
            trie
        } else {
            trie.with_eos_tokens(stop_ids)
        }
    };
    // The trie's own limits are assertions.
    let trie = catch_unwind(AssertUnwindSafe(build)).map_err(|_| EnvironmentError::TooLarge)?;
    Ok(Arc::new(Environment { trie }))
}

/// What a token spells; of a special one its name behind the trie's mark, so that no text can be spelt with it. Empty
/// where there is none: never allowed.
fn bytes_of(vocabulary: &Vocabulary, id: u32) -> Vec<u8> {
    let mut bytes = match vocabulary.piece(id, false) {
        Piece::Absent => Vec::new(),
        Piece::Text(text) => text.as_bytes().to_vec(),
        Piece::Bytes(bytes) => bytes.to_vec(),
        Piece::Byte(byte) => vec![byte],
    };
    if bytes.len() > MAX_TOKEN_BYTES {
        return Vec::new();
    }
    if vocabulary.is_special(id) {
        bytes.insert(0, TokTrie::SPECIAL_TOKEN_MARKER);
    } else if bytes.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
        return Vec::new(); // a byte that no UTF-8 text has
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::testing::{byte_fallback, byte_level};

    #[test]
    fn tokens_spell_what_the_vocabulary_says() {
        let vocabulary = byte_level(&["water", " the"]);
        let env = environment(&vocabulary, 300, &[258]).unwrap();
        let trie = env.tok_trie();
        assert_eq!(trie.token(256), b"water");
        assert_eq!(trie.token(257), b" the");
        assert_eq!(trie.token(65), b"A");
        assert_eq!(trie.token(258), b"\xFF<eos>");
        assert_eq!(trie.token(299), b"");
        assert_eq!(trie.eos_tokens(), [258]);
    }

    #[test]
    fn fallback_bytes_are_bytes() {
        let vocabulary = byte_fallback(&["▁the"]);
        let env = environment(&vocabulary, 258, &[257]).unwrap();
        assert_eq!(env.tok_trie().token(0xC3), [0xC3]);
        assert_eq!(env.tok_trie().token(0xFF), b"");
        assert_eq!(env.tok_trie().token(256), b" the");
    }

    #[test]
    fn a_stop_token_that_is_not_there_is_refused() {
        let refused = environment(&byte_level(&[]), 257, &[257]);
        assert_eq!(refused.err(), Some(EnvironmentError::UnknownStop(257)));
    }
}
