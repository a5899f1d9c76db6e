//! From float32 to whole numbers of 8 or 4 bits.

use super::activations::round;
use super::codes::write_code;
use super::layout::{Bits, IntLayout};
use crate::matrix::PANEL;
use crate::simd::int::small_f32;

type Row = [f32; PANEL];

/// How many scales beside the plain one are tried for 4 bits, on each side.
const NUM_TRIES: i32 = 9;

/// By how much of a step the tried scales differ.
const TRY_STEP: f32 = 0.1;

/// Writes a panel of `num_in` weights along K, each of which `number` tells by its place along K and its column.
pub fn quantize_panel(
    num_in: usize,
    number: impl Fn(usize, usize) -> f32,
    layout: IntLayout,
    out: &mut [u8],
) {
    let mut rows = vec![[0.0; PANEL]; layout.block];
    for (block, bytes) in out.chunks_exact_mut(layout.block_bytes()).enumerate() {
        let first = block * layout.block;
        let rows = &mut rows[..layout.block.min(num_in - first)];
        for (k, row) in rows.iter_mut().enumerate() {
            *row = std::array::from_fn(|column| number(first + k, column));
        }
        quantize_block(rows, layout, bytes);
    }
}

/// Writes one block of a panel: `rows`, up to `layout.block` rows of 16 columns along K (what is missing counts as 0).
///
/// With 8 bits the scale is the block's largest magnitude over 127. With 4 bits it is the one of a few tried, adjusted
/// by least squares, that has the smallest squared error. `out`: `layout.block_bytes()`.
pub fn quantize_block(rows: &[Row], layout: IntLayout, out: &mut [u8]) {
    out.fill(0);
    let (scales, minima) = match (layout.bits, layout.has_min) {
        (Bits::Eight, _) => (byte_scales(rows), [0.0; PANEL]),
        (Bits::Four, false) => (nibble_scales(rows, layout), [0.0; PANEL]),
        (Bits::Four, true) => scales_and_minima(rows, layout),
    };
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
    for (k, row) in rows.iter().enumerate() {
        for column in 0..PANEL {
            let q = round((row[column] - minima[column]) * inverse(scales[column]));
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

fn byte_scales(rows: &[Row]) -> Row {
    rows.iter()
        .fold([0.0; PANEL], |largest, row| {
            std::array::from_fn(|column| row[column].abs().max(largest[column]))
        })
        .map(|largest: f32| largest / 127.0)
}

/// `1 / scale` of the plain choice: the number of largest magnitude falls on -8.
fn extremes(rows: &[Row]) -> Row {
    rows.iter().fold([0.0f32; PANEL], |extreme, row| {
        std::array::from_fn(|column| {
            if row[column].abs() > extreme[column].abs() {
                row[column]
            } else {
                extreme[column]
            }
        })
    })
}

fn nibble_scales(rows: &[Row], layout: IntLayout) -> Row {
    let extremes = extremes(rows);
    let (mut best, mut best_gain) = ([0.0; PANEL], [0.0; PANEL]);
    for number in -NUM_TRIES..=NUM_TRIES {
        let lowest = -8.0 + TRY_STEP * small_f32(number);
        let inverses = extremes.map(|extreme| {
            if extreme == 0.0 {
                0.0
            } else {
                lowest / extreme
            }
        });
        let (products, squares) = match_codes(rows, &inverses, layout);
        for column in 0..PANEL {
            // The least-squares scale of these codes is products / squares; it lowers the squared error by `gain`.
            let gain = if squares[column] > 0.0 {
                products[column] * products[column] / squares[column]
            } else {
                0.0
            };
            if gain > best_gain[column] {
                (best[column], best_gain[column]) = (products[column] / squares[column], gain);
            }
        }
    }
    best
}

/// Sums of `value * q` and of `q * q` over the block, with `q` the nearest code of `value * inverse`.
fn match_codes(rows: &[Row], inverses: &Row, layout: IntLayout) -> (Row, Row) {
    let (lowest, highest) = layout.range();
    let (mut products, mut squares) = ([0.0; PANEL], [0.0; PANEL]);
    for row in rows {
        for column in 0..PANEL {
            let q = small_f32(round(row[column] * inverses[column]).clamp(lowest, highest));
            products[column] += row[column] * q;
            squares[column] += q * q;
        }
    }
    (products, squares)
}

/// A scale and a minimum from the smallest to the largest number.
fn scales_and_minima(rows: &[Row], layout: IntLayout) -> (Row, Row) {
    let steps = small_f32(layout.range().1);
    let fold = |pick: fn(f32, f32) -> f32| {
        rows.iter().fold(rows[0], |found, row| {
            std::array::from_fn(|column| pick(found[column], row[column]))
        })
    };
    let (smallest, largest) = (fold(f32::min), fold(f32::max));
    (
        std::array::from_fn(|column| (largest[column] - smallest[column]) / steps),
        smallest,
    )
}
