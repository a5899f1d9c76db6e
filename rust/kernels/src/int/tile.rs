//! The innermost product: up to 6 rows with the blocks of one panel, sums in registers.

use super::activations::RowsOfBlock;
use super::codes::GROUP;
use super::layout::Block;

use crate::matrix::PANEL;
use crate::simd::int::{IntSimd, small_f32};

/// Rows of the largest tile: with AVX2 its sums take 12 of 16 registers.
pub(crate) const MAX_ROWS: usize = 6;

/// How a block's codes lie: a group is 4 numbers along K of 16 columns.
pub(crate) trait Codes {
    /// A group's codes.
    type Group;

    /// The group's weights, pair by pair.
    fn read<S: IntSimd>(simd: S, group: &Self::Group) -> [S::Weights; 2];
}

/// Signed bytes.
pub(crate) struct Bytes;

/// Nibbles, two in a byte.
pub(crate) struct Nibbles;

/// Words of 16 bits, widened from either before.
pub(crate) struct Wide;

impl Codes for Bytes {
    type Group = [u8; GROUP * PANEL];

    #[inline(always)]
    fn read<S: IntSimd>(simd: S, group: &Self::Group) -> [S::Weights; 2] {
        simd.widen_bytes(group)
    }
}

impl Codes for Nibbles {
    type Group = [u8; GROUP * PANEL / 2];

    #[inline(always)]
    fn read<S: IntSimd>(simd: S, group: &Self::Group) -> [S::Weights; 2] {
        simd.widen_nibbles(group)
    }
}

impl Codes for Wide {
    type Group = [i16; GROUP * PANEL];

    #[inline(always)]
    fn read<S: IntSimd>(simd: S, group: &Self::Group) -> [S::Weights; 2] {
        simd.load_wide(group)
    }
}

/// Adds one block's products to the totals of `R` rows.
///
/// Args: `x`, the block of `R` rows; `groups`, the block's codes; `zero_code`, what stands above `q` in each code.
#[inline(always)]
pub(crate) fn add_block<S: IntSimd, C: Codes, const R: usize>(
    simd: S,
    x: RowsOfBlock<'_>,
    groups: &[C::Group],
    block: &Block<'_>,
    zero_code: i32,
    totals: &mut [[f32; PANEL]; R],
) {
    let pairs_per_row = groups.len() * 2;
    assert!(
        x.pairs.len() == R * pairs_per_row && x.scales.len() == R && x.sums.len() == R,
        "R rows of a block"
    );
    let mut sums = [simd.splat_sums(0); R];
    if zero_code != 0 {
        for (sums, sum) in sums.iter_mut().zip(x.sums) {
            *sums = simd.splat_sums(-zero_code * sum);
        }
    }
    for (number, group) in groups.iter().enumerate() {
        // One pair of K after the other: weights of both would not fit the registers beside the sums.
        let [weights, _] = C::read(simd, group);
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: row < R and number < groups.len(), so this is below R * pairs_per_row, as is what follows it.
            let pair = unsafe { *x.pairs.get_unchecked(row * pairs_per_row + number * 2) };
            *sums = simd.dot(*sums, weights, pair);
        }
        let [_, weights] = C::read(simd, group);
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as above.
            let pair = unsafe { *x.pairs.get_unchecked(row * pairs_per_row + number * 2 + 1) };
            *sums = simd.dot(*sums, weights, pair);
        }
    }
    for (row, total) in totals.iter_mut().enumerate() {
        let (sums, scale) = (sums[row], x.scales[row]);
        match block.minima {
            None => simd.add_scaled(total, sums, block.scales, scale),
            Some(minima) => {
                let sum_and_scale = (small_f32(x.sums[row]), scale);
                simd.add_scaled_min(total, sums, block.scales, minima, sum_and_scale);
            }
        }
    }
}
