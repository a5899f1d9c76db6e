//! The layout of a packed matrix [K, N], K inputs and N outputs: one flat buffer of bytes.
//!
//! Panels of 16 columns, one after another, the last one padded with zeros. Inside of a panel K goes up, in the way of
//! its `Format`. A matrix of experts is E such buffers, [E, bytes].

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// Columns of a panel.
pub const PANEL: usize = 16;

/// How a panel's weights lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// [K, 16] float32.
    F32,
    /// [K / 2, 16, 2] bfloat16, K padded with zeros to an even number.
    Bf16,
    /// Blocks along K, value = scale * q (+ min). Per block 16 float32 scales (then 16 mins where `has_min`), then the
    /// block's q [block / 2, 16, 2]. The last block is padded with zeros.
    Int {
        /// 8 or 4.
        bits: u8,
        /// 16, 32 or 64 inputs.
        block: u8,
        /// Whether blocks have mins.
        has_min: bool,
    },
}

impl Format {
    /// Bytes of a panel of K inputs.
    #[must_use]
    pub fn panel_bytes(self, num_in: usize) -> usize {
        match self {
            Self::F32 => num_in * PANEL * 4,
            Self::Bf16 => num_in.next_multiple_of(2) * PANEL * 2,
            Self::Int {
                bits,
                block,
                has_min,
            } => {
                let (bits, block) = (usize::from(bits), usize::from(block));
                num_in.div_ceil(block) * PANEL * (4 * (1 + usize::from(has_min)) + block * bits / 8)
            }
        }
    }

    /// Bytes of a matrix.
    #[must_use]
    pub fn matrix_bytes(self, num_in: usize, num_out: usize) -> usize {
        num_out.div_ceil(PANEL) * self.panel_bytes(num_in)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str("f32"),
            Self::Bf16 => f.write_str("bf16"),
            Self::Int {
                bits,
                block,
                has_min,
            } => write!(f, "q{bits}_{block}{}", if *has_min { "m" } else { "" }),
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    /// `f32`, `bf16`, `q8_64`, `q4_32m` (m: with mins).
    fn from_str(text: &str) -> Result<Self, Error> {
        let float = [Self::F32, Self::Bf16];
        let int = [8, 4]
            .into_iter()
            .flat_map(|bits| [16, 32, 64].map(|block| (bits, block)));
        let int = int.flat_map(|(bits, block)| {
            [false, true].map(|has_min| Self::Int {
                bits,
                block,
                has_min,
            })
        });
        let found = float
            .into_iter()
            .chain(int)
            .find(|format| format.to_string() == text);
        found.ok_or_else(|| Error::invalid(format!("there is no weight format {text:?}")))
    }
}

/// A packed matrix [K, N].
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// How its panels lie.
    pub format: Format,
    /// K.
    pub num_in: usize,
    /// N.
    pub num_out: usize,
    bytes: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// Checked: the bytes are as many as the sizes need, and begin at a multiple of four.
    ///
    /// # Errors
    /// They are not.
    pub fn new(
        format: Format,
        num_in: usize,
        num_out: usize,
        bytes: &'a [u8],
    ) -> Result<Self, Error> {
        let wanted = format.matrix_bytes(num_in, num_out);
        if bytes.len() != wanted {
            let len = bytes.len();
            let message =
                format!("a {format} matrix [{num_in}, {num_out}] has {wanted} bytes, not {len}");
            return Err(Error::invalid(message));
        }
        if bytes.as_ptr().align_offset(4) != 0 {
            return Err(Error::invalid(
                "a packed matrix does not begin at a multiple of four bytes",
            ));
        }
        Ok(Self {
            format,
            num_in,
            num_out,
            bytes,
        })
    }

    /// How many panels there are.
    #[must_use]
    pub fn num_panels(&self) -> usize {
        self.num_out.div_ceil(PANEL)
    }

    /// The bytes of a panel, which begin at a multiple of four.
    #[must_use]
    pub fn panel(&self, index: usize) -> &'a [u8] {
        let len = self.format.panel_bytes(self.num_in);
        &self.bytes[index * len..][..len]
    }
}

/// Bytes as 32-bit words.
///
/// # Panics
/// They do not begin at a multiple of four.
#[must_use]
pub fn words(bytes: &[u8]) -> &[u32] {
    // SAFETY: every bit pattern is a u32.
    let (before, words, _) = unsafe { bytes.align_to::<u32>() };
    assert!(
        before.is_empty(),
        "bytes that do not begin at a multiple of four"
    );
    words
}

/// Bytes as float32.
///
/// # Panics
/// They do not begin at a multiple of four.
#[must_use]
pub fn floats(bytes: &[u8]) -> &[f32] {
    // SAFETY: every bit pattern is an f32.
    let (before, floats, _) = unsafe { bytes.align_to::<f32>() };
    assert!(
        before.is_empty(),
        "bytes that do not begin at a multiple of four"
    );
    floats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_come_back() {
        for text in ["f32", "bf16", "q8_64", "q4_32m", "q8_16", "q4_16"] {
            assert_eq!(text.parse::<Format>().unwrap().to_string(), text);
        }
        assert!("q3_32".parse::<Format>().is_err());
    }

    #[test]
    fn sizes_are_of_whole_panels() {
        assert_eq!(Format::F32.matrix_bytes(3, 17), 2 * 3 * 16 * 4);
        assert_eq!(Format::Bf16.matrix_bytes(3, 16), 4 * 16 * 2);
        let int4 = Format::Int {
            bits: 4,
            block: 32,
            has_min: true,
        };
        assert_eq!(int4.matrix_bytes(33, 16), 2 * (16 * 8 + 16 * 16));
        assert!(Matrix::new(Format::F32, 3, 17, &[0; 8]).is_err());
    }
}
