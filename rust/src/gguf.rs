//! A GGUF file, read for what it says: metadata, where its tensors lie, and its tokenizer.
//!
//! The format is ggml's (`docs/gguf.md` there): a header of counts, key-value pairs and tensor descriptions, then the
//! tensors' bytes. A file is a stranger's: every count and offset is held against the file's size before anything is
//! allocated by it, and a refusal names the key or the tensor.

mod bounded;
mod error;
mod header;
mod metadata;
mod tensor;
mod tensor_type;
pub mod tokenizer;
mod value;

pub use error::Error;
pub use header::Gguf;
pub use metadata::Metadata;
pub use tensor::Tensor;
pub use value::{Array, Value};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
