//! What a product of whole numbers asks of an instruction set: 16 columns at a time, pairs along K.

/// An instruction set's registers.
///
/// # Safety
///
/// Every function may be called only where the machine has the instruction set.
pub(crate) trait IntLanes {
    /// 16 columns of two numbers along K, 16 bits each: `[16, 2]`.
    type Weights: Copy;
    /// 16 sums of 32 bits.
    type Sums: Copy;

    /// `value` in all sums.
    unsafe fn splat(value: i32) -> Self::Sums;

    /// Four numbers along K from codes of 8 bits.
    unsafe fn widen_bytes(codes: &[u8; 64]) -> [Self::Weights; 2];

    /// Four numbers along K from codes of 4 bits.
    unsafe fn widen_nibbles(codes: &[u8; 32]) -> [Self::Weights; 2];

    /// Four numbers along K that have been widened before.
    unsafe fn load_wide(codes: &[i16; 64]) -> [Self::Weights; 2];

    /// Keeps four numbers along K for `load_wide`.
    unsafe fn store_wide(weights: [Self::Weights; 2], out: &mut [i16; 64]);

    /// `sums + weights · pair`, where `pair` holds two activations of 16 bits.
    unsafe fn dot(sums: Self::Sums, weights: Self::Weights, pair: i32) -> Self::Sums;

    /// `total += (sums * scales) * scale`.
    unsafe fn add_scaled(total: &mut [f32; 16], sums: Self::Sums, scales: &[u8; 64], scale: f32);

    /// `total += (sums * scales + minima * sum) * scale`, where `sum` is that of the block's activations.
    unsafe fn add_scaled_min(
        total: &mut [f32; 16],
        sums: Self::Sums,
        scales: &[u8; 64],
        minima: &[u8; 64],
        sum: f32,
        scale: f32,
    );
}
