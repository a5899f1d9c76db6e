//! The header of a file: counts, key-value pairs, tensor descriptions.

use std::io::Read;

use super::bounded::Bounded;
use super::error::{Error, shown};
use super::metadata::Metadata;
use super::tensor::{Tensor, place, read_tensor};
use super::value::read_value;

const MAGIC: [u8; 4] = *b"GGUF";
const MAX_KEY_BYTES: usize = 1 << 16;
/// A pair has at least a length, a type and a value of one byte; a tensor a length, three numbers and an offset.
const LEAST_PAIR_BYTES: u64 = 13;
const LEAST_TENSOR_BYTES: u64 = 24;
const DEFAULT_ALIGNMENT: i64 = 32;
const MAX_ALIGNMENT: i64 = 1 << 20;

/// What a file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Gguf {
    /// The key-value pairs.
    pub metadata: Metadata,
    /// Where the tensors lie, in the file's order.
    pub tensors: Vec<Tensor>,
}

impl Gguf {
    /// Reads a header; the tensors' bytes are not looked at.
    ///
    /// # Arguments
    /// * `file_bytes` - the size of the whole file.
    ///
    /// # Errors
    /// Why the file is refused, with the name of the key or the tensor.
    pub fn read(input: impl Read, file_bytes: u64) -> Result<Self, Error> {
        let mut input = Bounded::new(input, file_bytes);
        check_version(&mut input)?;
        let (num_tensors, num_pairs) = (input.u64()?, input.u64()?);
        let metadata = read_metadata(&mut input, num_pairs)?;
        check_whole(&metadata)?;
        input.enter("the list of", "tensors");
        let num_tensors = input.check_count(num_tensors, LEAST_TENSOR_BYTES)?;
        let mut tensors = input.items(num_tensors, read_tensor)?;
        let alignment = alignment(&metadata)?;
        let data_start = input.position().next_multiple_of(alignment);
        place(&mut tensors, data_start, alignment, file_bytes)?;
        Ok(Self { metadata, tensors })
    }
}

fn check_version<R: Read>(input: &mut Bounded<R>) -> Result<(), Error> {
    let magic: [u8; 4] = input.array()?;
    if magic != MAGIC {
        let found = magic.escape_ascii();
        return Err(Error::NotGguf(format!("it begins with \"{found}\"")));
    }
    match input.u32()? {
        2 | 3 => Ok(()),
        version if matches!(version.swap_bytes(), 1..=3) => Err(Error::Unsupported(
            "its numbers are big-endian, expected little-endian".to_owned(),
        )),
        version => Err(Error::Unsupported(format!(
            "it is of version {version} of GGUF, expected 2 or 3"
        ))),
    }
}

fn read_metadata<R: Read>(input: &mut Bounded<R>, num_pairs: u64) -> Result<Metadata, Error> {
    input.enter("the list of", "keys");
    let num_pairs = input.check_count(num_pairs, LEAST_PAIR_BYTES)?;
    let mut metadata = Metadata::default();
    for _ in 0..num_pairs {
        let key = input.text(MAX_KEY_BYTES)?;
        input.enter("key", &key);
        let value = read_value(input)?;
        let name = shown(&key);
        if !metadata.add(key, value) {
            return Err(Error::Damaged(format!("key {name} is there twice")));
        }
    }
    Ok(metadata)
}

/// Refuses one file of several.
fn check_whole(metadata: &Metadata) -> Result<(), Error> {
    match metadata.int("split.count")? {
        Some(count) if count > 1 => Err(Error::Unsupported(format!(
            "it is one of {count} files of a split model (split.count), expected a whole one: llama-gguf-split --merge \
             makes it"
        ))),
        _ => Ok(()),
    }
}

fn alignment(metadata: &Metadata) -> Result<u64, Error> {
    let alignment = metadata
        .int("general.alignment")?
        .unwrap_or(DEFAULT_ALIGNMENT);
    match u64::try_from(alignment) {
        Ok(bytes) if bytes.is_power_of_two() && alignment <= MAX_ALIGNMENT => Ok(bytes),
        _ => Err(Error::Damaged(format!(
            "key general.alignment must be a power of two up to {MAX_ALIGNMENT}, found {alignment}"
        ))),
    }
}
