//! Where the parts of a panel of whole numbers lie.

use crate::matrix::{Format, PANEL};

/// Bytes of 16 numbers of 32 bits: a block's scales, or its minima.
const ROW_BYTES: usize = PANEL * size_of::<f32>();

/// Bits of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bits {
    /// Two codes in a byte.
    Four,
    /// A code is a signed byte.
    Eight,
}

/// A format of whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IntLayout {
    /// Bits of a code.
    pub bits: Bits,
    /// Weights along K that share a scale: 16, 32 or 64.
    pub block: usize,
    /// Whether a block has minima beside its scales.
    pub has_min: bool,
}

impl IntLayout {
    /// Of `Format::Int` with these fields.
    #[must_use]
    pub fn new(bits: u8, block: u8, has_min: bool) -> Self {
        let bits = if bits == 4 { Bits::Four } else { Bits::Eight };
        Self {
            bits,
            block: usize::from(block),
            has_min,
        }
    }

    /// Of a format, where it is one of whole numbers.
    #[must_use]
    pub fn of(format: Format) -> Option<Self> {
        match format {
            Format::Int {
                bits,
                block,
                has_min,
            } => Some(Self::new(bits, block, has_min)),
            _ => None,
        }
    }

    /// Blocks that `num_in` weights along K take; the last one may be padded.
    #[must_use]
    pub const fn num_blocks(self, num_in: usize) -> usize {
        num_in.div_ceil(self.block)
    }

    /// Bytes of a block before its codes.
    #[must_use]
    pub const fn head_bytes(self) -> usize {
        if self.has_min {
            2 * ROW_BYTES
        } else {
            ROW_BYTES
        }
    }

    /// Bytes of a block's codes.
    #[must_use]
    pub const fn code_bytes(self) -> usize {
        match self.bits {
            Bits::Four => self.block * PANEL / 2,
            Bits::Eight => self.block * PANEL,
        }
    }

    /// Bytes of a block of 16 columns.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        self.head_bytes() + self.code_bytes()
    }

    /// Bytes of a panel with `num_in` weights along K.
    #[must_use]
    pub const fn panel_bytes(self, num_in: usize) -> usize {
        self.num_blocks(num_in) * self.block_bytes()
    }

    /// What is taken from a code to make `q`: nibbles without minima stand 8 above it.
    #[must_use]
    pub const fn zero_code(self) -> i32 {
        match (self.bits, self.has_min) {
            (Bits::Four, false) => 8,
            _ => 0,
        }
    }

    /// The smallest and the largest `q`.
    #[must_use]
    pub const fn range(self) -> (i32, i32) {
        match (self.bits, self.has_min) {
            (Bits::Four, false) => (-8, 7),
            (Bits::Four, true) => (0, 15),
            (Bits::Eight, _) => (-128, 127),
        }
    }
}

/// A block of a panel, taken apart.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    pub(crate) scales: &'a [u8; ROW_BYTES],
    pub(crate) minima: Option<&'a [u8; ROW_BYTES]>,
    pub(crate) codes: &'a [u8],
}

impl<'a> Block<'a> {
    /// The block in `bytes`, which are `layout.block_bytes()`.
    pub(crate) fn new(bytes: &'a [u8], layout: IntLayout) -> Self {
        let (scales, rest) = bytes
            .split_first_chunk()
            .expect("a block begins with its scales");
        if !layout.has_min {
            return Self {
                scales,
                minima: None,
                codes: rest,
            };
        }
        let (minima, codes) = rest.split_first_chunk().expect("minima follow the scales");
        Self {
            scales,
            minima: Some(minima),
            codes,
        }
    }
}
