//! Blocks of 256 numbers, whose groups have small scales that are multiples of the block's own.

use super::parts::{Block, half, nibbles};
use super::simple::UNEVEN;

/// Bits of a byte from `shift` on, below `mask`.
#[expect(clippy::cast_possible_wrap, reason = "six bits or fewer")]
fn bits(byte: u8, shift: usize, mask: u8) -> i8 {
    (byte >> shift & mask) as i8
}

/// Two bits a number: of each 32 bytes four times 32 numbers, from the low bits up.
fn two_bits(bytes: &[u8], block: &mut Block) {
    for (at, code) in block.codes.iter_mut().enumerate() {
        let (half, rest) = (at / 128, at % 128);
        *code = bits(bytes[half * 32 + rest % 32], 2 * (rest / 32), 3);
    }
}

pub(super) fn q2(bytes: &[u8], block: &mut Block) {
    let (scale, min) = (half(bytes, 80), half(bytes, 82));
    for (group, byte) in bytes[..16].iter().enumerate() {
        let (of_scale, of_min) = nibbles(*byte);
        block.scales[group] = scale * f32::from(of_scale);
        block.mins[group] = -(min * f32::from(of_min));
    }
    two_bits(&bytes[16..80], block);
}

/// A third bit lies apart, and where it is not set, 4 is taken away.
pub(super) fn q3(bytes: &[u8], block: &mut Block) {
    let scale = half(bytes, 108);
    let scales = &bytes[96..108];
    for group in 0..16 {
        let low = bits(scales[group % 8], 4 * (group / 8), 15);
        let high = bits(scales[8 + group % 4], 2 * (group / 4), 3);
        block.scales[group] = scale * f32::from((low | high << 4) - 32);
    }
    two_bits(&bytes[32..96], block);
    for (at, code) in block.codes.iter_mut().enumerate() {
        *code -= 4 - 4 * bits(bytes[at % 32], at / 32, 1);
    }
}

/// Scales and mins of six bits, eight of each in twelve bytes.
fn scales_and_mins(bytes: &[u8], block: &mut Block) {
    let (scale, min) = (half(bytes, 0), half(bytes, 2));
    let packed = &bytes[4..16];
    for group in 0..8 {
        let (of_scale, of_min) = if group < 4 {
            (packed[group] & 63, packed[group + 4] & 63)
        } else {
            let (low, high) = (packed[group + 4] & 15, packed[group + 4] >> 4);
            (
                low | packed[group - 4] >> 6 << 4,
                high | packed[group] >> 6 << 4,
            )
        };
        block.scales[group] = scale * f32::from(of_scale);
        block.mins[group] = -(min * f32::from(of_min));
    }
}

/// Four bits a number: of each 32 bytes the low halves, then the high ones.
fn four_bits(bytes: &[u8], block: &mut Block) {
    for (at, code) in block.codes.iter_mut().enumerate() {
        let (low, high) = nibbles(bytes[at / 64 * 32 + at % 32]);
        *code = if at % 64 < 32 { low } else { high };
    }
}

pub(super) fn q4(bytes: &[u8], block: &mut Block) {
    scales_and_mins(bytes, block);
    four_bits(&bytes[16..], block);
}

pub(super) fn q5(bytes: &[u8], block: &mut Block) {
    scales_and_mins(bytes, block);
    four_bits(&bytes[48..], block);
    for (at, code) in block.codes.iter_mut().enumerate() {
        *code += 16 * bits(bytes[16 + at % 32], at / 32, 1);
    }
}

pub(super) fn q6(bytes: &[u8], block: &mut Block) {
    let scale = half(bytes, 208);
    for group in 0..16 {
        block.scales[group] = scale * f32::from(i8::from_le_bytes([bytes[192 + group]]));
    }
    for (at, code) in block.codes.iter_mut().enumerate() {
        let (part, rest) = (at / 128, at % 128);
        let low = bits(bytes[part * 64 + rest % 64], 4 * (rest / 64), 15);
        let high = bits(bytes[128 + part * 32 + rest % 32], 2 * (rest / 32), 3);
        *code = (low | high << 4) - 32;
    }
}

/// The codes of `IQ4_NL`, with a scale of six bits for every 32 of them.
pub(super) fn iq4_xs(bytes: &[u8], block: &mut Block) {
    let scale = half(bytes, 0);
    for group in 0..8 {
        let low = bits(bytes[4 + group / 2], 4 * (group % 2), 15);
        let high = bits(bytes[2 + group / 4], 2 * (group % 4), 3);
        block.scales[group] = scale * f32::from((low | high << 4) - 32);
    }
    for (at, code) in block.codes.iter_mut().enumerate() {
        let (low, high) = nibbles(bytes[8 + at / 32 * 16 + at % 16]);
        *code = UNEVEN[usize::from(if at % 32 < 16 { low } else { high }.unsigned_abs())];
    }
}
