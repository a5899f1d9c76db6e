//! Products `x [R, K] matrix [K, N] → [R, N]` of float32 rows and a packed matrix.
//!
//! A sum runs along K in one order, whatever rows stand beside its own and whichever thread computes it: a row's result
//! is the same bit for bit in any company.

mod float;
mod rows;

use std::cell::Cell;

use crate::error::Error;
use crate::ffi::{Call, Handler};
use crate::int::activations::Activations;
use crate::int::layout::IntLayout;
use crate::int::panel::IntPanel;
use crate::isa::Isa;
use crate::matrix::{Format, Matrix, PANEL};
use crate::share::{Pool, Shared, share};
use crate::simd::dispatch;
pub use rows::Rows;

/// Multiplications that are worth another thread's attention: some microseconds of them.
const CHUNK_PRODUCTS: usize = 1 << 16;

thread_local! {
    /// A product's rows as whole numbers; kept, as asking for memory costs more than many a product.
    static QUANTIZED: Cell<Activations> = Cell::default();
}

/// What is computed: `out [R, N] = x [R, K] matrix + bias`, each row with the matrix that `rows` gives it.
pub struct Product<'a> {
    /// One, or one for each expert, of the same sizes.
    pub matrices: Vec<Matrix<'a>>,
    /// [R, K].
    pub x: &'a [f32],
    /// [N] for each matrix, or nothing.
    pub bias: &'a [f32],
    /// Which rows each matrix is for. Those of none become 0.
    pub rows: Rows<'a>,
}

impl Product<'_> {
    /// Fills `out` [R, N].
    ///
    /// # Errors
    /// A thread panicked.
    ///
    /// # Panics
    /// Sizes do not fit one another.
    pub fn run(&self, pool: &Pool, isa: Isa, out: &mut [f32]) -> Result<(), Error> {
        let Some(first) = self.matrices.first() else {
            return Ok(());
        };
        let (num_in, num_out) = (first.num_in, first.num_out);
        if num_out == 0 {
            return Ok(());
        }
        let num_rows = out.len() / num_out;
        assert!(
            out.len() == num_rows * num_out && self.x.len() == num_rows * num_in,
            "sizes that do not fit"
        );
        let num_chunks = num_chunks(
            pool,
            first.num_panels(),
            self.rows.num_computed() * num_in * PANEL,
        );
        let quantized = self.quantized(isa, first);
        let place = Shared::new(out);
        let done = share(pool, num_chunks, &|chunk| {
            let panels = part_of(chunk, num_chunks, first.num_panels());
            for panel in panels {
                self.run_panel(isa, panel, num_rows, &quantized, place);
            }
        });
        QUANTIZED.set(quantized);
        done
    }

    /// The rows that are computed, as whole numbers where the weights are.
    fn quantized(&self, isa: Isa, matrix: &Matrix<'_>) -> Activations {
        let mut quantized = QUANTIZED.take();
        if let Some(layout) = IntLayout::of(matrix.format) {
            let rows = self.rows.all();
            let x = &self.x[rows.start * matrix.num_in..rows.end * matrix.num_in];
            quantized.quantize(isa, x, matrix.num_in, layout);
        }
        quantized
    }

    /// 16 columns of all rows.
    fn run_panel(
        &self,
        isa: Isa,
        panel: usize,
        num_rows: usize,
        quantized: &Activations,
        out: Shared<f32>,
    ) {
        let (num_in, num_out) = (self.matrices[0].num_in, self.matrices[0].num_out);
        let first_column = panel * PANEL;
        let num_columns = PANEL.min(num_out - first_column);
        for row in self.rows.left_out(num_rows) {
            // SAFETY: the place lives until the share is over, and these columns are of this panel, so of this chunk.
            unsafe { out.part(row * num_out + first_column, num_columns) }.fill(0.0);
        }
        for (number, matrix) in self.matrices.iter().enumerate() {
            let rows = self.rows.of(number);
            let bias = if self.bias.is_empty() {
                &[]
            } else {
                &self.bias[number * num_out + first_column..][..num_columns]
            };
            let x = &self.x[rows.start * num_in..rows.end * num_in];
            let first_row = rows.start;
            let place = move |row: usize| {
                // SAFETY: as above; a row is of one matrix.
                unsafe { out.part((first_row + row) * num_out + first_column, num_columns) }
            };
            match matrix.format {
                Format::F32 | Format::Bf16 => {
                    let (format, bytes, num_rows) =
                        (matrix.format, matrix.panel(panel), rows.len());
                    dispatch(
                        isa,
                        float::Panel {
                            format,
                            bytes,
                            num_rows,
                            num_in,
                            x,
                            bias,
                            place,
                        },
                    );
                }
                Format::Int {
                    bits,
                    block,
                    has_min,
                } => {
                    let layout = IntLayout::new(bits, block, has_min);
                    let (bytes, num_rows) = (matrix.panel(panel), rows.len());
                    let mut sums = vec![[0.0; PANEL]; num_rows];
                    let sum = IntPanel {
                        layout,
                        weights: bytes,
                        x: quantized,
                        first_row: rows.start - self.rows.all().start,
                        sums: &mut sums,
                    };
                    dispatch(isa, sum);
                    for (row, sums) in sums.iter().enumerate() {
                        for (lane, number) in place(row).iter_mut().enumerate() {
                            *number = sums[lane] + bias.get(lane).copied().unwrap_or(0.0);
                        }
                    }
                }
            }
        }
    }
}

