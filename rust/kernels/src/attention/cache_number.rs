//! Numbers of a cache, and the two products with them.

use super::shape::{BLOCK, PAGE};
use crate::ffi::Element;
use crate::number::Bf16;
use crate::simd::{LANES, Simd};

/// A number of a cache: float32, or bfloat16, of which two neighbours are one word.
pub(crate) trait CacheNumber: Element {
    /// What vectors are loaded of.
    type Word: Copy + Sync;

    /// The nearest.
    fn nearest(number: f32) -> Self;
    /// Where the number `h` of token `token`'s key lies.
    fn key_index(h: usize, token: usize) -> usize;
    /// Where the number `h` of token `token`'s value lies, of values of `size` numbers.
    fn value_index(h: usize, token: usize, size: usize) -> usize;
    /// The same memory.
    fn words(numbers: &[Self]) -> &[Self::Word];

    /// The products of R queries with the 16 keys of each of P pages. A product's sum goes up from number 0.
    fn products<S: Simd, const R: usize, const P: usize>(
        simd: S,
        queries: &[[f32; R]],
        pages: [&[Self::Word]; P],
    ) -> [[S::V; R]; P];

    /// Adds to `sums` the values of a page's `tokens`, one after another, times the R rows' weights. C vectors of
    /// numbers of a value, from `firsts` on.
    fn mix<S: Simd, const R: usize, const C: usize>(
        simd: S,
        sums: &mut [[S::V; R]; C],
        weights: &Weights<'_, R>,
        values: &Values<'_, Self::Word, C>,
    );
}

/// Weights of a block's keys for R rows, and which of them are a page's.
pub(crate) struct Weights<'a, const R: usize> {
    rows: [&'a [f32; BLOCK]; R],
    first: usize,
}

impl<'a, const R: usize> Weights<'a, R> {
    /// Of page `page` of a block.
    #[inline(always)]
    pub(super) fn new(rows: [&'a [f32; BLOCK]; R], page: usize) -> Self {
        assert!(page < BLOCK / PAGE, "a page behind its block");
        Self {
            rows,
            first: page * PAGE,
        }
    }

    /// # Safety
    /// `token` is one of a page.
    #[inline(always)]
    unsafe fn of(&self, row: usize, token: usize) -> f32 {
        // SAFETY: `new` has seen that the page lies within the block, the caller that the token lies within the page.
        unsafe { *self.rows[row].get_unchecked(self.first + token) }
    }
}

/// C vectors of each value of some tokens of a page.
pub(crate) struct Values<'a, W, const C: usize> {
    words: &'a [W],
    size: usize,
    firsts: [usize; C],
    tokens: (usize, usize),
}

impl<'a, W, const C: usize> Values<'a, W, C> {
    /// Of values of `size` numbers, those from each of `firsts` on, of the tokens from the first to before the second.
    #[inline(always)]
    pub(super) fn new(
        words: &'a [W],
        size: usize,
        firsts: [usize; C],
        tokens: (usize, usize),
    ) -> Self {
        assert!(
            firsts.iter().all(|first| first + LANES <= size),
            "a vector behind its value"
        );
        assert!(tokens.1 <= PAGE, "a token behind its page");
        Self {
            words,
            size,
            firsts,
            tokens,
        }
    }

    /// `num_rows` rows of words are there.
    #[inline(always)]
    fn check(&self, num_rows: usize) {
        assert!(
            num_rows * self.size <= self.words.len(),
            "values behind their page"
        );
    }

    /// # Safety
    /// `row` is below what was given to `check`.
    #[inline(always)]
    unsafe fn lanes(&self, row: usize, column: usize) -> &[W; LANES] {
        // SAFETY: the row is there, and the vector lies within it, as `new` has seen.
        unsafe {
            &*self
                .words
                .as_ptr()
                .add(row * self.size + self.firsts[column])
                .cast()
        }
    }
}

/// # Safety
/// `token` is one of a page.
#[inline(always)]
unsafe fn add<S: Simd, const R: usize>(
    simd: S,
    sums: &mut [S::V; R],
    weights: &Weights<'_, R>,
    token: usize,
    value: S::V,
) {
    for (row, sum) in sums.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let weight = unsafe { weights.of(row, token) };
        *sum = simd.fma(simd.splat(weight), value, *sum);
    }
}

impl CacheNumber for f32 {
    type Word = Self;

    fn nearest(number: f32) -> Self {
        number
    }
    fn key_index(h: usize, token: usize) -> usize {
        h * PAGE + token
    }
    fn value_index(h: usize, token: usize, size: usize) -> usize {
        token * size + h
    }
    fn words(numbers: &[Self]) -> &[Self] {
        numbers
    }

