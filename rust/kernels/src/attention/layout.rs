//! How a layer's cache lies.

use super::cache_number::CacheNumber;
use super::shape::{Heads, PAGE};
use crate::error::Error;

/// How a cache `[pages, K, rows, 16]` lies. Of a page and a head first the keys `[H, 16 tokens]`, so that the scores of
/// 16 tokens are one vector, then the values `[16 tokens, H]`. In bfloat16 two neighbours lie together, as a vector of
/// them is widened by a shift: keys `[H / 2, 16 tokens, 2]`, values `[16 tokens / 2, H, 2]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    num_kv_heads: usize,
    key_rows: usize,
    value_rows: usize,
}

impl Layout {
    pub(super) fn new(heads: Heads) -> Self {
        let size = heads.head_dim;
        Self {
            num_kv_heads: heads.num_kv_heads,
            key_rows: size.next_multiple_of(2),
            value_rows: size.max(PAGE),
        }
    }

    /// Sizes behind the number of pages.
    fn page_dims(self) -> [usize; 3] {
        [self.num_kv_heads, self.key_rows + self.value_rows, PAGE]
    }

    /// The number of pages of a cache of these sizes.
    pub(super) fn num_pages(self, dims: &[usize]) -> Result<usize, Error> {
        match dims.split_first() {
            Some((&num_pages, rest)) if rest == self.page_dims() => Ok(num_pages),
            _ => {
                let [heads, rows, page] = self.page_dims();
                Err(Error::invalid(format!(
                    "the cache is {dims:?}, not [pages, {heads}, {rows}, {page}]"
                )))
            }
        }
    }

    /// Numbers of a head's part of a page.
    pub(super) fn region(self) -> usize {
        (self.key_rows + self.value_rows) * PAGE
    }

    /// Where a head's part of a page begins.
    pub(super) fn start(self, page: usize, head: usize) -> usize {
        (page * self.num_kv_heads + head) * self.region()
    }

    /// Keys and values of a head's part of a page.
    pub(super) fn split<N: CacheNumber>(self, region: &[N]) -> (&[N::Word], &[N::Word]) {
        let (keys, values) = region.split_at(self.key_rows * PAGE);
        (N::words(keys), N::words(values))
    }

    /// As `split`, to be written.
    pub(super) fn split_mut<N>(self, region: &mut [N]) -> (&mut [N], &mut [N]) {
        region.split_at_mut(self.key_rows * PAGE)
    }
}
