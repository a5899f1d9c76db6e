//! All that XLA can call.

use crate::ffi::{Handler, entry};
use crate::pack::{PackHandler, UnpackHandler};
use crate::product::ProductHandler;

/// Goes up whenever a handler's operands, attributes, layout or meaning change: names that Python registers and the
/// identity of stored programs hold it.
pub const ABI: u32 = 1;

/// Each handler's name and the address of its C function.
#[must_use]
pub fn handlers() -> Vec<(&'static str, usize)> {
    vec![
        named::<ProductHandler>(),
        named::<PackHandler>(),
        named::<UnpackHandler>(),
    ]
}

fn named<H: Handler>() -> (&'static str, usize) {
    (H::NAME, entry::<H> as *const () as usize)
}
