//! A block of keys for a few rows at once: their scores, the weights of them, the values they weigh.
//!
//! Each of the three is a function of its own for an instruction set: together, for all numbers of rows, they would be
//! one that takes minutes to compile.

use super::cache_number::{CacheNumber, Values, Weights};
use super::shape::{BLOCK, PAGE};
use super::softmax::{Rows, Weigh};
use super::sums::Vectors;
use crate::isa::Isa;
use crate::simd::{LANES, Simd, Task, dispatch};

/// Rows of a tile at most: their sums, a vector of the cache and a number of a row fit the registers.
pub(super) const TILE: usize = 6;

/// Keys and values of 64 positions of one head, page by page.
pub(super) type Block<'a, W> = [(&'a [W], &'a [W]); BLOCK / PAGE];

/// Up to `TILE` rows.
pub(super) struct Tile<'a> {
    /// [H, rows].
    pub(super) queries: &'a [f32],
    pub(super) rows: Rows<'a>,
}

impl Tile<'_> {
    /// Adds a block to what the rows have summed up. The fewer rows, the more vectors of the cache at once, so that
    /// there is work enough while a sum waits for its last addend.
    pub(super) fn add<N: CacheNumber>(&mut self, isa: Isa, block: &Block<'_, N::Word>) {
        match self.rows.seen.len() {
            1 => self.add_to::<N, 1, 4, 4>(isa, block),
            2 => self.add_to::<N, 2, 2, 2>(isa, block),
            3 => self.add_to::<N, 3, 2, 2>(isa, block),
            4 => self.add_to::<N, 4, 1, 1>(isa, block),
            5 => self.add_to::<N, 5, 1, 1>(isa, block),
            _ => self.add_to::<N, TILE, 1, 1>(isa, block),
        }
    }

    fn add_to<N: CacheNumber, const R: usize, const P: usize, const C: usize>(
        &mut self,
        isa: Isa,
        block: &Block<'_, N::Word>,
    ) {
        let mut scores = [[0.0; BLOCK]; R];
        let queries = self.queries.as_chunks::<R>().0;
        let seen = (
            self.rows.seen.iter().map(|seen| seen.0).min().unwrap_or(0),
            self.rows.seen.iter().map(|seen| seen.1).max().unwrap_or(0),
        );
        dispatch(
            isa,
            Score::<N, R, P> {
                queries,
                block,
                seen,
                scores: &mut scores,
            },
        );
        dispatch(
            isa,
            Weigh {
                rows: &mut self.rows,
                scores: &mut scores,
            },
        );
        self.mix_all::<N, R, C>(isa, block, &scores);
    }

    /// Adds the values that rows see, in the order of their positions: those that all see for all rows at once, those
    /// before and behind for each row alone. So a value that a row does not see may be anything.
    fn mix_all<N: CacheNumber, const R: usize, const C: usize>(
        &mut self,
        isa: Isa,
        block: &Block<'_, N::Word>,
        weights: &[[f32; BLOCK]; R],
    ) {
        let first = self.rows.seen.iter().map(|seen| seen.0).max().unwrap_or(0);
        let end = self
            .rows
            .seen
            .iter()
            .map(|seen| seen.1)
            .min()
            .unwrap_or(0)
            .max(first);
        for (row, &seen) in self.rows.seen.iter().enumerate() {
            let before = (seen.0, seen.1.min(first));
            self.mix::<N, 1, 4>(isa, block, row, [&weights[row]], before);
        }
        self.mix::<N, R, C>(isa, block, 0, weights.each_ref(), (first, end));
        for (row, &seen) in self.rows.seen.iter().enumerate() {
            let behind = (seen.0.max(end), seen.1);
            self.mix::<N, 1, 4>(isa, block, row, [&weights[row]], behind);
        }
    }

    fn mix<N: CacheNumber, const R: usize, const C: usize>(
        &mut self,
        isa: Isa,
        block: &Block<'_, N::Word>,
        row: usize,
        weights: [&[f32; BLOCK]; R],
        seen: (usize, usize),
    ) {
        if seen.0 < seen.1 {
            let vectors = self.rows.vectors;
            let width = vectors.width();
            let sums = self.rows.mixed[row * width..][..R * width]
                .as_chunks_mut()
                .0;
            dispatch(
                isa,
                MixRows::<N, R, C> {
                    block,
                    vectors,
                    weights,
                    seen,
                    sums,
                },
            );
        }
    }
}

/// The products of R rows' queries with all keys from the first to the last of `seen`, and some more; P pages at once.
struct Score<'a, N: CacheNumber, const R: usize, const P: usize> {
    queries: &'a [[f32; R]],
    block: &'a Block<'a, N::Word>,
    seen: (usize, usize),
    scores: &'a mut [[f32; BLOCK]; R],
}

impl<N: CacheNumber, const R: usize, const P: usize> Task for Score<'_, N, R, P> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for group in self.seen.0 / (P * PAGE)..self.seen.1.div_ceil(P * PAGE) {
            let pages = std::array::from_fn(|page| self.block[group * P + page].0);
            let products = N::products::<S, R, P>(simd, self.queries, pages);
            for (page, products) in products.into_iter().enumerate() {
                for (row, product) in products.into_iter().enumerate() {
                    simd.store(
                        product,
                        &mut self.scores[row].as_chunks_mut().0[group * P + page],
                    );
                }
            }
        }
    }
}

/// Adds the values of the keys `seen`, weighted, to R rows; C vectors of them at once.
struct MixRows<'a, N: CacheNumber, const R: usize, const C: usize> {
    block: &'a Block<'a, N::Word>,
    vectors: Vectors,
    weights: [&'a [f32; BLOCK]; R],
    seen: (usize, usize),
    /// [R, vectors].
    sums: &'a mut [[f32; LANES]],
}

impl<N: CacheNumber, const R: usize, const C: usize> Task for MixRows<'_, N, R, C> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let count = self.vectors.count();
        for vector in (0..count / C * C).step_by(C) {
            self.mix::<S, C>(simd, vector);
        }
        for vector in count / C * C..count {
            self.mix::<S, 1>(simd, vector);
        }
    }
}

impl<N: CacheNumber, const R: usize, const C: usize> MixRows<'_, N, R, C> {
    #[inline(always)]
    fn mix<S: Simd, const D: usize>(&mut self, simd: S, vector: usize) {
        let (seen, vectors, count) = (self.seen, self.vectors, self.vectors.count());
        let firsts = std::array::from_fn(|column| vectors.first(vector + column));
        let mut sums = [[simd.splat(0.0); R]; D];
        for (column, sums) in sums.iter_mut().enumerate() {
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum = simd.load(&self.sums[row * count + vector + column]);
            }
        }
        for page in seen.0 / PAGE..seen.1.div_ceil(PAGE) {
            let tokens = (
                seen.0.saturating_sub(page * PAGE),
                (seen.1 - page * PAGE).min(PAGE),
            );
            let values = Values::new(self.block[page].1, vectors.stored(), firsts, tokens);
            N::mix(simd, &mut sums, &Weights::new(self.weights, page), &values);
        }
        for (column, sums) in sums.into_iter().enumerate() {
            for (row, sum) in sums.into_iter().enumerate() {
                simd.store(sum, &mut self.sums[row * count + vector + column]);
            }
        }
    }
}
