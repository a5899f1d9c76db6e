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

    /// Rounded, halves to even; not-a-numbers stay.
    #[must_use]
    pub fn nearest(number: f32) -> Self {
        let bits = number.to_bits();
        let upper = |bits: u32| u16::try_from(bits >> 16).unwrap_or(u16::MAX);
        if number.is_nan() {
            Self(upper(bits) | 0x40)
        } else {
            Self(upper(bits + 0x7fff + (bits >> 16 & 1)))
        }
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
