//! All spans, shared over threads.

use super::spans::{Span, is_cut, spans};
use super::sums::{Merge, Sums};
use super::walk::{Keys, Outcome, walk};
use super::{Attention, CacheNumber};
use crate::error::Error;
use crate::isa::Isa;
use crate::share::{Pool, Shared, share};
use crate::simd::dispatch;

/// Fills `out` [R, N * H].
pub(super) fn attend<N: CacheNumber>(
    attention: &Attention<'_>,
    pool: &Pool,
    isa: Isa,
    cache: &[N],
    out: &mut [f32],
) -> Result<(), Error> {
    let (spans, out) = (spans(attention), Shared::new(out));
    if is_cut(&spans, pool.num_threads()) {
        return attend_in_chunks(attention, pool, isa, cache, &spans, out);
    }
    share(pool, spans.len(), &|span| {
        let keys = Keys {
            attention,
            cache,
            span: &spans[span],
        };
        walk(&keys, isa, Outcome::Means(out));
    })
}

/// Every chunk of every span for itself, then each span's chunks in their order.
fn attend_in_chunks<N: CacheNumber>(
    attention: &Attention<'_>,
    pool: &Pool,
    isa: Isa,
    cache: &[N],
    spans: &[Span],
    out: Shared<f32>,
) -> Result<(), Error> {
    let mut firsts = vec![0];
    let mut pieces = Vec::new();
    for (number, span) in spans.iter().enumerate() {
        firsts.push(firsts[number] + span.chunks().len() * attention.num_sums(span));
        pieces.extend(span.chunks().map(|chunk| (number, chunk)));
    }
    let mut sums = vec![0.0; firsts[spans.len()]];
    let place = Shared::new(&mut sums);
    share(pool, pieces.len(), &|piece| {
        let (number, chunk) = pieces[piece];
        let span = &spans[number];
        let len = attention.num_sums(span);
        let first = firsts[number] + (chunk - span.chunks().start) * len;
        // SAFETY: the place lives until the share is over, and this part of it is this piece's.
        let outcome = Outcome::OfChunk(chunk, unsafe { place.part(first, len) });
        walk(
            &Keys {
                attention,
                cache,
                span,
            },
            isa,
            outcome,
        );
    })?;
    for (number, span) in spans.iter().enumerate() {
        join(
            attention,
            isa,
            span,
            &mut sums[firsts[number]..firsts[number + 1]],
            out,
        );
    }
    Ok(())
}

/// The chunks of a span made one.
fn join(attention: &Attention<'_>, isa: Isa, span: &Span, of_chunks: &mut [f32], out: Shared<f32>) {
    let (num_rows, len) = (attention.num_rows(span), attention.num_sums(span));
    let mut place = vec![0.0; len];
    let mut whole = attention.begun(span, &mut place);
    for of_chunk in of_chunks.chunks_exact_mut(len) {
        let other = Sums::within(of_chunk, num_rows);
        dispatch(
            isa,
            Merge {
                whole: &mut whole,
                other: &other,
            },
        );
    }
    attention.write_means(span, &whole, out);
}
