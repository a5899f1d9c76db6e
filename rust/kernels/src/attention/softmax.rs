//! Scores become weights.

use super::shape::{BLOCK, PAGE};
use super::sums::{MASKED, Vectors};
use crate::simd::{LANES, Simd, Task, exp, tanh};

/// Some rows, and what they have summed up.
pub(super) struct Rows<'a> {
    /// The keys of the block that each sees, from the first to before the second.
    pub(super) seen: &'a [(usize, usize)],
    pub(super) peaks: &'a mut [f32],
    pub(super) totals: &'a mut [f32],
    pub(super) mixed: &'a mut [f32],
    pub(super) vectors: Vectors,
    pub(super) soft_cap: Option<f32>,
}

/// Turns scores into weights, and scales what a row has summed up where a greater score than before has come.
pub(super) struct Weigh<'a, 'b> {
    pub(super) rows: &'a mut Rows<'b>,
    pub(super) scores: &'a mut [[f32; BLOCK]],
}

impl Task for Weigh<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (row, scores) in self.scores.iter_mut().enumerate() {
            self.rows.weigh(simd, row, scores);
        }
    }
}

impl Rows<'_> {
    #[inline(always)]
    fn weigh<S: Simd>(&mut self, simd: S, row: usize, scores: &mut [f32; BLOCK]) {
        let (first, end) = self.seen[row];
        if first >= end {
            return;
        }
        let vectors = first / PAGE..end.div_ceil(PAGE);
        if let Some(cap) = self.soft_cap {
            for scores in &mut scores.as_chunks_mut().0[vectors.clone()] {
                let bent = tanh(simd, simd.div(simd.load(scores), simd.splat(cap)));
                simd.store(simd.mul(simd.splat(cap), bent), scores);
            }
        }
        scores[vectors.start * PAGE..first].fill(MASKED);
        scores[end..vectors.end * PAGE].fill(MASKED);
        let scores = &mut scores.as_chunks_mut::<LANES>().0[vectors];
        let mut greatest = simd.splat(MASKED);
        for scores in scores.iter() {
            greatest = simd.max(greatest, simd.load(scores));
        }
        let peak = self.peaks[row].max(folded(simd, greatest, f32::max));
        let mut total = simd.splat(0.0);
        for scores in scores {
            let weights = exp(simd, simd.sub(simd.load(scores), simd.splat(peak)));
            simd.store(weights, scores);
            total = simd.add(total, weights);
        }
        self.raise(simd, row, peak);
        self.totals[row] += folded(simd, total, |a, b| a + b);
    }

    /// Scales what a row has summed up to a new greatest score.
    #[inline(always)]
    fn raise<S: Simd>(&mut self, simd: S, row: usize, peak: f32) {
        if self.peaks[row].to_bits() == peak.to_bits() {
            return;
        }
        let decay = exp(simd, simd.splat(self.peaks[row] - peak));
        let mut lanes = [0.0; LANES];
        simd.store(decay, &mut lanes);
        self.peaks[row] = peak;
        self.totals[row] *= lanes[0];
        let width = self.vectors.width();
        for sums in self.mixed[row * width..][..width].as_chunks_mut().0 {
            simd.store(simd.mul(simd.load(sums), decay), sums);
        }
    }
}

/// The sixteen numbers of a vector made one, in halves, the same way everywhere.
#[inline(always)]
fn folded<S: Simd>(simd: S, vector: S::V, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    simd.store(vector, &mut lanes);
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] = join(lanes[lane], lanes[lane + half]);
        }
    }
    lanes[0]
}
