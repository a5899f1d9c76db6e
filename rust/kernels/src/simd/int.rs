//! What a product of whole numbers asks of an instruction set: 16 columns at a time, pairs along K.

/// The part of an instruction set that multiplies whole numbers. A value proves that the machine has it.
pub trait IntSimd: Copy {
    /// 16 columns of two numbers along K, 16 bits each: `[16, 2]`.
    type Weights: Copy;
    /// 16 sums of 32 bits.
    type Sums: Copy;

    /// `value` in all sums.
    fn splat_sums(self, value: i32) -> Self::Sums;

    /// Four numbers along K from codes of 8 bits.
    fn widen_bytes(self, codes: &[u8; 64]) -> [Self::Weights; 2];

    /// Four numbers along K from codes of 4 bits.
    fn widen_nibbles(self, codes: &[u8; 32]) -> [Self::Weights; 2];

    /// Four numbers along K that have been widened before.
    fn load_wide(self, codes: &[i16; 64]) -> [Self::Weights; 2];

    /// Keeps four numbers along K for `load_wide`.
    fn store_wide(self, weights: [Self::Weights; 2], out: &mut [i16; 64]);

    /// `sums + weights · pair`, where `pair` holds two activations of 16 bits.
    fn dot(self, sums: Self::Sums, weights: Self::Weights, pair: i32) -> Self::Sums;

    /// `total += (sums * scales) * scale`, each step rounded by itself.
    fn add_scaled(self, total: &mut [f32; 16], sums: Self::Sums, scales: &[u8; 64], scale: f32);

    /// `total += (sums * scales + minima * sum) * scale`, where `sum` is that of the block's activations.
    fn add_scaled_min(
        self,
        total: &mut [f32; 16],
        sums: Self::Sums,
        scales: &[u8; 64],
        minima: &[u8; 64],
        sum_and_scale: (f32, f32),
    );
}

/// A whole number below 2^24, exactly.
#[allow(clippy::cast_precision_loss)]
#[must_use]
pub(crate) const fn small_f32(number: i32) -> f32 {
    number as f32
}

/// Number `column` of 16 float32.
pub(crate) fn read_f32(row: &[u8; 64], column: usize) -> f32 {
    f32::from_le_bytes(row.as_chunks().0[column])
}
