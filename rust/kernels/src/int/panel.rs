//! Some rows with one panel.

use super::activations::Activations;
use super::codes::GROUP;
use super::layout::{Bits, Block, IntLayout};
use super::tile::{Bytes, Codes, MAX_ROWS, Nibbles, Wide, add_block};
use crate::matrix::PANEL;
use crate::simd::int::IntSimd;
use crate::simd::{Simd, Task};

/// From this many rows on, a block is widened to 16 bits once and then read by every tile.
const WIDEN_FROM_ROWS: usize = 2 * MAX_ROWS + 1;

/// Numbers along K of the widest block.
const MAX_BLOCK: usize = 64;

/// 16 columns of some rows: `sums = x · panel`.
pub struct IntPanel<'a> {
    /// How `weights` lie.
    pub layout: IntLayout,
    /// The panel, as long as the inputs of `x` need.
    pub weights: &'a [u8],
    /// Rows that were quantized for this layout.
    pub x: &'a Activations,
    /// The row of `x` that the first sums are of.
    pub first_row: usize,
    /// Of as many rows as are computed; what they hold is overwritten.
    pub sums: &'a mut [[f32; PANEL]],
}

impl Task for IntPanel<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.sums.fill([0.0; PANEL]);
        match self.layout.bits {
            Bits::Eight => self.add_blocks::<S, Bytes, { GROUP * PANEL }>(simd),
            Bits::Four => self.add_blocks::<S, Nibbles, { GROUP * PANEL / 2 }>(simd),
        }
    }
}

// No closures below: one is no part of the function that is compiled for the instruction set.
impl IntPanel<'_> {
    /// Block by block, so that a block is in the nearest cache for every tile.
    #[inline(always)]
    fn add_blocks<S: IntSimd, C: Codes<Group = [u8; SIZE]>, const SIZE: usize>(mut self, simd: S) {
        let mut wide = [[0i16; GROUP * PANEL]; MAX_BLOCK / GROUP];
        let blocks = self.weights.chunks_exact(self.layout.block_bytes());
        for (number, bytes) in blocks.enumerate() {
            let block = Block::new(bytes, self.layout);
            let (groups, _) = block.codes.as_chunks::<SIZE>();
            if self.sums.len() < WIDEN_FROM_ROWS {
                self.add_to_tiles::<S, C>(simd, number, groups, &block);
            } else {
                for (group, wide) in groups.iter().zip(&mut wide) {
                    simd.store_wide(C::read(simd, group), wide);
                }
                let groups = &wide[..groups.len()];
                self.add_to_tiles::<S, Wide>(simd, number, groups, &block);
            }
        }
    }

    /// One block, for all rows, in tiles of nearly equal height.
    #[inline(always)]
    fn add_to_tiles<S: IntSimd, C: Codes>(
        &mut self,
        simd: S,
        number: usize,
        groups: &[C::Group],
        block: &Block<'_>,
    ) {
        let mut row = 0;
        while row < self.sums.len() {
            let left = self.sums.len() - row;
            let height = left.div_ceil(left.div_ceil(MAX_ROWS));
            let x = self.x.rows_of_block(number, self.first_row + row, height);
            let sums = &mut self.sums[row..row + height];
            macro_rules! tile {
                ($($height:literal)*) => {
                    match height { $($height => {
                        let sums = sums.try_into().expect("as many rows as the tile has");
                        let zero_code = self.layout.zero_code();
                        add_block::<S, C, $height>(simd, x, groups, block, zero_code, sums);
                    })* _ => unreachable!("a tile has 1 to 6 rows") }
                };
            }
            tile!(1 2 3 4 5 6);
            row += height;
        }
    }
}
