//! Products `x [R, K] matrix [K, N] → [R, N]` of float32 rows and a packed matrix.
//!
//! A sum runs along K in one order, whatever rows stand beside its own and whichever thread computes it: a row's result
//! is the same bit for bit in any company.

mod float;
mod handler;
mod rows;

use std::cell::{Cell, RefCell};
use std::ops::Range;

use crate::activation::{Activate, Activation};
use crate::error::Error;
use crate::int::activations::Activations;
use crate::int::layout::IntLayout;
use crate::int::panel::IntPanel;
use crate::isa::Isa;
use crate::matrix::{Format, Matrix, PANEL};
use crate::share::{Pool, Shared, share};
use crate::simd::dispatch;
pub use handler::ProductHandler;
pub use rows::Rows;

/// Multiplications that are worth another thread's attention: some microseconds of them.
const CHUNK_PRODUCTS: usize = 1 << 16;
/// Chunks for each thread, so that all end together though they do not run alike.
const CHUNKS_PER_THREAD: usize = 4;

/// What is computed: `act(x matrix + bias)`, each row with the matrix that `rows` gives it.
pub struct Product<'a> {
    /// One, or one for each expert, of the same sizes.
    pub matrices: Vec<Matrix<'a>>,
    /// [R, K].
    pub x: &'a [f32],
    /// [N] for each matrix, or nothing.
    pub bias: &'a [f32],
    /// Which rows each matrix is for. Those of none become 0.
    pub rows: Rows<'a>,
    /// Of the sums.
    pub activation: Activation,
    /// The first half of the columns are gates: `act(gate) * up`, half as many columns. They must fill whole panels.
    pub is_gated: bool,
}

