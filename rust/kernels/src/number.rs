//! Floats of 16 bits, which Rust has no types for.

/// A bfloat16 number's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(pub u16);

impl Bf16 {
    /// Exactly.
    #[must_use]
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// A float16 number's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct F16(pub u16);

impl F16 {
    /// Exactly.
    #[must_use]
    pub fn to_f32(self) -> f32 {
        let (sign, rest) = (u32::from(self.0 & 0x8000) << 16, u32::from(self.0 & 0x7fff));
        let magnitude = match rest >> 10 {
            0 => f32::from_bits((rest << 13) + (113 << 23)) - f32::from_bits(113 << 23), // subnormal: rest * 2^-24
            31 => f32::from_bits((rest << 13) | 0x7f80_0000),
            _ => f32::from_bits((rest << 13) + (112 << 23)),
        };
        f32::from_bits(magnitude.to_bits() | sign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float16_widens_exactly() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x0001, 2_f32.powi(-24)),
            (0x7bff, 65504.0),
            (0x8000, -0.0),
        ] {
            assert_eq!(F16(bits).to_f32().to_bits(), f32::to_bits(value));
        }
        assert!(F16(0x7e00).to_f32().is_nan() && F16(0x7c00).to_f32() == f32::INFINITY);
    }
}
