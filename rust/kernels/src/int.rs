//! Matrices of whole numbers: 8 or 4 bits in blocks along K, a scale (and a minimum, where the format has them) for
//! each block and column.
//!
//! A panel has 16 columns. Inside it, one block after another along K:
//!
//! ```text
//! 16 scales, f32 | 16 minima, f32 (where the format has them) | codes
//! ```
//!
//! `weight = scale * q + minimum`. With 8 bits a code is `q` itself, -128 to 127. With 4 bits it is a nibble, and
//! `q = nibble - 8`, or `q = nibble` where the format has minima. K is padded to whole blocks with weights of nothing.
//!
//! Activations become 12-bit numbers per block ([`activations`]), sums inside a block are exact in 32 bits, and blocks
//! are added up in order with separate multiplications and additions. So a result is the same, bit for bit, with every
//! instruction set, on every machine, and whatever rows stand beside it.

pub mod activations;
pub mod codes;
pub mod layout;
pub mod panel;
pub mod quantize;

mod tile;

#[cfg(test)]
mod tests;
