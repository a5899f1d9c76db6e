//! A panel of float32 or bfloat16 weights. Activations and sums are float32, so bfloat16 weights are exact.

use std::cell::Cell;

use super::part_of;
use crate::matrix::{Format, PANEL, floats, words};
use crate::simd::{Simd, Task};

/// Rows of a tile: their sums and a row of weights fit the registers.
const TILE_ROWS: usize = 6;
/// From so many tiles on, bfloat16 weights are widened once instead of by each tile.
const TILES_TO_WIDEN: usize = 3;

/// 16 columns of some rows.
pub(super) struct Panel<'a> {
    pub(super) format: Format,
    /// A panel's bytes.
    pub(super) weights: &'a [u8],
    pub(super) num_in: usize,
    /// [rows, K].
    pub(super) x: &'a [f32],
    /// Of each row, to be filled.
    pub(super) sums: &'a mut [[f32; PANEL]],
}

thread_local! {
    /// A widened panel; kept, as asking for memory costs as much as a small product.
    static WIDENED: Cell<Vec<[f32; PANEL]>> = const { Cell::new(Vec::new()) };
}

impl Task for Panel<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            format,
            weights,
            num_in,
            x,
            sums,
        } = self;
        if format == Format::F32 {
            return fill(simd, x, num_in, sums, &InF32(floats(weights).as_chunks().0));
        }
        let weights = words(weights).as_chunks().0;
        if sums.len().div_ceil(TILE_ROWS) < TILES_TO_WIDEN {
            return fill(simd, x, num_in, sums, &InBf16(weights));
        }
        // Taken and given back: a closure would not be compiled for the instruction set.
        let mut widened = WIDENED.take();
        widen(simd, weights, &mut widened);
        fill(simd, x, num_in, sums, &InF32(&widened));
        WIDENED.set(widened);
    }
}

/// All rows, in tiles of nearly equal height.
#[inline(always)]
fn fill<S: Simd>(
    simd: S,
    x: &[f32],
    num_in: usize,
    sums: &mut [[f32; PANEL]],
    weights: &impl Weights,
) {
    let num_rows = sums.len();
    let num_tiles = num_rows.div_ceil(TILE_ROWS);
    for tile in 0..num_tiles {
        let rows = part_of(tile, num_tiles, num_rows);
        let (x, sums) = (&x[rows.start * num_in..rows.end * num_in], &mut sums[rows]);
        match sums.len() {
            1 => fill_tile::<S, 1>(simd, x, num_in, sums, weights),
            2 => fill_tile::<S, 2>(simd, x, num_in, sums, weights),
            3 => fill_tile::<S, 3>(simd, x, num_in, sums, weights),
            4 => fill_tile::<S, 4>(simd, x, num_in, sums, weights),
            5 => fill_tile::<S, 5>(simd, x, num_in, sums, weights),
            _ => fill_tile::<S, TILE_ROWS>(simd, x, num_in, sums, weights),
        }
    }
}

#[inline(always)]
fn fill_tile<S: Simd, const R: usize>(
    simd: S,
    x: &[f32],
    num_in: usize,
    sums: &mut [[f32; PANEL]],
    weights: &impl Weights,
) {
    let rows: [&[f32]; R] = std::array::from_fn(|row| &x[row * num_in..][..num_in]);
    for (place, sum) in sums.iter_mut().zip(weights.sums(simd, rows)) {
        simd.store(sum, place);
    }
}

/// Weights of a panel.
trait Weights {
    /// Of R rows of K numbers each.
    fn sums<S: Simd, const R: usize>(&self, simd: S, x: [&[f32]; R]) -> [S::V; R];
}

struct InF32<'a>(&'a [[f32; PANEL]]);

impl Weights for InF32<'_> {
    #[inline(always)]
    fn sums<S: Simd, const R: usize>(&self, simd: S, x: [&[f32]; R]) -> [S::V; R] {
        let mut sums = [simd.splat(0.0); R];
        let num_in = x[0].len().min(self.0.len());
        assert!(
            x.iter().all(|row| row.len() >= num_in),
            "rows of different lengths"
        );
        for (k, weights) in self.0[..num_in].iter().enumerate() {
            let weights = simd.load(weights);
            for row in 0..R {
                // SAFETY: k < num_in, which no row is shorter than.
                let number = unsafe { *x[row].get_unchecked(k) };
                sums[row] = simd.fma(simd.splat(number), weights, sums[row]);
            }
        }
        sums
    }
}

struct InBf16<'a>(&'a [[u32; PANEL]]);

impl Weights for InBf16<'_> {
    #[inline(always)]
    fn sums<S: Simd, const R: usize>(&self, simd: S, x: [&[f32]; R]) -> [S::V; R] {
        let mut sums = [simd.splat(0.0); R];
        let num_in = x[0].len();
        assert!(
            x.iter().all(|row| row.len() >= num_in),
            "rows of different lengths"
        );
        assert!(
            self.0.len() >= num_in.div_ceil(2),
            "fewer weights than numbers"
        );
        for (pair, weights) in self.0[..num_in / 2].iter().enumerate() {
            let (even, odd) = simd.load_bf16_pairs(weights);
            for row in 0..R {
                // SAFETY: 2 * pair + 1 < num_in, which no row is shorter than.
                let numbers = unsafe {
                    (
                        *x[row].get_unchecked(2 * pair),
                        *x[row].get_unchecked(2 * pair + 1),
                    )
                };
                sums[row] = simd.fma(simd.splat(numbers.0), even, sums[row]);
                sums[row] = simd.fma(simd.splat(numbers.1), odd, sums[row]);
            }
        }
        if num_in % 2 == 1 {
            let (last, _) = simd.load_bf16_pairs(&self.0[num_in / 2]);
            for row in 0..R {
                sums[row] = simd.fma(simd.splat(x[row][num_in - 1]), last, sums[row]);
            }
        }
        sums
    }
}

#[inline(always)]
fn widen<S: Simd>(simd: S, weights: &[[u32; PANEL]], widened: &mut Vec<[f32; PANEL]>) {
    widened.resize(2 * weights.len(), [0.0; PANEL]);
    for (pair, places) in weights.iter().zip(widened.as_chunks_mut::<2>().0) {
        let (even, odd) = simd.load_bf16_pairs(pair);
        simd.store(even, &mut places[0]);
        simd.store(odd, &mut places[1]);
    }
}
