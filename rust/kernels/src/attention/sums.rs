//! What rows have summed up: the running softmax of Milakov and Gimelshein (arXiv 1805.02867).

use super::shape::PAGE;
use crate::simd::{LANES, Simd, Task, exp};

/// Below every score, and finite, so that its difference with itself is 0.
pub(super) const MASKED: f32 = -1e30;

/// Of `n` rows: the greatest score, the sum of the weights, and the values' weighted sum as vectors.
pub(super) struct Sums<'a> {
    pub(super) peaks: &'a mut [f32],
    pub(super) totals: &'a mut [f32],
    pub(super) mixed: &'a mut [f32],
}

/// How a value of H numbers lies in vectors: where H is no multiple of 16, the last one repeats some of the one before.
#[derive(Clone, Copy)]
pub(super) struct Vectors {
    head_dim: usize,
    stored: usize,
}

impl Vectors {
    pub(super) fn new(head_dim: usize) -> Self {
        Self {
            head_dim,
            stored: head_dim.max(PAGE),
        }
    }

    /// Numbers between a value and the next one in a page.
    #[inline(always)]
    pub(super) fn stored(self) -> usize {
        self.stored
    }

    /// How many.
    #[inline(always)]
    pub(super) fn count(self) -> usize {
        self.stored.div_ceil(LANES)
    }

    /// The number of a value with which a vector begins.
    #[inline(always)]
    pub(super) fn first(self, vector: usize) -> usize {
        (vector * LANES).min(self.stored - LANES)
    }

    /// Numbers of a row's vectors.
    #[inline(always)]
    pub(super) fn width(self) -> usize {
        self.count() * LANES
    }
}

impl<'a> Sums<'a> {
    /// Numbers that sums of so many rows take.
    pub(super) fn len(num_rows: usize, vectors: Vectors) -> usize {
        num_rows * (2 + vectors.width())
    }

    /// In a place of `len`.
    pub(super) fn within(place: &'a mut [f32], num_rows: usize) -> Self {
        let (peaks, rest) = place.split_at_mut(num_rows);
        let (totals, mixed) = rest.split_at_mut(num_rows);
        Self {
            peaks,
            totals,
            mixed,
        }
    }

    /// Of no key.
    pub(super) fn clear(&mut self) {
        self.peaks.fill(MASKED);
        self.totals.fill(0.0);
        self.mixed.fill(0.0);
    }

    /// Of a key with that score and no value.
    pub(super) fn begin_with(&mut self, row: usize, sink: f32) {
        self.peaks[row] = sink;
        self.totals[row] = 1.0;
    }

    /// The mean of a row's values, into H places.
    pub(super) fn mean(&self, row: usize, vectors: Vectors, out: &mut [f32]) {
        let mixed = &self.mixed[row * vectors.width()..][..vectors.width()];
        for (vector, sums) in mixed.as_chunks::<LANES>().0.iter().enumerate() {
            let first = vectors.first(vector);
            for (place, sum) in out[first..vectors.head_dim.min(first + LANES)]
                .iter_mut()
                .zip(sums)
            {
                *place = sum / self.totals[row];
            }
        }
    }
}

/// Adds what came of other keys. Rows that saw none of those stay as they are, to the bit.
pub(super) struct Merge<'a, 'b> {
    pub(super) whole: &'a mut Sums<'b>,
    pub(super) other: &'a Sums<'b>,
}

impl Task for Merge<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (whole, other) = (self.whole, self.other);
        let width = whole.mixed.len() / whole.peaks.len();
        for row in 0..whole.peaks.len() {
            if other.totals[row] == 0.0 {
                continue;
            }
            let peak = whole.peaks[row].max(other.peaks[row]);
            let mut weights = [0.0; LANES];
            (weights[0], weights[1]) = (whole.peaks[row] - peak, other.peaks[row] - peak);
            simd.store(exp(simd, simd.load(&weights)), &mut weights);
            whole.peaks[row] = peak;
            whole.totals[row] = whole.totals[row] * weights[0] + other.totals[row] * weights[1];
            let (own, others) = (simd.splat(weights[0]), simd.splat(weights[1]));
            let mixed = &mut whole.mixed[row * width..][..width];
            let added = &other.mixed[row * width..][..width];
            for (sum, added) in mixed.as_chunks_mut().0.iter_mut().zip(added.as_chunks().0) {
                let scaled = simd.mul(simd.load(sum), own);
                simd.store(simd.fma(simd.load(added), others, scaled), sum);
            }
        }
    }
}
