//! Plain arrays, which the compiler turns into the vectors that the target has.

use super::{LANES, Simd};

#[derive(Clone, Copy)]
pub(super) struct Portable;

#[inline(always)]
fn each(make: impl Fn(usize) -> f32) -> [f32; LANES] {
    std::array::from_fn(make)
}

impl Simd for Portable {
    type V = [f32; LANES];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; LANES]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::V {
        *from
    }
    #[inline(always)]
    fn store(self, value: Self::V, to: &mut [f32; LANES]) {
        *to = value;
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        each(|lane| a[lane] + b[lane])
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        each(|lane| a[lane] * b[lane])
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        each(|lane| a[lane] - b[lane])
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        each(|lane| a[lane] / b[lane])
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        each(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }
    #[inline(always)]
    fn keep_from(self, limit: Self::V, x: Self::V, value: Self::V) -> Self::V {
        each(|lane| {
            if x[lane] < limit[lane] {
                0.0
            } else {
                value[lane]
            }
        })
    }
    #[inline(always)]
    fn with_sign(self, magnitude: Self::V, sign: Self::V) -> Self::V {
        each(|lane| {
            f32::from_bits(magnitude[lane].to_bits() | (sign[lane].to_bits() & 0x8000_0000))
        })
    }
    #[inline(always)]
    fn scale_by_power(self, value: Self::V, shifted: Self::V) -> Self::V {
        each(|lane| {
            f32::from_bits(
                value[lane]
                    .to_bits()
                    .wrapping_add(shifted[lane].to_bits() << 23),
            )
        })
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Where the target has no such instruction, `mul_add` is a call of a library for each number.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            each(|lane| a[lane].mul_add(b[lane], c[lane]))
        } else {
            each(|lane| a[lane] * b[lane] + c[lane])
        }
    }
    #[inline(always)]
    fn load_bf16_pairs(self, from: &[u32; LANES]) -> (Self::V, Self::V) {
        let first = each(|lane| f32::from_bits(from[lane] << 16));
        (first, each(|lane| f32::from_bits(from[lane] & 0xffff_0000)))
    }
}
