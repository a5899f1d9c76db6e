//! Packing blocks, for callers of C.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice::{from_raw_parts, from_raw_parts_mut};

use super::kind::TensorType;
use super::pack::{Rows, pack_rows};
use crate::error::Error;
use crate::share::Pool;

/// A tensor's rows of blocks.
#[repr(C)]
pub struct BlocksTensor {
    /// One row after another.
    pub bytes: *const u8,
    /// How many there are.
    pub num_bytes: usize,
    /// ggml's number of the type.
    pub kind: u32,
}

/// What `pack_blocks` is told.
#[repr(C)]
pub struct BlocksRequest {
    /// The tensors.
    pub tensors: *const BlocksTensor,
    /// How many there are.
    pub num_tensors: usize,
    /// K.
    pub num_in: usize,
    /// For each output the number of its row, counted over all tensors.
    pub order: *const i64,
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

/// Packs tensors of blocks as one matrix, for callers without XLA. Whether it could.
///
/// # Safety
/// The request's pointers hold what it says, `out` is written by nobody else.
#[must_use]
pub unsafe extern "C" fn pack_blocks(request: &BlocksRequest) -> bool {
    // SAFETY: the caller's promise.
    let packed = catch_unwind(AssertUnwindSafe(|| unsafe { pack(request) }));
    matches!(packed, Ok(Ok(())))
}

/// # Safety
/// As `pack_blocks`.
unsafe fn pack(request: &BlocksRequest) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let (tensors, order, format, out) = unsafe {
        (
            from_raw_parts(request.tensors, request.num_tensors),
            from_raw_parts(request.order, request.num_out),
            from_raw_parts(request.format, request.format_bytes),
            from_raw_parts_mut(request.out, request.out_bytes),
        )
    };
    let format = std::str::from_utf8(format)
        .map_err(|_| Error::invalid("format is no text"))?
        .parse()?;
    let rows = |tensor: &BlocksTensor| {
        let kind = TensorType::of(tensor.kind)?;
        // SAFETY: the caller's promise.
        let bytes = unsafe { from_raw_parts(tensor.bytes, tensor.num_bytes) };
        Some(Rows { kind, bytes })
    };
    let rows: Option<Vec<Rows<'_>>> = tensors.iter().map(rows).collect();
    let rows = rows.ok_or_else(|| Error::invalid("a type of tensors that there is not"))?;
    let pool = Pool::of_threads(request.num_threads);
    pack_rows(&rows, order, request.num_in, format, &pool, out)
}
