//! A block's codes, one at a time: where each of them lies, to write and to read.
//!
//! Codes of 8 bits lie `[block / 2, 16, 2]`: of two numbers along K, those of column 0, of column 1, and so on. That is
//! the order in which one instruction multiplies pairs and adds them.
//!
//! Codes of 4 bits: 32 bytes, read as 16 words of 16 bits, hold 4 numbers along K of 16 columns. Word `w` has K number
//! `w % 2` (and 2 more) of columns `w / 2` and `w / 2 + 8`:
//!
//! ```text
//!   bit   15..12           11..8        7..4             3..0
//!         K 2+w%2, c+8     K 2+w%2, c   K w%2, c+8       K w%2, c        c = w / 2
//! ```
//!
//! So a shift and a mask give words of 16 bits in the order of pairs, without moving anything between lanes.

use super::layout::{Bits, Block, IntLayout};
use crate::matrix::PANEL;
use crate::simd::int::{read_f32, small_f32};

/// Numbers along K that one group of codes holds.
pub(crate) const GROUP: usize = 4;

/// Byte and bit where the nibble of number `k` of a block and `column` lies.
const fn nibble_place(k: usize, column: usize) -> (usize, u32) {
    let word = (column % 8) * 2 + k % 2;
    let nibble = (k % GROUP / 2) * 2 + column / 8;
    let byte = (k / GROUP) * (GROUP * PANEL / 2) + word * 2 + nibble / 2;
    (byte, if nibble.is_multiple_of(2) { 0 } else { 4 })
}

const fn byte_place(k: usize, column: usize) -> usize {
    (k / 2 * PANEL + column) * 2 + k % 2
}

/// Writes `q` of number `k` in a block and `column` to the block's codes, in which its place is still zero.
pub fn write_code(codes: &mut [u8], layout: IntLayout, k: usize, column: usize, q: i32) {
    let code = (q + layout.zero_code()).to_le_bytes()[0];
    match layout.bits {
        Bits::Eight => codes[byte_place(k, column)] = code,
        Bits::Four => {
            let (byte, shift) = nibble_place(k, column);
            codes[byte] |= (code & 15) << shift;
        }
    }
}

/// `q` of number `k` in a block and `column`.
#[must_use]
pub fn read_code(codes: &[u8], layout: IntLayout, k: usize, column: usize) -> i32 {
    match layout.bits {
        Bits::Eight => i32::from(codes[byte_place(k, column)].cast_signed()),
        Bits::Four => {
            let (byte, shift) = nibble_place(k, column);
            i32::from((codes[byte] >> shift) & 15) - layout.zero_code()
        }
    }
}

/// One column of a panel as float32: `out[k] = scale * q (+ minimum)`.
pub fn dequantize_column(panel: &[u8], layout: IntLayout, column: usize, out: &mut [f32]) {
    let blocks = panel.chunks_exact(layout.block_bytes());
    for (bytes, numbers) in blocks.zip(out.chunks_mut(layout.block)) {
        let block = Block::new(bytes, layout);
        let scale = read_f32(block.scales, column);
        let minimum = block.minima.map_or(0.0, |minima| read_f32(minima, column));
        for (k, number) in numbers.iter_mut().enumerate() {
            *number = scale * small_f32(read_code(block.codes, layout, k, column)) + minimum;
        }
    }
}

/// All columns of a panel as float32: `out [K, 16]`.
pub fn dequantize_panel(panel: &[u8], layout: IntLayout, out: &mut [[f32; PANEL]]) {
    let mut numbers = vec![0.0; out.len()];
    for column in 0..PANEL {
        dequantize_column(panel, layout, column, &mut numbers);
        for (row, number) in out.iter_mut().zip(&numbers) {
            row[column] = *number;
        }
    }
}
