//! A panel of float32 or bfloat16 weights. Activations and sums are float32, so bfloat16 weights are exact.

use std::cell::RefCell;

use crate::matrix::{Format, PANEL, floats, words};
use crate::simd::{Simd, Task};

/// Rows of a tile: their sums and a row of weights fit the registers.
const TILE_ROWS: usize = 6;
/// From so many tiles on, bfloat16 weights are widened once instead of by each tile.
const TILES_TO_WIDEN: usize = 3;

/// 16 columns of some rows.
pub(super) struct Panel<'a, P> {
    pub(super) format: Format,
    pub(super) bytes: &'a [u8],
    pub(super) num_rows: usize,
    pub(super) num_in: usize,
    /// [rows, K].
    pub(super) x: &'a [f32],
    /// Of each column, or nothing.
    pub(super) bias: &'a [f32],
    /// The columns of a row, at most 16.
    pub(super) place: P,
}

thread_local! {
    /// A widened panel; kept, as asking for memory costs more than many a product.
    static WIDENED: RefCell<Vec<[f32; PANEL]>> = const { RefCell::new(Vec::new()) };
}

impl<'a, P: Fn(usize) -> &'a mut [f32]> Task for Panel<'a, P> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let num_rows = self.num_rows;
        let num_tiles = num_rows.div_ceil(TILE_ROWS);
        if self.format == Format::F32 {
            let (weights, _) = floats(self.bytes).as_chunks::<PANEL>();
            self.tiles(simd, num_rows, &InF32(weights));
        } else if num_tiles < TILES_TO_WIDEN {
            let (weights, _) = words(self.bytes).as_chunks::<PANEL>();
            self.tiles(simd, num_rows, &InBf16(weights));
        } else {
            let (weights, _) = words(self.bytes).as_chunks::<PANEL>();
            WIDENED.with_borrow_mut(|widened| {
                widen(simd, weights, widened);
                self.tiles(simd, num_rows, &InF32(&widened[..self.num_in]));
            });
        }
    }
}

impl<'a, P: Fn(usize) -> &'a mut [f32]> Panel<'a, P> {
    #[inline(always)]
    fn tiles<S: Simd>(&self, simd: S, num_rows: usize, weights: &impl Weights) {
        let num_tiles = num_rows.div_ceil(TILE_ROWS);
        for tile in 0..num_tiles {
            let rows = super::part_of(tile, num_tiles, num_rows);
            match rows.len() {
                1 => self.tile::<S, 1>(simd, rows.start, weights),
                2 => self.tile::<S, 2>(simd, rows.start, weights),
                3 => self.tile::<S, 3>(simd, rows.start, weights),
                4 => self.tile::<S, 4>(simd, rows.start, weights),
                5 => self.tile::<S, 5>(simd, rows.start, weights),
                _ => self.tile::<S, TILE_ROWS>(simd, rows.start, weights),
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&self, simd: S, first: usize, weights: &impl Weights) {
        let x: [&[f32]; R] =
            std::array::from_fn(|row| &self.x[(first + row) * self.num_in..][..self.num_in]);
        let sums = weights.sums(simd, x);
        for (row, sum) in sums.into_iter().enumerate() {
            let mut columns = [0.0; PANEL];
            simd.store(sum, &mut columns);
            let place = (self.place)(first + row);
            for (lane, number) in place.iter_mut().enumerate() {
                *number = columns[lane] + self.bias.get(lane).copied().unwrap_or(0.0);
            }
        }
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
