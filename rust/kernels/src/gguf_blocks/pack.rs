//! Rows of blocks as the panels of a packed matrix, every number in its own bits.

use super::format::holds;
use super::kind::TensorType;
use super::layout::Layout;
use super::parts::Block;
use crate::error::Error;
use crate::int::codes::write_code;
use crate::int::layout::IntLayout;
use crate::matrix::{Format, PANEL};
use crate::share::{Pool, Shared, share};

/// A tensor's rows of blocks, each of all inputs.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// The type of its blocks.
    pub kind: TensorType,
    /// One row after another.
    pub bytes: &'a [u8],
}

/// A checked tensor.
struct Source<'a> {
    layout: Layout,
    row_bytes: usize,
    bytes: &'a [u8],
    /// The number of its first row among those of all tensors.
    first_row: usize,
    num_rows: usize,
}

/// Packs rows into `out`, of `format.matrix_bytes`.
///
/// # Arguments
/// * `order` - for each output the number of its row, counted over all tensors.
///
/// # Errors
/// Rows that are no whole blocks, an output without a row, a format that does not hold the numbers, or other sizes.
pub fn pack_rows(
    tensors: &[Rows<'_>],
    order: &[i64],
    num_in: usize,
    format: Format,
    pool: &Pool,
    out: &mut [u8],
) -> Result<(), Error> {
    let sources = check(tensors, num_in, format)?;
    let num_rows = sources.iter().map(|source| source.num_rows).sum::<usize>();
    let has_row = |row: &i64| usize::try_from(*row).is_ok_and(|row| row < num_rows);
    if !order.iter().all(has_row) || out.len() != format.matrix_bytes(num_in, order.len()) {
        return Err(Error::invalid(format!(
            "{} outputs of {num_rows} rows do not fill {} bytes of {format}",
            order.len(),
            out.len()
        )));
    }
    let layout = IntLayout::of(format).ok_or_else(|| Error::invalid("blocks as plain floats"))?;
    let (len, place) = (format.panel_bytes(num_in), Shared::new(out));
    share(pool, order.len().div_ceil(PANEL), &|panel| {
        // SAFETY: `out` is there until the share is over, and each panel is of one chunk.
        let bytes = unsafe { place.part(panel * len, len) };
        let rows = &order[panel * PANEL..order.len().min((panel + 1) * PANEL)];
        pack_panel(&sources, rows, layout, bytes);
    })
}

fn check<'a>(
    tensors: &[Rows<'a>],
    num_in: usize,
    format: Format,
) -> Result<Vec<Source<'a>>, Error> {
    let mut first_row = 0;
    let mut sources = Vec::with_capacity(tensors.len());
    for rows in tensors {
        let name = rows.kind.name();
        let layout = Layout::of(rows.kind)
            .filter(|layout| holds(format, layout))
            .ok_or_else(|| Error::invalid(format!("{format} does not hold {name}")))?;
        let row_bytes = num_in / layout.block * layout.block_bytes;
        let is_whole = num_in.is_multiple_of(layout.block) && row_bytes > 0;
        if !is_whole || !rows.bytes.len().is_multiple_of(row_bytes) {
            let message = format!("{num_in} inputs of {name} are no whole blocks");
            return Err(Error::invalid(message));
        }
        let num_rows = rows.bytes.len() / row_bytes;
        sources.push(Source {
            layout,
            row_bytes,
            bytes: rows.bytes,
            first_row,
            num_rows,
        });
        first_row += num_rows;
    }
    Ok(sources)
}

/// `rows`: of up to 16 columns; the others become nothing.
fn pack_panel(sources: &[Source<'_>], rows: &[i64], layout: IntLayout, bytes: &mut [u8]) {
    bytes.fill(0);
    for (column, row) in rows.iter().enumerate() {
        let row = usize::try_from(*row).unwrap_or(0);
        let number = sources.partition_point(|source| source.first_row <= row) - 1;
        let source = &sources[number];
        let start = (row - source.first_row) * source.row_bytes;
        pack_column(
            source,
            &source.bytes[start..][..source.row_bytes],
            column,
            layout,
            bytes,
        );
    }
}

fn pack_column(
    source: &Source<'_>,
    row: &[u8],
    column: usize,
    layout: IntLayout,
    bytes: &mut [u8],
) {
    let mut block = Block::default();
    let mut places = bytes.chunks_exact_mut(layout.block_bytes());
    for stored in row.chunks_exact(source.layout.block_bytes) {
        source.layout.take_apart(stored, &mut block);
        for first in (0..source.layout.block).step_by(layout.block) {
            let group = first / source.layout.group;
            let Some(place) = places.next() else { return };
            let (head, codes) = place.split_at_mut(layout.head_bytes());
            let numbers = head.as_chunks_mut::<4>().0;
            numbers[column] = block.scales[group].to_ne_bytes();
            if layout.has_min {
                numbers[PANEL + column] = block.mins[group].to_ne_bytes();
            }
            for (k, code) in block.codes[first..][..layout.block].iter().enumerate() {
                write_code(codes, layout, k, column, i32::from(*code));
            }
        }
    }
}
