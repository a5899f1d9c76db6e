//! All rows with one panel.

use super::activations::Activations;
use super::codes::GROUP;
use super::lanes::IntLanes;
use super::layout::{Bits, Block, COLUMNS, IntLayout};
use super::tile::{Bytes, Codes, MAX_ROWS, Nibbles, Wide, add_block};

/// From this many rows on, a block is widened to 16 bits once and then read by every tile.
const WIDEN_FROM_ROWS: usize = 2 * MAX_ROWS + 1;

/// The widest block.
const MAX_BLOCK: usize = 64;

/// An instruction set for products of whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntIsa {
    /// Plain Rust.
    Portable,
    /// AVX2.
    Avx2,
    /// AVX-512 (F, BW) with VNNI.
    Avx512,
}

/// `totals[row] = x[row] · panel` of 16 columns, for the rows of `x` from `first` on.
///
/// Args: `panel`, `layout.panel_bytes` of the inputs that `x` was quantized from, with the same `layout`; `totals`, a
/// row of 16 columns for each row; what they hold is overwritten.
///
/// # Safety
///
/// The machine has the instruction set `isa`.
pub unsafe fn panel_product(
    isa: IntIsa,
    x: &Activations,
    first: usize,
    panel: &[u8],
    layout: IntLayout,
    totals: &mut [[f32; COLUMNS]],
) {
    totals.fill([0.0; COLUMNS]);
    // SAFETY: the machine has the instruction set, as asked here.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            IntIsa::Avx2 => on_avx2(x, first, panel, layout, totals),
            #[cfg(target_arch = "x86_64")]
            IntIsa::Avx512 => on_avx512(x, first, panel, layout, totals),
            _ => by_bits::<super::portable::Portable>(x, first, panel, layout, totals),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn on_avx2(
    x: &Activations,
    first: usize,
    panel: &[u8],
    layout: IntLayout,
    totals: &mut [[f32; COLUMNS]],
) {
    // SAFETY: the caller has seen to AVX2.
    unsafe { by_bits::<super::avx2::Avx2>(x, first, panel, layout, totals) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn on_avx512(
    x: &Activations,
    first: usize,
    panel: &[u8],
    layout: IntLayout,
    totals: &mut [[f32; COLUMNS]],
) {
    // SAFETY: the caller has seen to AVX-512.
    unsafe { by_bits::<super::avx512::Avx512>(x, first, panel, layout, totals) }
}

#[inline(always)]
unsafe fn by_bits<L: IntLanes>(
    x: &Activations,
    first: usize,
    panel: &[u8],
    layout: IntLayout,
    totals: &mut [[f32; COLUMNS]],
) {
    // SAFETY: the machine has the instruction set, as asked here.
    unsafe {
        match layout.bits {
            Bits::Eight => {
                all_rows::<L, Bytes, { GROUP * COLUMNS }>(x, first, panel, layout, totals)
            }
            Bits::Four => {
                all_rows::<L, Nibbles, { GROUP * COLUMNS / 2 }>(x, first, panel, layout, totals)
            }
        }
    }
}

/// Block by block, so that a block is in the nearest cache for every tile.
#[inline(always)]
unsafe fn all_rows<L: IntLanes, C: Codes<Group = [u8; SIZE]>, const SIZE: usize>(
    x: &Activations,
    first: usize,
    panel: &[u8],
    layout: IntLayout,
    totals: &mut [[f32; COLUMNS]],
) {
    let mut wide = [[0i16; GROUP * COLUMNS]; MAX_BLOCK / GROUP];
    for (number, bytes) in panel.chunks_exact(layout.block_bytes()).enumerate() {
        let block = Block::new(bytes, layout);
        let (groups, _) = block.codes.as_chunks::<SIZE>();
        // SAFETY: the machine has the instruction set, as asked here.
        unsafe {
            if totals.len() < WIDEN_FROM_ROWS {
                tiles::<L, C>(x, first, number, groups, &block, layout, totals);
            } else {
                for (group, wide) in groups.iter().zip(&mut wide) {
                    L::store_wide(C::read::<L>(group), wide);
                }
                tiles::<L, Wide>(
                    x,
                    first,
                    number,
                    &wide[..groups.len()],
                    &block,
                    layout,
                    totals,
                );
            }
        }
    }
}

/// The rows of one block in tiles of nearly equal height.
#[inline(always)]
unsafe fn tiles<L: IntLanes, C: Codes>(
    x: &Activations,
    first: usize,
    number: usize,
    groups: &[C::Group],
    block: &Block<'_>,
    layout: IntLayout,
    totals: &mut [[f32; COLUMNS]],
) {
    let mut row = 0;
    while row < totals.len() {
        let left = totals.len() - row;
        let height = left.div_ceil(left.div_ceil(MAX_ROWS));
        let rows = x.rows_of_block(number, first + row, height);
        let totals = &mut totals[row..row + height];
        macro_rules! tile {
            ($($height:literal)*) => {
                // SAFETY: the machine has the instruction set, as asked here.
                match height { $($height => unsafe {
                    let totals = totals.try_into().expect("as many rows as the tile has");
                    add_block::<L, C, $height>(rows, groups, block, layout.zero_code(), totals);
                },)* _ => unreachable!("a tile has 1 to 6 rows") }
            };
        }
        tile!(1 2 3 4 5 6);
        row += height;
    }
}
