//! Rows of activations as 12-bit whole numbers, a scale for each row and block.
//!
//! Twelve bits beside weights of eight: 64 products of 2047 * 128 stay below 2^24, so that a block's sum is exact in
//! 32 bits and in float32. The rounding of activations then costs a sixteenth of what that of 8-bit weights does.

use super::layout::IntLayout;
use crate::isa::Isa;
use crate::simd::{Simd, Task, dispatch};

/// The largest quantized activation.
pub const LIMIT: f32 = 2047.0;

/// Added and taken away again, it rounds a float32 below 2^22 to the nearest whole number, ties to even.
const ROUNDER: f32 = 12_582_912.0;

/// Below this the scale's inverse is no finite number: such a block counts as zeros.
const SMALLEST: f32 = 1e-34;

/// Quantized rows, block by block: all rows of block 0, then all of block 1. Buffers are reused.
#[derive(Default)]
pub struct Activations {
    num_rows: usize,
    block: usize,
    /// Two numbers along K in a word, the even one below: `[blocks, rows, block / 2]`.
    pairs: Vec<i32>,
    /// `[blocks, rows]`.
    scales: Vec<f32>,
    /// Sums of a block's whole numbers: `[blocks, rows]`.
    sums: Vec<i32>,
}

/// One block of some rows.
#[derive(Clone, Copy)]
pub(crate) struct RowsOfBlock<'a> {
    pub(crate) pairs: &'a [i32],
    pub(crate) scales: &'a [f32],
    pub(crate) sums: &'a [i32],
}

impl Activations {
    /// Quantizes `rows`, `num_in` numbers each, in place of what was here.
    ///
    /// A block with a number that is not finite gets the scale NaN, so that its row shows it and no other does.
    pub fn quantize(&mut self, isa: Isa, rows: &[f32], num_in: usize, layout: IntLayout) {
        let block = layout.block;
        (self.num_rows, self.block) = (rows.len() / num_in.max(1), block);
        let num = layout.num_blocks(num_in) * self.num_rows;
        self.pairs.resize(num * block / 2, 0);
        self.scales.resize(num, 0.0);
        self.sums.resize(num, 0);
        dispatch(
            isa,
            Quantize {
                rows,
                num_in,
                to: self,
            },
        );
    }

    /// Rows that are quantized here.
    #[must_use]
    pub fn num_rows(&self) -> usize {
        self.num_rows
    }

    pub(crate) fn rows_of_block(&self, block: usize, first: usize, num: usize) -> RowsOfBlock<'_> {
        let at = block * self.num_rows + first;
        let half = self.block / 2;
        RowsOfBlock {
            pairs: &self.pairs[at * half..][..num * half],
            scales: &self.scales[at..][..num],
            sums: &self.sums[at..][..num],
        }
    }
}

struct Quantize<'a> {
    rows: &'a [f32],
    num_in: usize,
    to: &'a mut Activations,
}

impl Task for Quantize<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match self.to.block {
            16 => self.rows::<16>(),
            32 => self.rows::<32>(),
            _ => self.rows::<64>(),
        }
    }
}

impl Quantize<'_> {
    #[inline(always)]
    fn rows<const BLOCK: usize>(self) {
        let num_rows = self.to.num_rows;
        let Activations {
            pairs,
            scales,
            sums,
            ..
        } = self.to;
        for (row, numbers) in self.rows.chunks_exact(self.num_in).enumerate() {
            for (number, values) in numbers.chunks(BLOCK).enumerate() {
                let at = number * num_rows + row;
                let pairs = &mut pairs[at * BLOCK / 2..][..BLOCK / 2];
                (scales[at], sums[at]) = quantize_block::<BLOCK>(values, pairs);
            }
        }
    }
}

/// Scale and sum of a block, whose pairs are written. `values` may be shorter than the block: zeros follow.
#[inline(always)]
fn quantize_block<const BLOCK: usize>(values: &[f32], pairs: &mut [i32]) -> (f32, i32) {
    let mut padded = [0.0f32; BLOCK];
    padded[..values.len()].copy_from_slice(values);
    let (scale, inverse) = scale_of(&padded);
    if inverse == 0.0 {
        pairs.fill(0);
        return (scale, 0);
    }
    let (mut whole, mut sum) = ([0; BLOCK], 0);
    for (whole, value) in whole.iter_mut().zip(&padded) {
        *whole = round(value * inverse);
        sum += *whole;
    }
    for (pair, two) in pairs.iter_mut().zip(whole.as_chunks::<2>().0) {
        *pair = (two[1] << 16) | (two[0] & 0xffff);
    }
    (scale, sum)
}

/// A block's scale, and what its numbers are multiplied by: nothing, where they count as zeros.
#[inline(always)]
fn scale_of<const BLOCK: usize>(values: &[f32; BLOCK]) -> (f32, f32) {
    // As bits, NaN is above infinity and both are above every finite number.
    let mut largest = 0;
    for value in values {
        largest = largest.max(value.to_bits() & 0x7fff_ffff);
    }
    let largest = f32::from_bits(largest);
    if !largest.is_finite() {
        return (f32::NAN, 0.0);
    }
    if largest < SMALLEST {
        (0.0, 0.0)
    } else {
        (largest / LIMIT, LIMIT / largest)
    }
}

/// The nearest whole number of one below 2^22; any number at all where it is none.
#[inline(always)]
pub(crate) fn round(value: f32) -> i32 {
    // The sum's lowest bits are the number: no conversion, which would not vectorise everywhere.
    (value + ROUNDER)
        .to_bits()
        .wrapping_sub(ROUNDER.to_bits())
        .cast_signed()
}
