//! Blocks of 32 numbers with one scale.

use super::parts::{Block, half, nibbles};

/// Four bits that stand for unevenly spread numbers.
pub(super) const UNEVEN: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];
/// E2M1, doubled: sign, two bits of exponent, one of mantissa.
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The low halves are the first 16 numbers, the high halves the others.
fn halves(bytes: &[u8], block: &mut Block, code: impl Fn(usize, i8) -> i8) {
    for (at, byte) in bytes.iter().enumerate() {
        let (low, high) = nibbles(*byte);
        block.codes[at] = code(at, low);
        block.codes[at + 16] = code(at + 16, high);
    }
}

/// A fifth bit for each number, the first one in the lowest bit.
fn fifth(bits: u32, at: usize) -> i8 {
    if bits >> at & 1 == 1 { 16 } else { 0 }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

pub(super) fn q4_0(bytes: &[u8], block: &mut Block) {
    block.scales[0] = half(bytes, 0);
    halves(&bytes[2..], block, |_, code| code - 8);
}

pub(super) fn q4_1(bytes: &[u8], block: &mut Block) {
    block.scales[0] = half(bytes, 0);
    block.mins[0] = half(bytes, 2);
    halves(&bytes[4..], block, |_, code| code);
}

pub(super) fn q5_0(bytes: &[u8], block: &mut Block) {
    block.scales[0] = half(bytes, 0);
    let bits = word(&bytes[2..]);
    halves(&bytes[6..], block, |at, code| code + fifth(bits, at) - 16);
}

pub(super) fn q5_1(bytes: &[u8], block: &mut Block) {
    block.scales[0] = half(bytes, 0);
    block.mins[0] = half(bytes, 2);
    let bits = word(&bytes[4..]);
    halves(&bytes[8..], block, |at, code| code + fifth(bits, at));
}

pub(super) fn q8_0(bytes: &[u8], block: &mut Block) {
    block.scales[0] = half(bytes, 0);
    for (code, byte) in block.codes.iter_mut().zip(&bytes[2..]) {
        *code = i8::from_le_bytes([*byte]);
    }
}

#[expect(clippy::cast_sign_loss, reason = "four bits")]
pub(super) fn iq4_nl(bytes: &[u8], block: &mut Block) {
    block.scales[0] = half(bytes, 0);
    halves(&bytes[2..], block, |_, code| UNEVEN[code as usize]);
}

/// The scale is an exponent, less one for the doubled codes.
#[expect(clippy::cast_sign_loss, reason = "four bits")]
pub(super) fn mxfp4(bytes: &[u8], block: &mut Block) {
    let exponent = u32::from(bytes[0]);
    let bits = if exponent < 2 {
        0x0020_0000 << exponent
    } else {
        (exponent - 1) << 23
    };
    block.scales[0] = f32::from_bits(bits);
    halves(&bytes[1..], block, |_, code| E2M1[code as usize]);
}
