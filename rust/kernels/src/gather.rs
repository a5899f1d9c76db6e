//! Columns of a packed matrix: an embedding lies as the matrix [hidden size, vocabulary], as a tied head needs it.

use crate::error::Error;
use crate::ffi::{Call, Handler};
use crate::int::codes::dequantize_column;
use crate::int::layout::IntLayout;
use crate::matrix::{Format, Matrix, PANEL, floats, words};
use crate::share::{Shared, share};

/// Writes column `column` of a matrix into `out` [K].
///
/// # Panics
/// There is no such column, or `out` is shorter.
pub fn take_column(matrix: &Matrix<'_>, column: usize, out: &mut [f32]) {
    assert!(
        column < matrix.num_out && out.len() == matrix.num_in,
        "a column of another matrix"
    );
    let (panel, lane) = (matrix.panel(column / PANEL), column % PANEL);
    match matrix.format {
        Format::F32 => {
            for (place, row) in out.iter_mut().zip(floats(panel).as_chunks::<PANEL>().0) {
                *place = row[lane];
            }
        }
        Format::Bf16 => {
            for (places, row) in out.chunks_mut(2).zip(words(panel).as_chunks::<PANEL>().0) {
                places[0] = f32::from_bits(row[lane] << 16);
                if let Some(second) = places.get_mut(1) {
                    *second = f32::from_bits(row[lane] & 0xffff_0000);
                }
            }
        }
        Format::Int {
            bits,
            block,
            has_min,
        } => dequantize_column(panel, IntLayout::new(bits, block, has_min), lane, out),
    }
}

/// `take_rows`: operands panels uint8 [bytes] and tokens int32 [R]; attributes `format` and `num_out`; result float32
/// [R, K], for each token its column. Numbers outside of the matrix count as the nearest inside.
pub struct TakeRowsHandler;

impl Handler for TakeRowsHandler {
    const NAME: &'static str = "take_rows";

    fn run(call: &Call<'_>) -> Result<(), Error> {
        let panels = call.operand::<u8>(0, "panels", 1..2)?;
        let tokens = call.operand::<i32>(1, "tokens", 1..2)?;
        let out = call.result::<f32>(0, "the rows", 2..3)?;
        let (num_rows, num_in) = (out.dims[0], out.dims[1]);
        let num_out = usize::try_from(call.int64("num_out")?).unwrap_or(0);
        if num_rows != tokens.data.len() || num_out == 0 {
            let given = tokens.data.len();
            return Err(Error::invalid(format!(
                "{num_rows} rows of {num_out} columns for {given} tokens"
            )));
        }
        let matrix = Matrix::new(call.text("format")?.parse()?, num_in, num_out, panels.data)?;
        let place = Shared::new(out.data);
        share(&call.pool(), num_rows, &|row| {
            let column = usize::try_from(tokens.data[row])
                .unwrap_or(0)
                .min(num_out - 1);
            // SAFETY: the result is there until the share is over, and each row is of one chunk.
            take_column(&matrix, column, unsafe { place.part(row * num_in, num_in) });
        })
    }
}
