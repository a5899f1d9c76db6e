//! AVX2 with FMA: two vectors of eight. AVX-512: one of sixteen.
//!
//! A value of `Avx2` or `Avx512` is made only within a function that is compiled for it, so having one proves that the
//! machine has the instructions.

use std::arch::x86_64::{
    __m256, __m512, _CMP_NLT_UQ, _mm256_add_epi32, _mm256_add_ps, _mm256_and_ps, _mm256_and_si256,
    _mm256_castps_si256, _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_div_ps, _mm256_fmadd_ps,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_max_ps, _mm256_mul_ps, _mm256_or_ps,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_ps,
    _mm512_add_epi32, _mm512_add_ps, _mm512_and_ps, _mm512_and_si512, _mm512_castps_si512,
    _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_div_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_mul_ps, _mm512_or_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_slli_epi32, _mm512_storeu_ps, _mm512_sub_ps,
};

use super::{LANES, Simd, Task};

#[derive(Clone, Copy)]
pub(super) struct Avx2(());

#[derive(Clone, Copy)]
pub(super) struct Avx512(());

/// # Safety
/// The machine has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn with_avx2<T: Task>(task: T) -> T::Out {
    task.run(Avx2(()))
}

/// # Safety
/// The machine has AVX-512 F, BW, VL, DQ and VNNI, and AVX2, FMA and F16C.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn with_avx512<T: Task>(task: T) -> T::Out {
    task.run(Avx512(()))
}

// The blocks below: SAFETY in common: `self` proves that the instructions are there, and each reads or writes exactly
// the array that it is given.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Avx2 {
    type V = (__m256, __m256);

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        let half = unsafe { _mm256_set1_ps(value) };
        (half, half)
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::V {
        let from = from.as_ptr();
        unsafe { (_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }
    #[inline(always)]
    fn store(self, value: Self::V, to: &mut [f32; LANES]) {
        let to = to.as_mut_ptr();
        unsafe {
            _mm256_storeu_ps(to, value.0);
            _mm256_storeu_ps(to.add(8), value.1);
        }
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { (_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { (_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { (_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { (_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { (_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn keep_from(self, limit: Self::V, x: Self::V, value: Self::V) -> Self::V {
        unsafe {
            (
                _mm256_and_ps(value.0, _mm256_cmp_ps::<_CMP_NLT_UQ>(x.0, limit.0)),
                _mm256_and_ps(value.1, _mm256_cmp_ps::<_CMP_NLT_UQ>(x.1, limit.1)),
            )
        }
    }
    #[inline(always)]
    fn with_sign(self, magnitude: Self::V, sign: Self::V) -> Self::V {
        unsafe {
            let bit = _mm256_set1_ps(-0.0);
            (
                _mm256_or_ps(magnitude.0, _mm256_and_ps(sign.0, bit)),
                _mm256_or_ps(magnitude.1, _mm256_and_ps(sign.1, bit)),
            )
        }
    }
    #[inline(always)]
    fn scale_by_power(self, value: Self::V, shifted: Self::V) -> Self::V {
        unsafe {
            let scaled = |value, shifted| {
                let power = _mm256_slli_epi32::<23>(_mm256_castps_si256(shifted));
                _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(value), power))
            };
            (scaled(value.0, shifted.0), scaled(value.1, shifted.1))
        }
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe {
            (
                _mm256_fmadd_ps(a.0, b.0, c.0),
                _mm256_fmadd_ps(a.1, b.1, c.1),
            )
        }
    }
    #[inline(always)]
    fn load_bf16_pairs(self, from: &[u32; LANES]) -> (Self::V, Self::V) {
        let from = from.as_ptr();
        unsafe {
            let high = _mm256_set1_epi32(0xffff_0000_u32.cast_signed());
            let (a, b) = (
                _mm256_loadu_si256(from.cast()),
                _mm256_loadu_si256(from.add(8).cast()),
            );
            let first = (_mm256_slli_epi32::<16>(a), _mm256_slli_epi32::<16>(b));
            let second = (_mm256_and_si256(a, high), _mm256_and_si256(b, high));
            (
                (_mm256_castsi256_ps(first.0), _mm256_castsi256_ps(first.1)),
                (_mm256_castsi256_ps(second.0), _mm256_castsi256_ps(second.1)),
            )
        }
    }
}

#[allow(clippy::undocumented_unsafe_blocks)] // as above
impl Simd for Avx512 {
    type V = __m512;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::V {
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, value: Self::V, to: &mut [f32; LANES]) {
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn keep_from(self, limit: Self::V, x: Self::V, value: Self::V) -> Self::V {
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, limit), value) }
    }
    #[inline(always)]
    fn with_sign(self, magnitude: Self::V, sign: Self::V) -> Self::V {
        unsafe { _mm512_or_ps(magnitude, _mm512_and_ps(sign, _mm512_set1_ps(-0.0))) }
    }
    #[inline(always)]
    fn scale_by_power(self, value: Self::V, shifted: Self::V) -> Self::V {
        unsafe {
            let power = _mm512_slli_epi32::<23>(_mm512_castps_si512(shifted));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(value), power))
        }
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn load_bf16_pairs(self, from: &[u32; LANES]) -> (Self::V, Self::V) {
        unsafe {
            let both = _mm512_loadu_si512(from.as_ptr().cast());
            let second = _mm512_and_si512(both, _mm512_set1_epi32(0xffff_0000_u32.cast_signed()));
            (
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(both)),
                _mm512_castsi512_ps(second),
            )
        }
    }
}