    #[inline(always)]
    fn products<S: Simd, const R: usize, const P: usize>(
        simd: S,
        queries: &[[f32; R]],
        pages: [&[Self]; P],
    ) -> [[S::V; R]; P] {
        let keys = pages.map(|page| &page.as_chunks::<LANES>().0[..queries.len()]);
        let mut sums = [[simd.splat(0.0); R]; P];
        for (h, query) in queries.iter().enumerate() {
            for page in 0..P {
                let keys = simd.load(&keys[page][h]);
                for row in 0..R {
                    sums[page][row] = simd.fma(simd.splat(query[row]), keys, sums[page][row]);
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn mix<S: Simd, const R: usize, const C: usize>(
        simd: S,
        sums: &mut [[S::V; R]; C],
        weights: &Weights<'_, R>,
        values: &Values<'_, Self, C>,
    ) {
        values.check(values.tokens.1);
        for token in values.tokens.0..values.tokens.1 {
            for (column, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the token is one of a page, and its row has been checked.
                unsafe {
                    let value = simd.load(values.lanes(token, column));
                    add(simd, sums, weights, token, value);
                }
            }
        }
    }
}

impl CacheNumber for Bf16 {
    type Word = u32;

    fn nearest(number: f32) -> Self {
        Self::nearest(number)
    }
    fn key_index(h: usize, token: usize) -> usize {
        h / 2 * 2 * PAGE + 2 * token + h % 2
    }
    fn value_index(h: usize, token: usize, size: usize) -> usize {
        token / 2 * 2 * size + 2 * h + token % 2
    }
    fn words(numbers: &[Self]) -> &[u32] {
        // SAFETY: two numbers are 32 bits, every pattern of which is a word; what is not aligned is left out.
        let (before, words, after) = unsafe { numbers.align_to::<u32>() };
        assert!(
            before.is_empty() && after.is_empty(),
            "a cache that begins within a word"
        );
        words
    }

    #[inline(always)]
    fn products<S: Simd, const R: usize, const P: usize>(
        simd: S,
        queries: &[[f32; R]],
        pages: [&[u32]; P],
    ) -> [[S::V; R]; P] {
        let (pairs, last) = queries.as_chunks::<2>();
        let keys = pages.map(|page| &page.as_chunks::<LANES>().0[..queries.len().div_ceil(2)]);
        let mut sums = [[simd.splat(0.0); R]; P];
        for (h, pair) in pairs.iter().enumerate() {
            for page in 0..P {
                let (even, odd) = simd.load_bf16_pairs(&keys[page][h]);
                for row in 0..R {
                    let sum = simd.fma(simd.splat(pair[0][row]), even, sums[page][row]);
                    sums[page][row] = simd.fma(simd.splat(pair[1][row]), odd, sum);
                }
            }
        }
        if let [query] = last {
            for page in 0..P {
                let (even, _) = simd.load_bf16_pairs(&keys[page][pairs.len()]);
                for row in 0..R {
                    sums[page][row] = simd.fma(simd.splat(query[row]), even, sums[page][row]);
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn mix<S: Simd, const R: usize, const C: usize>(
        simd: S,
        sums: &mut [[S::V; R]; C],
        weights: &Weights<'_, R>,
        values: &Values<'_, u32, C>,
    ) {
        let (first, end) = values.tokens;
        if first >= end {
            return;
        }
        values.check(end.div_ceil(2));
        for (column, sums) in sums.iter_mut().enumerate() {
            if first % 2 == 1 {
                // SAFETY: the token is one of a page, and its row has been checked.
                unsafe {
                    let (_, odd) = simd.load_bf16_pairs(values.lanes(first / 2, column));
                    add(simd, sums, weights, first, odd);
                }
            }
        }
        for pair in first.div_ceil(2)..end / 2 {
            for (column, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                unsafe {
                    let (even, odd) = simd.load_bf16_pairs(values.lanes(pair, column));
                    add(simd, sums, weights, 2 * pair, even);
                    add(simd, sums, weights, 2 * pair + 1, odd);
                }
            }
        }
        for (column, sums) in sums.iter_mut().enumerate() {
            if end % 2 == 1 {
                // SAFETY: as above. Where only one token is asked for, it is even.
                unsafe {
                    let (even, _) = simd.load_bf16_pairs(values.lanes(end / 2, column));
                    add(simd, sums, weights, end - 1, even);
                }
            }
        }
    }
}
