//! Attention of new tokens over a paged cache, from their projections to their mixed values, in one call: norm and
//! rotary positions, the cache's new keys and values, then causal attention with a running softmax.
//!
//! A row is a query head of a token. What is summed up for it, and in which order, depends on its position alone: its
//! result is the same bit for bit in any batch, bucket and span, on any number of threads.

mod attend;
mod cache_number;
mod handler;
mod layout;
mod places;
mod prepare;
mod shape;
mod softmax;
mod spans;
mod store;
mod sums;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(test)]
mod twin;
mod walk;

use std::ops::Range;

use crate::error::Error;
use crate::isa::Isa;
use crate::share::Pool;
use cache_number::CacheNumber;
pub use handler::AttentionHandler;
use layout::Layout;
pub use places::Places;
pub use prepare::{Norm, NormKind, Preparation, Rope};
pub use shape::{Heads, PAGE};
use spans::Span;
use sums::Vectors;

/// One layer's call.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// Sizes.
    pub heads: Heads,
    /// [R, K, (G + 2) * H]: of a token and a key-value head its queries, its key and its value, as they are projected.
    pub fused: &'a [f32],
    /// What happens to them first.
    pub preparation: Preparation<'a>,
    /// [N], scores of a key without a value, or nothing.
    pub sinks: &'a [f32],
    /// What products of queries and keys are multiplied by.
    pub scale: f32,
    /// Bends scores into (-cap, cap).
    pub soft_cap: Option<f32>,
    /// Of R = B * T tokens.
    pub places: Places<'a>,
}

impl Attention<'_> {
    /// Stores the new keys and values in `cache` [pages, K, even(H) + max(H, 16), 16], and fills `out` [R, N * H]. What
    /// a token does not see may be anything.
    ///
    /// # Errors
    /// Sizes do not fit one another, a position or a page is none of the cache's, or a thread panicked.
    pub(crate) fn run<N: CacheNumber>(
        &self,
        pool: &Pool,
        isa: Isa,
        cache: &mut [N],
        cache_dims: &[usize],
        out: &mut [f32],
    ) -> Result<(), Error> {
        self.check(cache_dims, out.len())?;
        store::store(self, pool, isa, cache)?;
        attend::attend(self, pool, isa, cache, out)
    }

    fn check(&self, cache_dims: &[usize], num_out: usize) -> Result<(), Error> {
        let Heads {
            num_kv_heads,
            num_groups,
            head_dim,
        } = self.heads;
        let (num_rows, num_heads) = (self.places.positions.len(), num_kv_heads * num_groups);
        if num_heads * head_dim == 0 {
            return Err(Error::invalid("attention without heads"));
        }
        let expected = [
            num_rows * num_kv_heads * self.heads.fused_size(),
            num_rows * self.heads.query_size(),
        ];
        if [self.fused.len(), num_out] != expected {
            return Err(Error::invalid(format!(
                "{} projected and {num_out} mixed numbers of {num_rows} rows: expected {} and {}",
                self.fused.len(),
                expected[0],
                expected[1]
            )));
        }
        if !self.sinks.is_empty() && self.sinks.len() != num_heads {
            return Err(Error::invalid(format!(
                "{} sinks of {num_heads} heads",
                self.sinks.len()
            )));
        }
        self.preparation
            .check(num_rows, [num_heads, num_kv_heads], head_dim)?;
        self.places
            .check(Layout::new(self.heads).num_pages(cache_dims)?)
    }

    /// Query heads of a span.
    fn num_rows(&self, span: &Span) -> usize {
        span.tokens.len() * self.heads.num_groups
    }

    /// Numbers of a span's sums.
    fn num_sums(&self, span: &Span) -> usize {
        sums::Sums::len(self.num_rows(span), self.vectors())
    }

    fn vectors(&self) -> Vectors {
        Vectors::new(self.heads.head_dim)
    }

    /// A row's token in its sequence, and its query head.
    #[inline(always)]
    fn token_and_head(&self, span: &Span, row: usize) -> (usize, usize) {
        let groups = self.heads.num_groups;
        (
            span.tokens.start + row / groups,
            span.head * groups + row % groups,
        )
    }

    /// The keys that a row sees.
    #[inline(always)]
    fn keys_of(&self, span: &Span, row: usize) -> Range<usize> {
        self.places
            .keys(span.sequence, self.token_and_head(span, row).0)
    }

    /// A token's and head's projections.
    #[inline(always)]
    fn projected(&self, row: usize, head: usize) -> &[f32] {
        let size = self.heads.fused_size();
        &self.fused[(row * self.heads.num_kv_heads + head) * size..][..size]
    }
}
