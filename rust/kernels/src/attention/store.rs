//! New keys and values, into the cache.

use super::Attention;
use super::cache_number::CacheNumber;
use super::layout::Layout;
use super::shape::PAGE;
use crate::error::Error;
use crate::isa::Isa;
use crate::share::{Pool, Shared, share};
use crate::simd::{Simd, Task, dispatch};

/// Numbers that are worth another thread's attention.
const NUMBERS_OF_CHUNK: usize = 1 << 13;

/// Stores keys and values. A chunk has heads of its own, so no two of them write the same place, whatever the block
/// table says.
pub(super) fn store<N: CacheNumber>(
    attention: &Attention<'_>,
    pool: &Pool,
    isa: Isa,
    cache: &mut [N],
) -> Result<(), Error> {
    let num_heads = attention.heads.num_kv_heads;
    let worth = (attention.fused.len() / NUMBERS_OF_CHUNK).clamp(1, pool.num_threads());
    let (num_chunks, cache) = (worth.min(num_heads), Shared::new(cache));
    share(pool, num_chunks, &|chunk| {
        for head in chunk * num_heads / num_chunks..(chunk + 1) * num_heads / num_chunks {
            dispatch(
                isa,
                StoreHead {
                    attention,
                    head,
                    cache,
                },
            );
        }
    })
}

/// All new tokens' keys and values of one head.
struct StoreHead<'a, N> {
    attention: &'a Attention<'a>,
    head: usize,
    cache: Shared<N>,
}

impl<N: CacheNumber> Task for StoreHead<'_, N> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (attention, places) = (self.attention, &self.attention.places);
        let size = attention.heads.head_dim;
        let mut key = vec![0.0; 2 * size];
        let (key, value) = key.split_at_mut(size);
        for row in 0..places.positions.len() {
            let (sequence, token) = (row / places.num_new, row % places.num_new);
            let Some(position) = places.position(sequence, token) else {
                continue;
            };
            let fused = &attention.projected(row, self.head)[attention.heads.num_groups * size..];
            attention
                .preparation
                .key(&fused[..size], key, row, self.head);
            attention.preparation.value(&fused[size..], value);
            self.write(places.page(sequence, position), position % PAGE, key, value);
        }
    }
}

impl<N: CacheNumber> StoreHead<'_, N> {
    #[inline(always)]
    fn write(&self, page: usize, token: usize, key: &[f32], value: &[f32]) {
        let layout = Layout::new(self.attention.heads);
        // SAFETY: the cache lives until the share is over, and this head's part of each page is this chunk's.
        let region = unsafe {
            self.cache
                .part(layout.start(page, self.head), layout.region())
        };
        let (keys, values) = layout.split_mut(region);
        let size = self.attention.vectors().stored();
        for (h, (key, value)) in key.iter().zip(value).enumerate() {
            keys[N::key_index(h, token)] = N::nearest(*key);
            values[N::value_index(h, token, size)] = N::nearest(*value);
        }
    }
}
