//! How attention is cut into pieces that threads take.

use std::cmp::Reverse;
use std::ops::Range;

use super::Attention;
use super::shape::CHUNK;

/// Rows of a span at most, where a token has fewer: what they have summed up fits the nearest caches.
const SPAN_ROWS: usize = 128;
/// Pieces for each thread below which sequences are cut along their keys, too.
const PIECES_PER_THREAD: usize = 8;

/// Neighbouring tokens of a sequence with one key-value head. Its rows are its tokens' query heads, token by token.
pub(super) struct Span {
    pub(super) sequence: usize,
    pub(super) tokens: Range<usize>,
    pub(super) head: usize,
    /// From the first to the last key that a row sees.
    pub(super) keys: Range<usize>,
}

impl Span {
    /// The chunks that hold its keys.
    pub(super) fn chunks(&self) -> Range<usize> {
        self.keys.start / CHUNK..self.keys.end.div_ceil(CHUNK)
    }
}

/// All of them, the most work first, so that threads end together.
pub(super) fn spans(attention: &Attention<'_>) -> Vec<Span> {
    let (heads, places) = (attention.heads, &attention.places);
    let num_new = places.num_new;
    let most = (SPAN_ROWS / heads.num_groups).max(1);
    let num_parts = num_new.div_ceil(most);
    let mut spans = Vec::with_capacity(places.num_sequences() * num_parts * heads.num_kv_heads);
    for sequence in 0..places.num_sequences() {
        for part in 0..num_parts {
            let tokens = part * num_new / num_parts..(part + 1) * num_new / num_parts;
            let keys = places.keys_of(sequence, tokens.clone());
            spans.extend((0..heads.num_kv_heads).map(|head| {
                let (tokens, keys) = (tokens.clone(), keys.clone());
                Span {
                    sequence,
                    tokens,
                    head,
                    keys,
                }
            }));
        }
    }
    spans.sort_by_key(|span| Reverse(span.tokens.len() * span.keys.len()));
    spans
}

/// Whether to cut spans along their keys, as they alone would leave threads without work.
pub(super) fn is_cut(spans: &[Span], num_threads: usize) -> bool {
    num_threads > 1
        && spans.len() < PIECES_PER_THREAD * num_threads
        && spans.iter().any(|span| span.chunks().len() > 1)
}
