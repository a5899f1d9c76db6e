//! A block taken apart, and how its bytes are read.

use crate::number::F16;

/// Numbers of the largest block.
pub(super) const MAX_BLOCK: usize = 256;
/// Groups of the block that has most.
pub(super) const MAX_GROUPS: usize = 16;

/// A block taken apart.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// The whole numbers, in order.
    pub(super) codes: [i8; MAX_BLOCK],
    /// By group.
    pub(super) scales: [f32; MAX_GROUPS],
    /// By group; zeros in layouts without mins.
    pub(super) mins: [f32; MAX_GROUPS],
}

impl Default for Block {
    fn default() -> Self {
        Self {
            codes: [0; MAX_BLOCK],
            scales: [0.0; MAX_GROUPS],
            mins: [0.0; MAX_GROUPS],
        }
    }
}

/// The float16 at an offset, as float32.
pub(super) fn half(bytes: &[u8], at: usize) -> f32 {
    F16(u16::from_le_bytes([bytes[at], bytes[at + 1]])).to_f32()
}

/// The low half of a byte, and the high one.
#[expect(clippy::cast_possible_wrap, reason = "four bits")]
pub(super) fn nibbles(byte: u8) -> (i8, i8) {
    ((byte & 15) as i8, (byte >> 4) as i8)
}
