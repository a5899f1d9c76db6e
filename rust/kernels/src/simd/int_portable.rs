//! Plain Rust: every machine has it, and it says what the others must give.

use super::int::{IntSimd, read_f32, small_f32};
use super::portable::Portable;
use crate::matrix::PANEL;

impl IntSimd for Portable {
    type Weights = [i16; 32];
    type Sums = [i32; 16];

    #[inline(always)]
    fn splat_sums(self, value: i32) -> [i32; 16] {
        [value; 16]
    }

    #[inline(always)]
    fn widen_bytes(self, codes: &[u8; 64]) -> [[i16; 32]; 2] {
        let widen =
            |from: usize| std::array::from_fn(|at| i16::from(codes[from + at].cast_signed()));
        [widen(0), widen(32)]
    }

    #[inline(always)]
    fn widen_nibbles(self, codes: &[u8; 32]) -> [[i16; 32]; 2] {
        let widen = |shift: usize| {
            std::array::from_fn(|at| {
                let word = u16::from_le_bytes([codes[at % 16 * 2], codes[at % 16 * 2 + 1]]);
                ((word >> (shift + at / 16 * 4)) & 15).cast_signed()
            })
        };
        [widen(0), widen(8)]
    }

    #[inline(always)]
    fn load_wide(self, codes: &[i16; 64]) -> [[i16; 32]; 2] {
        [
            std::array::from_fn(|at| codes[at]),
            std::array::from_fn(|at| codes[32 + at]),
        ]
    }

    #[inline(always)]
    fn store_wide(self, weights: [[i16; 32]; 2], out: &mut [i16; 64]) {
        out[..32].copy_from_slice(&weights[0]);
        out[32..].copy_from_slice(&weights[1]);
    }

    #[inline(always)]
    fn dot(self, mut sums: [i32; 16], weights: [i16; 32], pair: i32) -> [i32; 16] {
        let (even, odd) = ((pair << 16) >> 16, pair >> 16);
        for (column, sum) in sums.iter_mut().enumerate() {
            *sum +=
                i32::from(weights[2 * column]) * even + i32::from(weights[2 * column + 1]) * odd;
        }
        sums
    }

    #[inline(always)]
    fn add_scaled(self, total: &mut [f32; 16], sums: [i32; 16], scales: &[u8; 64], scale: f32) {
        for column in 0..PANEL {
            total[column] += (small_f32(sums[column]) * read_f32(scales, column)) * scale;
        }
    }

    #[inline(always)]
    fn add_scaled_min(
        self,
        total: &mut [f32; 16],
        sums: [i32; 16],
        scales: &[u8; 64],
        minima: &[u8; 64],
        sum_and_scale: (f32, f32),
    ) {
        for column in 0..PANEL {
            let of_codes = small_f32(sums[column]) * read_f32(scales, column);
            total[column] +=
                (of_codes + read_f32(minima, column) * sum_and_scale.0) * sum_and_scale.1;
        }
    }
}