/// How many chunks to make of panels: enough for all threads to end together, none of them tiny.
fn num_chunks(pool: &Pool, num_panels: usize, products_of_panel: usize) -> usize {
    let worth = num_panels.saturating_mul(products_of_panel) / CHUNK_PRODUCTS;
    if worth < 2 {
        1
    } else {
        worth.min(4 * pool.num_threads()).min(num_panels)
    }
}

/// The part of that number where `whole` things are cut into `num_parts` nearly equal ones.
fn part_of(part: usize, num_parts: usize, whole: usize) -> std::ops::Range<usize> {
    part * whole / num_parts..(part + 1) * whole / num_parts
}

/// `product`: operands x float32 [R, K], panels uint8 [bytes] or [E, bytes], rows int32 [E + 1] and bias float32 [N],
/// [E, N] or [0]; attribute `format`; result float32 [R, N]. Matrix e is that of rows `rows[e]..rows[e + 1]`.
pub struct ProductHandler;

impl Handler for ProductHandler {
    const NAME: &'static str = "product";

    fn run(call: &Call<'_>) -> Result<(), Error> {
        let x = call.operand::<f32>(0, "x", 2..3)?;
        let panels = call.operand::<u8>(1, "panels", 1..3)?;
        let rows = call.operand::<i32>(2, "rows", 1..2)?;
        let bias = call.operand::<f32>(3, "bias", 1..3)?;
        let out = call.result::<f32>(0, "the product", 2..3)?;
        let format: Format = call.text("format")?.parse()?;
        let ([num_rows, num_in], [out_rows, num_out]) = (x.dims, out.dims) else {
            return Err(Error::invalid("x and the product must have two axes"));
        };
        if num_rows != out_rows {
            return Err(Error::invalid(format!(
                "the product has {out_rows} rows, x has {num_rows}"
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
        let bytes = format.matrix_bytes(*num_in, *num_out);
        if panels.data.len() != num_matrices * bytes {
            let given = panels.data.len();
            return Err(Error::invalid(format!(
                "panels is {given} bytes, not {num_matrices} x {bytes}"
            )));
        }
        let matrices = (0..num_matrices)
            .map(|number| {
                Matrix::new(
                    format,
                    *num_in,
                    *num_out,
                    &panels.data[number * bytes..][..bytes],
                )
            })
            .collect::<Result<Vec<_>, _>>()?;
        let rows = Rows::new(rows.data, num_matrices, *num_rows)?;
        Product {
            matrices,
            x: x.data,
            bias: bias.data,
            rows,
        }
        .run(&call.pool(), Isa::current(), out.data)
    }
}
