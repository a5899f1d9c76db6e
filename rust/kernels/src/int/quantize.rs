//! From float32 to whole numbers of 8 or 4 bits.

use super::activations::round;
use super::codes::write_code;
use super::layout::{Bits, IntLayout};
use crate::isa::Isa;
use crate::matrix::PANEL;
use crate::simd::int::small_f32;
use crate::simd::{Simd, Task, dispatch};

type Row = [f32; PANEL];

/// How many scales beside the plain one are tried for 4 bits, on each side.
const NUM_TRIES: i32 = 9;

/// By how much of a step the tried scales differ.
const TRY_STEP: f32 = 0.1;

/// Writes a panel: `rows`, 16 columns for each number along K.
pub fn quantize_panel(isa: Isa, rows: &[Row], layout: IntLayout, out: &mut [u8]) {
    let blocks = out.chunks_exact_mut(layout.block_bytes());
    for (rows, bytes) in rows.chunks(layout.block).zip(blocks) {
        quantize_block(isa, rows, layout, bytes);
    }
}

/// Writes one block of a panel: `rows`, up to `layout.block` rows of 16 columns along K (what is missing counts as 0).
///
/// With 8 bits the scale is the block's largest magnitude over 127. With 4 bits it is the one of a few tried, adjusted
/// by least squares, that has the smallest squared error. `out`: `layout.block_bytes()`.
pub fn quantize_block(isa: Isa, rows: &[Row], layout: IntLayout, out: &mut [u8]) {
    out.fill(0);
    let (scales, minima) = dispatch(isa, Scales { rows, layout });
    let (head, codes) = out.split_at_mut(layout.head_bytes());
    for (place, value) in head
        .as_chunks_mut()
        .0
        .iter_mut()
        .zip(scales.iter().chain(&minima))
    {
        *place = value.to_le_bytes();
    }
    let (lowest, highest) = layout.range();
    let inverses = scales.map(inverse);
    for (k, row) in rows.iter().enumerate() {
        for column in 0..PANEL {
            let q = round((row[column] - minima[column]) * inverses[column]);
            write_code(codes, layout, k, column, q.clamp(lowest, highest));
        }
    }
    for k in rows.len()..layout.block {
        (0..PANEL).for_each(|column| write_code(codes, layout, k, column, 0));
    }
}

/// What a number is multiplied by to become its code; of a scale that has no finite inverse, nothing.
fn inverse(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// A block's scales and minima.
struct Scales<'a> {
    rows: &'a [Row],
    layout: IntLayout,
}

impl Task for Scales<'_> {
    type Out = (Row, Row);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (Row, Row) {
        match (self.layout.bits, self.layout.has_min) {
            (Bits::Eight, _) => (self.of_bytes(), [0.0; PANEL]),
            (Bits::Four, false) => (self.of_nibbles(), [0.0; PANEL]),
            (Bits::Four, true) => self.with_minima(),
        }
    }
}

impl Scales<'_> {
    #[inline(always)]
    fn of_bytes(&self) -> Row {
        self.extremes().map(|extreme| extreme.abs() / 127.0)
    }

    /// The number of largest magnitude.
    #[inline(always)]
    fn extremes(&self) -> Row {
        let mut extremes = [0.0f32; PANEL];
        for row in self.rows {
            for (extreme, number) in extremes.iter_mut().zip(row) {
                if number.abs() > extreme.abs() {
                    *extreme = *number;
                }
            }
        }
        extremes
    }

    /// The plain choice puts the number of largest magnitude on -8; the others a little beside it.
    #[inline(always)]
    fn of_nibbles(&self) -> Row {
        let extremes = self.extremes();
        let (mut best, mut best_gain) = ([0.0; PANEL], [0.0; PANEL]);
        for number in -NUM_TRIES..=NUM_TRIES {
            let lowest = -8.0 + TRY_STEP * small_f32(number);
            let (products, squares) =
                self.matched(&extremes.map(|extreme| lowest * inverse(extreme)));
            for column in 0..PANEL {
                // The least-squares scale of these codes is products / squares; it takes `gain` off the squared error.
                let scale = products[column] / squares[column];
                let gain = products[column] * scale;
                if gain > best_gain[column] {
                    (best[column], best_gain[column]) = (scale, gain);
                }
            }
        }
        best
    }

    /// Sums of `number * q` and of `q * q` over the block, with `q` the nearest code of `number * inverse`.
    #[inline(always)]
    fn matched(&self, inverses: &Row) -> (Row, Row) {
        let (lowest, highest) = self.layout.range();
        let (mut products, mut squares) = ([0.0; PANEL], [0.0; PANEL]);
        for row in self.rows {
            for column in 0..PANEL {
                let q = round(row[column] * inverses[column])
                    .max(lowest)
                    .min(highest);
                let q = small_f32(q);
                products[column] += row[column] * q;
                squares[column] += q * q;
            }
        }
        (products, squares)
    }

    /// From the smallest to the largest number.
    #[inline(always)]
    fn with_minima(&self) -> (Row, Row) {
        let steps = small_f32(self.layout.range().1);
        let (mut smallest, mut largest) = (self.rows[0], self.rows[0]);
        for row in self.rows {
            for column in 0..PANEL {
                smallest[column] = smallest[column].min(row[column]);
                largest[column] = largest[column].max(row[column]);
            }
        }
        let mut scales = [0.0; PANEL];
        for column in 0..PANEL {
            scales[column] = (largest[column] - smallest[column]) / steps;
        }
        (scales, smallest)
    }
}
