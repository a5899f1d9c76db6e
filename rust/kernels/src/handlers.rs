//! All that can be called from outside.

use crate::attention::AttentionHandler;
use crate::ffi::{Handler, entry};
use crate::gather::TakeRowsHandler;
use crate::gguf_blocks::pack_blocks;
use crate::pack::{UnpackHandler, pack_array};
use crate::product::ProductHandler;

/// Goes up whenever a handler's operands, attributes, layout or meaning change: names that Python registers and the
/// identity of stored programs hold it.
pub const ABI: u32 = 1;

/// What XLA can call: each handler's name and the address of its C function.
#[must_use]
pub fn handlers() -> Vec<(&'static str, usize)> {
    vec![
        named::<ProductHandler>(),
        named::<TakeRowsHandler>(),
        named::<UnpackHandler>(),
        named::<AttentionHandler>(),
    ]
}

/// What loading calls without XLA: the address of `pack_array`.
#[must_use]
pub fn packer() -> usize {
    pack_array as *const () as usize
}

/// What loading calls for tensors of ggml's blocks: the address of `pack_blocks`.
#[must_use]
pub fn blocks_packer() -> usize {
    pack_blocks as *const () as usize
}

fn named<H: Handler>() -> (&'static str, usize) {
    (H::NAME, entry::<H> as *const () as usize)
}
