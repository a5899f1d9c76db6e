//! Some rows with one panel.

use std::cell::Cell;

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

/// 16 columns of some rows.
pub struct IntPanel<'a, P> {
    /// How `bytes` lie.
    pub layout: IntLayout,
    /// The panel, as long as the inputs of `x` need.
    pub bytes: &'a [u8],
    /// Rows that were quantized for this layout.
    pub x: &'a Activations,
    /// The first row that is computed.
    pub first_row: usize,
    /// How many are.
    pub num_rows: usize,
    /// Of each column, or nothing.
    pub bias: &'a [f32],
    /// Where the columns of a row go, at most 16; rows count from the first one.
    pub place: P,
}

thread_local! {
    /// Totals of a panel; kept, as asking for memory costs more than many a product.
    static TOTALS: Cell<Vec<[f32; PANEL]>> = const { Cell::new(Vec::new()) };
}

impl<'a, P: Fn(usize) -> &'a mut [f32]> Task for IntPanel<'a, P> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // Not `with_borrow_mut`: a closure is no part of the function that is compiled for the instruction set.
        let mut totals = TOTALS.take();
        totals.clear();
        totals.resize(self.num_rows, [0.0; PANEL]);
        match self.layout.bits {
            Bits::Eight => self.add_blocks::<S, Bytes, { GROUP * PANEL }>(simd, &mut totals),
            Bits::Four => self.add_blocks::<S, Nibbles, { GROUP * PANEL / 2 }>(simd, &mut totals),
        }
        for (row, total) in totals.iter().enumerate() {
            for (column, number) in (self.place)(row).iter_mut().enumerate() {
                *number = total[column] + self.bias.get(column).copied().unwrap_or(0.0);
            }
        }
        TOTALS.set(totals);
    }
}

impl<P> IntPanel<'_, P> {
    /// Block by block, so that a block is in the nearest cache for every tile.
    #[inline(always)]
    fn add_blocks<S: IntSimd, C: Codes<Group = [u8; SIZE]>, const SIZE: usize>(
        &self,
        simd: S,
        totals: &mut [[f32; PANEL]],
    ) {
        let mut wide = [[0i16; GROUP * PANEL]; MAX_BLOCK / GROUP];
        let blocks = self.bytes.chunks_exact(self.layout.block_bytes());
        for (number, bytes) in blocks.enumerate() {
            let block = Block::new(bytes, self.layout);
            let (groups, _) = block.codes.as_chunks::<SIZE>();
            if totals.len() < WIDEN_FROM_ROWS {
                self.add_to_tiles::<S, C>(simd, number, groups, &block, totals);
            } else {
                for (group, wide) in groups.iter().zip(&mut wide) {
                    simd.store_wide(C::read(simd, group), wide);
                }
                let groups = &wide[..groups.len()];
                self.add_to_tiles::<S, Wide>(simd, number, groups, &block, totals);
            }
        }
    }

    /// One block, for all rows, in tiles of nearly equal height.
    #[inline(always)]
    fn add_to_tiles<S: IntSimd, C: Codes>(
        &self,
        simd: S,
        number: usize,
        groups: &[C::Group],
        block: &Block<'_>,
        totals: &mut [[f32; PANEL]],
    ) {
        let mut row = 0;
        while row < totals.len() {
            let left = totals.len() - row;
            let height = left.div_ceil(left.div_ceil(MAX_ROWS));
            let x = self.x.rows_of_block(number, self.first_row + row, height);
            let totals = &mut totals[row..row + height];
            macro_rules! tile {
                ($($height:literal)*) => {
                    match height { $($height => {
                        let totals = totals.try_into().expect("as many rows as the tile has");
                        let zero_code = self.layout.zero_code();
                        add_block::<S, C, $height>(simd, x, groups, block, zero_code, totals);
                    })* _ => unreachable!("a tile has 1 to 6 rows") }
                };
            }
            tile!(1 2 3 4 5 6);
            row += height;
        }
    }
}
