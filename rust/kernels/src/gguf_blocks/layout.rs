//! Every type's blocks as whole numbers in groups, each group with a scale and perhaps a min.

use super::kind::TensorType;
use super::parts::Block;
use super::{k_quants, simple};

/// How a type's blocks come apart.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Numbers of a block.
    pub block: usize,
    /// Its bytes.
    pub block_bytes: usize,
    /// Numbers of a group, 16 or 32.
    pub group: usize,
    /// Whether groups have mins.
    pub has_min: bool,
    /// The least and the greatest code.
    pub codes: (i8, i8),
    take_apart: fn(&[u8], &mut Block),
}

impl Layout {
    /// Of a type with blocks; none of plain floats.
    #[must_use]
    pub fn of(kind: TensorType) -> Option<Self> {
        type Row = (usize, bool, (i8, i8), fn(&[u8], &mut Block));
        let (group, has_min, codes, take_apart): Row = match kind {
            TensorType::F32 | TensorType::F16 | TensorType::BF16 => return None,
            TensorType::Q4_0 => (32, false, (-8, 7), simple::q4_0),
            TensorType::Q4_1 => (32, true, (0, 15), simple::q4_1),
            TensorType::Q5_0 => (32, false, (-16, 15), simple::q5_0),
            TensorType::Q5_1 => (32, true, (0, 31), simple::q5_1),
            TensorType::Q8_0 => (32, false, (-128, 127), simple::q8_0),
            TensorType::IQ4_NL => (32, false, (-127, 113), simple::iq4_nl),
            TensorType::MXFP4 => (32, false, (-12, 12), simple::mxfp4),
            TensorType::Q2_K => (16, true, (0, 3), k_quants::q2),
            TensorType::Q3_K => (16, false, (-4, 3), k_quants::q3),
            TensorType::Q4_K => (32, true, (0, 15), k_quants::q4),
            TensorType::Q5_K => (32, true, (0, 31), k_quants::q5),
            TensorType::Q6_K => (16, false, (-32, 31), k_quants::q6),
            TensorType::IQ4_XS => (32, false, (-127, 113), k_quants::iq4_xs),
        };
        Some(Self {
            block: usize::try_from(kind.block()).ok()?,
            block_bytes: usize::try_from(kind.block_bytes()).ok()?,
            group,
            has_min,
            codes,
            take_apart,
        })
    }

    /// Takes a block of `block_bytes` apart.
    pub(super) fn take_apart(&self, bytes: &[u8], into: &mut Block) {
        debug_assert_eq!(bytes.len(), self.block_bytes);
        (self.take_apart)(bytes, into);
    }

    /// The numbers of whole blocks; bytes behind the last whole one are left.
    pub fn dequantize(&self, bytes: &[u8], into: &mut Vec<f32>) {
        let mut block = Block::default();
        for bytes in bytes.chunks_exact(self.block_bytes) {
            self.take_apart(bytes, &mut block);
            for (group, codes) in block.codes[..self.block]
                .chunks_exact(self.group)
                .enumerate()
            {
                let (scale, min) = (block.scales[group], block.mins[group]);
                // Adding zero is left out: it would turn -0 into 0.
                if self.has_min {
                    into.extend(codes.iter().map(|code| scale * f32::from(*code) + min));
                } else {
                    into.extend(codes.iter().map(|code| scale * f32::from(*code)));
                }
            }
        }
    }
}
