//! Packing an array into panels, and back.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice::{from_raw_parts, from_raw_parts_mut};

use crate::error::Error;
use crate::ffi::{Call, Element, Handler};
use crate::int::codes::dequantize_panel;
use crate::int::layout::IntLayout;
use crate::int::quantize::quantize_panel;
use crate::isa::Isa;
use crate::matrix::{Format, Matrix, PANEL, floats, words};
use crate::number::{Bf16, F16};
use crate::share::{Pool, Shared, share};
use crate::stored::{Number, Stored};

/// Packs `stored` into `out`, of `format.matrix_bytes`.
///
/// # Errors
/// The sizes do not fit, or a thread panicked.
pub fn pack<T: Number>(
    stored: &Stored<'_, T>,
    format: Format,
    pool: &Pool,
    out: &mut [u8],
) -> Result<(), Error> {
    let (num_in, num_out) = (stored.num_in, stored.num_out);
    let (given, wanted) = (out.len(), format.matrix_bytes(num_in, num_out));
    if given != wanted || stored.numbers.len() != num_in * num_out {
        return Err(Error::invalid(format!(
            "a {format} matrix [{num_in}, {num_out}] has {wanted} bytes, not {given}"
        )));
    }
    let (len, place) = (format.panel_bytes(num_in), Shared::new(out));
    share(pool, num_out.div_ceil(PANEL), &|panel| {
        // SAFETY: `out` is there until the share is over, and each panel is of one chunk.
        pack_panel(stored, format, panel, unsafe {
            place.part(panel * len, len)
        });
    })
}

/// Fills the panel of that number, of `format.panel_bytes`.
fn pack_panel<T: Number>(stored: &Stored<'_, T>, format: Format, panel: usize, bytes: &mut [u8]) {
    match format {
        Format::F32 => {
            let places = bytes.as_chunks_mut::<{ 4 * PANEL }>().0;
            stored.each_row(panel * PANEL, |input, row| {
                for (place, number) in places[input].as_chunks_mut::<4>().0.iter_mut().zip(row) {
                    *place = number.widen().to_ne_bytes();
                }
            });
        }
        Format::Bf16 => {
            let places = bytes.as_chunks_mut::<{ 4 * PANEL }>().0;
            if let Some(last) = places.last_mut() {
                last.fill(0);
            }
            stored.each_row(panel * PANEL, |input, row| {
                let places = &mut places[input / 2].as_chunks_mut::<4>().0;
                for (place, number) in places.iter_mut().zip(row) {
                    place[input % 2 * 2..][..2].copy_from_slice(&number.to_bf16().to_ne_bytes());
                }
            });
        }
        Format::Int {
            bits,
            block,
            has_min,
        } => {
            let mut rows = vec![[0.0; PANEL]; stored.num_in];
            stored.each_row(panel * PANEL, |input, row| {
                rows[input] = row.map(Number::widen);
            });
            let layout = IntLayout::new(bits, block, has_min);
            quantize_panel(Isa::current(), &rows, layout, bytes);
        }
    }
}

/// What `pack_array` is told.
#[repr(C)]
pub struct PackRequest {
    /// float32, bfloat16 or float16 numbers, [K, N] or [N, K].
    pub array: *const u8,
    /// `XLA_FFI_DataType_…`.
    pub dtype: c_int,
    /// Not 0: [N, K].
    pub is_out_first: c_int,
    /// K.
    pub num_in: usize,
    /// N.
    pub num_out: usize,
    /// The packed matrix.
    pub out: *mut u8,
    /// How many bytes it has.
    pub out_bytes: usize,
    /// The format's spelling.
    pub format: *const u8,
    /// How long that is.
    pub format_bytes: usize,
    /// Threads to work with.
    pub num_threads: usize,
}

/// Packs an array, for callers without XLA: loading packs matrices of many shapes, and compiling a program for each
/// would cost more than the work. Whether it could.
///
/// # Safety
/// The request's pointers hold what it says, `out` is written by nobody else.
#[must_use]
pub unsafe extern "C" fn pack_array(request: &PackRequest) -> bool {
    let packed = catch_unwind(AssertUnwindSafe(|| {
        const F32: c_int = f32::DTYPE;
        const BF16: c_int = Bf16::DTYPE;
        const F16_TYPE: c_int = F16::DTYPE;
        match request.dtype {
            // SAFETY: the caller's promise.
            F32 => unsafe { pack_request::<f32>(request) },
            // SAFETY: as above.
            BF16 => unsafe { pack_request::<Bf16>(request) },
            // SAFETY: as above.
            F16_TYPE => unsafe { pack_request::<F16>(request) },
            other => Err(Error::invalid(format!(
                "no matrix is packed from type {other}"
            ))),
        }
    }));
    matches!(packed, Ok(Ok(())))
}

/// # Safety
/// As `pack_array`, and the dtype is that of `T`.
unsafe fn pack_request<T: Number>(request: &PackRequest) -> Result<(), Error> {
    let PackRequest {
        num_in, num_out, ..
    } = *request;
    if num_in == 0 || num_out == 0 || !request.array.cast::<T>().is_aligned() {
        return Err(Error::invalid("an empty array, or one that is not aligned"));
    }
    let size = num_in
        .checked_mul(num_out)
        .ok_or_else(|| Error::invalid("sizes that are too large"))?;
    // SAFETY: the caller's promise.
    let (numbers, format, out) = unsafe {
        (
            from_raw_parts(request.array.cast::<T>(), size),
            from_raw_parts(request.format, request.format_bytes),
            from_raw_parts_mut(request.out, request.out_bytes),
        )
    };
    let format = std::str::from_utf8(format)
        .map_err(|_| Error::invalid("format is no text"))?
        .parse()?;
    let stored = Stored {
        numbers,
        num_in,
        num_out,
        is_out_first: request.is_out_first != 0,
    };
    pack(&stored, format, &Pool::of_threads(request.num_threads), out)
}

/// Writes the panel of that number into `out`, its 16 columns one after another for each input: [K, 16].
///
/// # Panics
/// `out` is shorter.
pub fn unpack_panel(matrix: &Matrix<'_>, panel: usize, out: &mut [[f32; PANEL]]) {
    let bytes = matrix.panel(panel);
    match matrix.format {
        Format::F32 => out.copy_from_slice(&floats(bytes).as_chunks().0[..matrix.num_in]),
        Format::Bf16 => {
            let pairs = words(bytes).as_chunks::<PANEL>().0;
            for (input, row) in out.iter_mut().enumerate() {
                let is_first = input % 2 == 0;
                *row = pairs[input / 2].map(|pair| {
                    f32::from_bits(if is_first {
                        pair << 16
                    } else {
                        pair & 0xffff_0000
                    })
                });
            }
        }
        Format::Int {
            bits,
            block,
            has_min,
        } => dequantize_panel(bytes, IntLayout::new(bits, block, has_min), out),
    }
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
