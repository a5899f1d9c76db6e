//! A schema's twin without its strings' greatest lengths: asked for masks where the bound is far away.
//!
//! Both matchers take every token. While a string has room for any token of the vocabulary, both allow the same, and
//! the twin, whose lexer does not count, has its mask at hand. A token that may be longer than the room is tried by the
//! matcher that counts; near the bound that one is asked for everything. So the mask is always that of the schema.

use std::sync::Arc;

use llguidance::Matcher;

use super::long_tokens::{LongToken, MIN_BYTES};
use super::mask_words::words_of;

/// Long tokens that are tried one by one, where their length is not all that matters.
const MAX_TRIED: usize = 16;

/// The twin of one row.
pub(super) struct Twin {
    matcher: Matcher,
    string: JsonString,
    /// Of all bounded strings.
    least_max_length: usize,
    long_tokens: Arc<[LongToken]>,
}

/// Whether the text so far ends within a JSON string, and how many characters at most it has.
#[derive(Debug, Default)]
struct JsonString {
    is_open: bool,
    is_escaped: bool,
    num_chars: usize,
}

impl JsonString {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                _ if self.is_escaped => {
                    self.is_escaped = false;
                    self.num_chars += 1;
                }
                b'"' => {
                    self.is_open = !self.is_open;
                    self.num_chars = 0;
                }
                b'\\' => {
                    self.is_escaped = self.is_open;
                    self.num_chars += 1;
                }
                // The other bytes of a character have been counted with its first.
                0x80..=0xBF => {}
                _ => self.num_chars += 1,
            }
        }
    }
}

impl Twin {
    pub(super) fn new(
        matcher: Matcher,
        least_max_length: usize,
        long_tokens: Arc<[LongToken]>,
    ) -> Self {
        Self {
            matcher,
            string: JsonString::default(),
            least_max_length,
            long_tokens,
        }
    }

    /// Takes a token that its schema's matcher has taken. False if it cannot, and is of no use any more.
    pub(super) fn consume(&mut self, token: u32, bytes: &[u8]) -> bool {
        self.string.take(bytes);
        self.matcher.consume_token(token).is_ok() && !self.matcher.is_stopped()
    }

    /// The mask of `counting`, the schema's matcher, where that need not be asked for all of it.
    pub(super) fn mask(&mut self, counting: &mut Matcher, num_words: usize) -> Option<Arc<[u32]>> {
        let num_chars = if self.string.is_open {
            self.string.num_chars
        } else {
            0
        };
        let room = self.least_max_length.saturating_sub(num_chars);
        if room < MIN_BYTES {
            return None;
        }
        let set = self.matcher.compute_mask().ok()?;
        let mut mask: Arc<[u32]> = words_of(&set, num_words).into();
        let longer = self.long_tokens.iter();
        let longer = longer.take_while(|token| token.num_bytes > room);
        let doubtful: Vec<LongToken> = longer
            .filter(|token| set.is_allowed(token.id))
            .copied()
            .collect();
        if !doubtful.is_empty() {
            let words = Arc::get_mut(&mut mask)?;
            for token in refused(&doubtful, counting)? {
                words[token as usize / 32] &= !(1 << (token % 32));
            }
        }
        Some(mask)
    }
}

/// Those of `doubtful` that `matcher` refuses. None: there are too many to be tried.
fn refused(doubtful: &[LongToken], matcher: &mut Matcher) -> Option<Vec<u32>> {
    let mut is_refused = |token: &LongToken| Some(matcher.validate_tokens(&[token.id]).ok()? == 0);
    let mut refused = Vec::new();
    let others = doubtful.iter().filter(|token| token.num_chars.is_none());
    for token in others.clone().take(MAX_TRIED) {
        if is_refused(token)? {
            refused.push(token.id);
        }
    }
    if others.count() > MAX_TRIED {
        return None;
    }
    // Of those that say just what they spell, one is refused for its length alone: so is every longer one.
    let mut plain: Vec<(usize, LongToken)> = doubtful
        .iter()
        .filter_map(|token| Some((token.num_chars?, *token)))
        .collect();
    plain.sort_by_key(|(num_chars, _)| *num_chars);
    let (mut num_good, mut end) = (0, plain.len());
    while num_good < end {
        let middle = usize::midpoint(num_good, end - 1);
        if is_refused(&plain[middle].1)? {
            end = middle;
        } else {
            num_good = middle + 1;
        }
    }
    refused.extend(plain[num_good..].iter().map(|(_, token)| token.id));
    Some(refused)
}