thread_local! {
    /// The sums of a panel, [rows, 16], and of that of its gates; kept, as asking for memory costs as much as a small
    /// product.
    static SUMS: RefCell<[Vec<[f32; PANEL]>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

thread_local! {
    /// A product's rows as whole numbers; kept, too.
    static QUANTIZED: Cell<Activations> = Cell::default();
}

impl Product<'_> {
    /// Columns of the result.
    #[must_use]
    pub fn num_columns(&self) -> usize {
        let num_out = self.matrices.first().map_or(0, |matrix| matrix.num_out);
        if self.is_gated { num_out / 2 } else { num_out }
    }

    /// Fills `out` [R, columns].
    ///
    /// # Errors
    /// A thread panicked.
    ///
    /// # Panics
    /// Sizes do not fit one another.
    pub fn run(&self, pool: &Pool, isa: Isa, out: &mut [f32]) -> Result<(), Error> {
        let (num_in, num_columns) = (
            self.matrices.first().map_or(0, |matrix| matrix.num_in),
            self.num_columns(),
        );
        if num_columns == 0 {
            return Ok(());
        }
        let num_rows = out.len() / num_columns;
        assert!(
            out.len() == num_rows * num_columns && self.x.len() == num_rows * num_in,
            "sizes that do not fit"
        );
        assert!(
            !self.is_gated || num_columns.is_multiple_of(PANEL),
            "gates that do not fill panels"
        );
        let num_panels = num_columns.div_ceil(PANEL);
        let products_of_panel =
            self.rows.num_computed() * num_in * PANEL * (1 + usize::from(self.is_gated));
        let num_chunks = num_chunks(pool, num_panels, products_of_panel);
        let place = Shared::new(out);
        let quantized = self.quantized(isa);
        let done = share(pool, num_chunks, &|chunk| {
            SUMS.with_borrow_mut(|sums| {
                for panel in part_of(chunk, num_chunks, num_panels) {
                    self.fill_panel(isa, panel, num_rows, &quantized, sums, place);
                }
            });
        });
        QUANTIZED.set(quantized);
        done
    }

    /// The rows that are computed as whole numbers, where the weights are.
    fn quantized(&self, isa: Isa) -> Activations {
        let mut quantized = QUANTIZED.take();
        let Some(matrix) = self.matrices.first() else {
            return quantized;
        };
        if let Some(layout) = IntLayout::of(matrix.format) {
            let rows = self.rows.all();
            let x = &self.x[rows.start * matrix.num_in..rows.end * matrix.num_in];
            quantized.quantize(isa, x, matrix.num_in, layout);
        }
        quantized
    }

    /// 16 columns of all rows.
    fn fill_panel(
        &self,
        isa: Isa,
        panel: usize,
        num_rows: usize,
        quantized: &Activations,
        sums: &mut [Vec<[f32; PANEL]>; 2],
        out: Shared<f32>,
    ) {
        let num_columns = self.num_columns();
        let first = panel * PANEL;
        let width = PANEL.min(num_columns - first);
        // SAFETY: the place lives until the share is over, and these columns are of this panel, so of this chunk.
        let place = |row: usize| unsafe { out.part(row * num_columns + first, width) };
        for row in self.rows.left_out(num_rows) {
            place(row).fill(0.0);
        }
        let [sums, of_gates] = sums;
        for number in 0..self.matrices.len() {
            let rows = self.rows.of(number);
            if rows.is_empty() {
                continue;
            }
            if self.is_gated {
                self.sum(isa, number, quantized, panel, rows.clone(), of_gates);
                self.sum(
                    isa,
                    number,
                    quantized,
                    panel + num_columns / PANEL,
                    rows.clone(),
                    sums,
                );
                let gated = Activate {
                    activation: self.activation,
                    sums: of_gates,
                    up: Some(sums),
                };
                dispatch(isa, gated);
                std::mem::swap(sums, of_gates);
            } else {
                self.sum(isa, number, quantized, panel, rows.clone(), sums);
                if self.activation != Activation::None {
                    dispatch(
                        isa,
                        Activate {
                            activation: self.activation,
                            sums,
                            up: None,
                        },
                    );
                }
            }
            for (row, sums) in rows.zip(sums.iter()) {
                place(row).copy_from_slice(&sums[..width]);
            }
        }
    }

    /// `x matrix + bias` of some rows and the columns of a panel.
    fn sum(
        &self,
        isa: Isa,
        number: usize,
        quantized: &Activations,
        panel: usize,
        rows: Range<usize>,
        sums: &mut Vec<[f32; PANEL]>,
    ) {
        let matrix = &self.matrices[number];
        let num_in = matrix.num_in;
        sums.resize(rows.len(), [0.0; PANEL]);
        let x = &self.x[rows.start * num_in..rows.end * num_in];
        match matrix.format {
            Format::F32 | Format::Bf16 => {
                let (format, weights) = (matrix.format, matrix.panel(panel));
                dispatch(
                    isa,
                    float::Panel {
                        format,
                        weights,
                        num_in,
                        x,
                        sums,
                    },
                );
            }
            Format::Int {
                bits,
                block,
                has_min,
            } => dispatch(
                isa,
                IntPanel {
                    layout: IntLayout::new(bits, block, has_min),
                    weights: matrix.panel(panel),
                    x: quantized,
                    first_row: rows.start - self.rows.all().start,
                    sums,
                },
            ),
        }
        if self.bias.is_empty() {
            return;
        }
        let (of_matrix, first) = (
            &self.bias[number * matrix.num_out..][..matrix.num_out],
            panel * PANEL,
        );
        let of_panel = &of_matrix[first..matrix.num_out.min(first + PANEL)];
        for row in sums {
            for (sum, bias) in row.iter_mut().zip(of_panel) {
                *sum += bias;
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
        worth
            .min(CHUNKS_PER_THREAD * pool.num_threads())
            .min(num_panels)
    }
}

/// The part of that number where `whole` things are cut into `num_parts` nearly equal ones.
fn part_of(part: usize, num_parts: usize, whole: usize) -> Range<usize> {
    part * whole / num_parts..(part + 1) * whole / num_parts
}
