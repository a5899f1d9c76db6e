//! Where the tensors lie, checked against one another and the file's size.

use std::collections::HashSet;
use std::io::Read;

use penstock_kernels::gguf_blocks::TensorType;

use super::bounded::Bounded;
use super::error::{Error, shown};
use super::tensor_type::tensor_type;

const MAX_NAME_BYTES: usize = 512;
/// As ggml has it.
const MAX_DIMENSIONS: u32 = 4;

/// One stored tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// As `blk.0.attn_q.weight`.
    pub name: String,
    /// How its numbers lie.
    pub kind: TensorType,
    /// Sizes, the fastest one last, as numpy has them: [out, in] of a matrix.
    pub shape: Vec<u64>,
    /// Its first byte in the file.
    pub start: u64,
    /// How many it has.
    pub num_bytes: u64,
}

/// A description, whose offset counts from where the tensors' bytes begin.
pub(super) fn read_tensor<R: Read>(input: &mut Bounded<R>) -> Result<Tensor, Error> {
    let name = input.text(MAX_NAME_BYTES)?;
    input.enter("tensor", &name);
    let num_dimensions = input.u32()?;
    if num_dimensions > MAX_DIMENSIONS {
        let why = format!("has {num_dimensions} dimensions, expected at most {MAX_DIMENSIONS}");
        return Err(input.damaged(&why));
    }
    let mut shape = input.items(num_dimensions as usize, Bounded::u64)?;
    let number = input.u32()?;
    let kind = tensor_type(number, input.what())?;
    let num_bytes = num_bytes(&shape, kind).ok_or_else(|| {
        let why = format!("of the type {} cannot be of {shape:?}", kind.name());
        input.damaged(&why)
    })?;
    let start = input.u64()?;
    shape.reverse();
    Ok(Tensor {
        name,
        kind,
        shape,
        start,
        num_bytes,
    })
}

/// Of sizes with the fastest one first; none where rows are no whole blocks, or there are too many.
fn num_bytes(shape: &[u64], kind: TensorType) -> Option<u64> {
    let rows = shape.get(1..).unwrap_or_default();
    let row = *shape.first().unwrap_or(&1);
    let mut bytes = row
        .is_multiple_of(kind.block())
        .then_some(row / kind.block())?;
    for size in rows {
        bytes = bytes.checked_mul(*size)?;
    }
    bytes
        .checked_mul(kind.block_bytes())
        .filter(|bytes| *bytes > 0 && i64::try_from(*bytes).is_ok())
}

/// Moves the starts to the file's own, and checks that each tensor lies in the file and on no other one.
pub(super) fn place(
    tensors: &mut [Tensor],
    data_start: u64,
    alignment: u64,
    file_bytes: u64,
) -> Result<(), Error> {
    let mut names = HashSet::new();
    for tensor in &mut *tensors {
        let name = shown(&tensor.name);
        if !names.insert(tensor.name.as_str()) {
            return Err(Error::Damaged(format!("tensor {name} is there twice")));
        }
        if !tensor.start.is_multiple_of(alignment) {
            let start = tensor.start;
            return Err(Error::Damaged(format!(
                "tensor {name} begins at {start}, no multiple of {alignment}"
            )));
        }
        let start = tensor.start.checked_add(data_start);
        let end = start.and_then(|start| start.checked_add(tensor.num_bytes));
        match (start, end) {
            (Some(start), Some(end)) if end <= file_bytes => tensor.start = start,
            _ => {
                return Err(Error::Truncated(format!(
                    "tensor {name} has {} bytes from {} on behind {data_start}, the file has {file_bytes}",
                    tensor.num_bytes, tensor.start
                )));
            }
        }
    }
    check_apart(tensors)
}

fn check_apart(tensors: &[Tensor]) -> Result<(), Error> {
    let mut sorted: Vec<&Tensor> = tensors.iter().collect();
    sorted.sort_by_key(|tensor| tensor.start);
    for pair in sorted.windows(2) {
        if pair[0].start + pair[0].num_bytes > pair[1].start {
            return Err(Error::Damaged(format!(
                "tensor {} lies on tensor {}",
                shown(&pair[1].name),
                shown(&pair[0].name)
            )));
        }
    }
    Ok(())
}
