//! Packing an array into panels, and back.

use std::ffi::c_int;

use crate::error::Error;
use crate::ffi::{Call, Element, Handler};
use crate::int::codes::dequantize_panel;
use crate::int::layout::IntLayout;
use crate::int::quantize::quantize_panel;
use crate::isa::Isa;
use crate::matrix::{Format, Matrix, PANEL, floats, words};
use crate::number::{Bf16, F16};
use crate::share::{Shared, share};

/// A number of a stored matrix.
pub trait Number: Element {
    /// Exactly.
    fn widen(self) -> f32;
    /// To the nearest bfloat16, halves to even; NaN stays NaN.
    fn to_bf16(self) -> u16 {
        let bits = self.widen().to_bits();
        if bits & 0x7fff_ffff > 0x7f80_0000 {
            return u16::try_from(bits >> 16).unwrap_or(0) | 0x40;
        }
        u16::try_from((bits + 0x7fff + ((bits >> 16) & 1)) >> 16).unwrap_or(u16::MAX)
    }
}

impl Number for f32 {
    fn widen(self) -> f32 {
        self
    }
}

impl Number for Bf16 {
    fn widen(self) -> f32 {
        self.to_f32()
    }
    fn to_bf16(self) -> u16 {
        self.0
    }
}

impl Number for F16 {
    fn widen(self) -> f32 {
        self.to_f32()
    }
}

/// Where the numbers of a stored matrix lie.
#[derive(Clone, Copy)]
pub struct Stored<'a, T> {
    /// All numbers.
    pub numbers: &'a [T],
    /// K.
    pub num_in: usize,
    /// N.
    pub num_out: usize,
    /// [N, K] instead of [K, N].
    pub is_out_first: bool,
}

impl<T: Number> Stored<'_, T> {
    #[inline]
    fn at(&self, input: usize, output: usize) -> Option<T> {
        if input >= self.num_in || output >= self.num_out {
            return None;
        }
        let index = if self.is_out_first {
            output * self.num_in + input
        } else {
            input * self.num_out + output
        };
        self.numbers.get(index).copied()
    }

    /// Fills the panel of that number, of `format.panel_bytes`.
    pub fn pack_panel(&self, format: Format, panel: usize, bytes: &mut [u8]) {
        let first = panel * PANEL;
        match format {
            Format::F32 => {
                for (index, place) in bytes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    let number = self.at(index / PANEL, first + index % PANEL);
                    *place = number.map_or(0.0, Number::widen).to_ne_bytes();
                }
            }
            Format::Bf16 => {
                for (index, place) in bytes.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                    let (pair, column) = (index / (2 * PANEL), index / 2 % PANEL);
                    let number = self.at(2 * pair + index % 2, first + column);
                    *place = number.map_or(0, Number::to_bf16).to_ne_bytes();
                }
            }
            Format::Int {
                bits,
                block,
                has_min,
            } => {
                let layout = IntLayout::new(bits, block, has_min);
                let column = |input, lane| self.at(input, first + lane).map_or(0.0, Number::widen);
                quantize_panel(Isa::current(), self.num_in, column, layout, bytes);
            }
        }
    }
}

/// Writes the panel of that number of a matrix into `out`, its 16 columns one after another for each input: [K, 16].
pub fn unpack_panel(matrix: &Matrix<'_>, panel: usize, out: &mut [[f32; PANEL]]) {
    let bytes = matrix.panel(panel);
    match matrix.format {
        Format::F32 => out.copy_from_slice(&floats(bytes).as_chunks().0[..matrix.num_in]),
        Format::Bf16 => {
            for (input, row) in out.iter_mut().enumerate() {
                for (lane, place) in row.iter_mut().enumerate() {
                    let pair = words(bytes)[input / 2 * PANEL + lane];
                    *place = f32::from_bits(if input % 2 == 0 {
                        pair << 16
                    } else {
                        pair & 0xffff_0000
                    });
                }
            }
        }
        Format::Int {
            bits,
            block,
            has_min,
        } => {
            let layout = IntLayout::new(bits, block, has_min);
            dequantize_panel(bytes, layout, out);
        }
    }
}

/// `pack`: operand float32, bfloat16 or float16, [K, N], or [N, K] where the attribute `is_out_first` says so; attribute
/// `format`; result uint8 [bytes].
pub struct PackHandler;

impl Handler for PackHandler {
    const NAME: &'static str = "pack";

    fn run(call: &Call<'_>) -> Result<(), Error> {
        const F32: c_int = f32::DTYPE;
        const BF16: c_int = Bf16::DTYPE;
        match call.operand_dtype(0, "array")? {
            F32 => pack::<f32>(call),
            BF16 => pack::<Bf16>(call),
            _ => pack::<F16>(call),
        }
    }
}

fn pack<T: Number>(call: &Call<'_>) -> Result<(), Error> {
    let array = call.operand::<T>(0, "array", 2..3)?;
    let out = call.result::<u8>(0, "the packed matrix", 1..2)?;
    let format: Format = call.text("format")?.parse()?;
    let is_out_first = call.bool("is_out_first")?;
    let (first, second) = (array.dims[0], array.dims[1]);
    let (num_in, num_out) = if is_out_first {
        (second, first)
    } else {
        (first, second)
    };
    let (bytes, wanted) = (out.data.len(), format.matrix_bytes(num_in, num_out));
    if bytes != wanted {
        return Err(Error::invalid(format!(
            "a {format} matrix [{num_in}, {num_out}] has {wanted} bytes, not {bytes}"
        )));
    }
    let stored = Stored {
        numbers: array.data,
        num_in,
        num_out,
        is_out_first,
    };
    let (len, place) = (format.panel_bytes(num_in), Shared::new(out.data));
    share(&call.pool(), num_out.div_ceil(PANEL), &|panel| {
        // SAFETY: the result is there until the share is over, and each panel is of one chunk.
        stored.pack_panel(format, panel, unsafe { place.part(panel * len, len) });
    })
}

/// `unpack`: operand uint8 [bytes]; attribute `format`; result float32 [K, N].
pub struct UnpackHandler;

impl Handler for UnpackHandler {
    const NAME: &'static str = "unpack";

    fn run(call: &Call<'_>) -> Result<(), Error> {
        let panels = call.operand::<u8>(0, "panels", 1..2)?;
        let out = call.result::<f32>(0, "the array", 2..3)?;
        let (num_in, num_out) = (out.dims[0], out.dims[1]);
        let matrix = Matrix::new(call.text("format")?.parse()?, num_in, num_out, panels.data)?;
        let place = Shared::new(out.data);
        share(&call.pool(), matrix.num_panels(), &|panel| {
            let mut columns = vec![[0.0; PANEL]; num_in];
            unpack_panel(&matrix, panel, &mut columns);
            let num_columns = PANEL.min(num_out - panel * PANEL);
            for (input, row) in columns.iter().enumerate() {
                // SAFETY: the result is there until the share is over, and these columns are of this panel.
                let part = unsafe { place.part(input * num_out + panel * PANEL, num_columns) };
                part.copy_from_slice(&row[..num_columns]);
            }
        })
    }
}
