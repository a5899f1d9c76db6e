//! The innermost product: up to 6 rows with the blocks of one panel, sums in registers.

use super::activations::RowsOfBlock;
use super::codes::{GROUP, small_f32};
use super::lanes::IntLanes;
use super::layout::{Block, COLUMNS};

/// Rows of the largest tile: with AVX2 its sums take 12 of 16 registers.
pub(crate) const MAX_ROWS: usize = 6;

/// How a block's codes lie: a group is 4 numbers along K of 16 columns.
pub(crate) trait Codes {
    /// A group's codes.
    type Group;

    /// The group's weights, pair by pair.
    ///
    /// # Safety
    ///
    /// The machine has the instruction set of `L`.
    unsafe fn read<L: IntLanes>(group: &Self::Group) -> [L::Weights; 2];
}

/// Signed bytes.
pub(crate) struct Bytes;

/// Nibbles, two in a byte.
pub(crate) struct Nibbles;

/// Words of 16 bits, widened from either before.
pub(crate) struct Wide;

impl Codes for Bytes {
    type Group = [u8; GROUP * COLUMNS];

    #[inline(always)]
    unsafe fn read<L: IntLanes>(group: &Self::Group) -> [L::Weights; 2] {
        // SAFETY: as asked here.
        unsafe { L::widen_bytes(group) }
    }
}

impl Codes for Nibbles {
    type Group = [u8; GROUP * COLUMNS / 2];

    #[inline(always)]
    unsafe fn read<L: IntLanes>(group: &Self::Group) -> [L::Weights; 2] {
        // SAFETY: as asked here.
        unsafe { L::widen_nibbles(group) }
    }
}

impl Codes for Wide {
    type Group = [i16; GROUP * COLUMNS];

    #[inline(always)]
    unsafe fn read<L: IntLanes>(group: &Self::Group) -> [L::Weights; 2] {
        // SAFETY: as asked here.
        unsafe { L::load_wide(group) }
    }
}

/// Adds one block's products to the totals of `R` rows.
///
/// Args: `x`, the block of `R` rows; `groups`, the block's codes; `zero_code`, what stands above `q` in each code.
///
/// # Safety
///
/// The machine has the instruction set of `L`.
#[inline(always)]
pub(crate) unsafe fn add_block<L: IntLanes, C: Codes, const R: usize>(
    x: RowsOfBlock<'_>,
    groups: &[C::Group],
    block: &Block<'_>,
    zero_code: i32,
    totals: &mut [[f32; COLUMNS]; R],
) {
    let pairs_per_row = groups.len() * 2;
    assert!(
        x.pairs.len() == R * pairs_per_row && x.scales.len() == R && x.sums.len() == R,
        "R rows of a block"
    );
    // SAFETY: the machine has the instruction set, as asked here. A pair's index is below R * pairs_per_row.
    unsafe {
        let mut sums: [L::Sums; R] = std::array::from_fn(|row| L::splat(-zero_code * x.sums[row]));
        for (number, group) in groups.iter().enumerate() {
            let [first, second] = C::read::<L>(group);
            for (row, sums) in sums.iter_mut().enumerate() {
                let at = row * pairs_per_row + number * 2;
                *sums = L::dot(*sums, first, *x.pairs.get_unchecked(at));
                *sums = L::dot(*sums, second, *x.pairs.get_unchecked(at + 1));
            }
        }
        for (row, total) in totals.iter_mut().enumerate() {
            match block.minima {
                None => L::add_scaled(total, sums[row], block.scales, x.scales[row]),
                Some(minima) => {
                    L::add_scaled_min(
                        total,
                        sums[row],
                        block.scales,
                        minima,
                        small_f32(x.sums[row]),
                        x.scales[row],
                    );
                }
            }
        }
    }
}
