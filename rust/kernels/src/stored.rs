//! A matrix as it is stored before it is packed.

use crate::ffi::Element;
use crate::matrix::PANEL;
use crate::number::{Bf16, F16};

/// A number of a stored matrix.
pub trait Number: Element {
    /// What pads a panel.
    const ZERO: Self;
    /// Exactly.
    fn widen(self) -> f32;
    /// The bits of the nearest bfloat16, halves to even; not-a-numbers stay.
    fn to_bf16(self) -> u16 {
        Bf16::nearest(self.widen()).0
    }
}

impl Number for f32 {
    const ZERO: Self = 0.0;
    fn widen(self) -> f32 {
        self
    }
}

impl Number for Bf16 {
    const ZERO: Self = Self(0);
    fn widen(self) -> f32 {
        self.to_f32()
    }
    fn to_bf16(self) -> u16 {
        self.0
    }
}

impl Number for F16 {
    const ZERO: Self = Self(0);
    fn widen(self) -> f32 {
        self.to_f32()
    }
}

/// Numbers of a matrix [K, N].
#[derive(Clone, Copy)]
pub struct Stored<'a, T> {
    /// All of them.
    pub numbers: &'a [T],
    /// K.
    pub num_in: usize,
    /// N.
    pub num_out: usize,
    /// They lie as [N, K] instead of [K, N].
    pub is_out_first: bool,
}

impl<T: Number> Stored<'_, T> {
    /// Calls `put` for every input with its numbers in the 16 columns from `first` on, 0 beyond the last one.
    ///
    /// # Panics
    /// There is no column `first`.
    #[inline]
    pub fn each_row(&self, first: usize, mut put: impl FnMut(usize, [T; PANEL])) {
        let width = PANEL.min(self.num_out - first);
        let mut row = [T::ZERO; PANEL];
        if !self.is_out_first {
            for input in 0..self.num_in {
                row[..width]
                    .copy_from_slice(&self.numbers[input * self.num_out + first..][..width]);
                put(input, row);
            }
            return;
        }
        // Columns beyond the last one read the first one, and stay 0.
        let column = |lane: usize| if lane < width { first + lane } else { first };
        let columns: [&[T]; PANEL] =
            std::array::from_fn(|lane| &self.numbers[column(lane) * self.num_in..][..self.num_in]);
        for input in 0..self.num_in {
            for (number, column) in row[..width].iter_mut().zip(columns) {
                *number = column[input];
            }
            put(input, row);
        }
    }
}
