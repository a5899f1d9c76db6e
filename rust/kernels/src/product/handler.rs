//! What XLA calls for a product.

use super::{Product, Rows};
use crate::error::Error;
use crate::ffi::{Call, Handler};
use crate::isa::Isa;
use crate::matrix::{Format, Matrix, PANEL};

/// `product`: operands x float32 [R, K], panels uint8 [bytes] or [E, bytes], rows int32 [E + 1] and bias float32 [N],
/// [E, N] or [0]; attributes `format`, `activation` and `is_gated`; result float32 [R, N], or [R, N / 2] where it is
/// gated. Matrix e is that of the rows `rows[e]..rows[e + 1]`; the others become 0.
pub struct ProductHandler;

impl Handler for ProductHandler {
    const NAME: &'static str = "product";

    fn run(call: &Call<'_>) -> Result<(), Error> {
        let x = call.operand::<f32>(0, "x", 2..3)?;
        let panels = call.operand::<u8>(1, "panels", 1..3)?;
        let rows = call.operand::<i32>(2, "rows", 1..2)?;
        let bias = call.operand::<f32>(3, "bias", 1..3)?;
        let out = call.result::<f32>(0, "the product", 2..3)?;
        let is_gated = call.bool("is_gated")?;
        let (num_rows, num_in) = (x.dims[0], x.dims[1]);
        let num_out = out.dims[1] * (1 + usize::from(is_gated));
        if num_rows != out.dims[0] {
            return Err(Error::invalid(format!(
                "the product has {} rows, x has {num_rows}",
                out.dims[0]
            )));
        }
        if is_gated && !out.dims[1].is_multiple_of(PANEL) {
            return Err(Error::invalid(format!(
                "{} gates do not fill panels of {PANEL}",
                out.dims[1]
            )));
        }
        let num_matrices = if let [num_matrices, _] = panels.dims {
            *num_matrices
        } else {
            1
        };
        if !bias.data.is_empty() && bias.data.len() != num_matrices * num_out {
            return Err(Error::invalid(format!(
                "bias is {:?}, not {num_matrices} x {num_out}",
                bias.dims
            )));
        }
        let matrices = matrices(
            call.text("format")?.parse()?,
            num_matrices,
            (num_in, num_out),
            panels.data,
        )?;
        let rows = Rows::new(rows.data, num_matrices, num_rows)?;
        let activation = call.text("activation")?.parse()?;
        let product = Product {
            matrices,
            x: x.data,
            bias: bias.data,
            rows,
            activation,
            is_gated,
        };
        product.run(&call.pool(), Isa::current(), out.data)
    }
}

/// The matrices [K, N] that `panels` holds, one behind another.
fn matrices(
    format: Format,
    num_matrices: usize,
    (num_in, num_out): (usize, usize),
    panels: &[u8],
) -> Result<Vec<Matrix<'_>>, Error> {
    let bytes = format.matrix_bytes(num_in, num_out);
    if panels.len() != num_matrices * bytes {
        let (given, wanted) = (panels.len(), num_matrices * bytes);
        return Err(Error::invalid(format!(
            "panels has {given} bytes, not the {wanted} of [{num_in}, {num_out}]"
        )));
    }
    let each = (0..num_matrices).map(|number| &panels[number * bytes..][..bytes]);
    each.map(|bytes| Matrix::new(format, num_in, num_out, bytes))
        .collect()
}
