//! ggml's blocks, taken apart and packed: every one is whole numbers in groups, each group with a scale and perhaps a min.
//!
//! value = scale * code + min, in float32, which gives ggml's own values bit for bit. The layouts are those of
//! `ggml-common.h`; a half is float16, all numbers are little-endian.

mod format;
mod k_quants;
mod kind;
mod layout;
mod pack;
mod parts;
mod request;
mod simple;

pub use format::format_of;
pub use kind::TensorType;
pub use layout::Layout;
pub use pack::{Rows, pack_rows};
pub use request::pack_blocks;
