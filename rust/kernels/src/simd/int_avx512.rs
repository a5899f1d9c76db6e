//! AVX-512 with VNNI: one register of 16 columns, and one instruction that multiplies pairs and adds them to the sums.

use std::arch::x86_64::{
    __m512i, _mm256_loadu_si256, _mm512_add_ps, _mm512_and_si512, _mm512_broadcast_i64x4,
    _mm512_cvtepi8_epi16, _mm512_cvtepi32_ps, _mm512_dpwssd_epi32, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_mul_ps, _mm512_set_epi64, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_srlv_epi16, _mm512_storeu_ps, _mm512_storeu_si512,
};

use super::int::IntSimd;
use super::x86::Avx512;

/// `value` in each of the four 16-bit words of a 64-bit one.
const fn words(value: i64) -> i64 {
    value * 0x0001_0001_0001_0001
}

// SAFETY in common: `self` proves that the instructions are there, and each reads or writes within the array that it
// is given.
#[allow(clippy::undocumented_unsafe_blocks)]
impl IntSimd for Avx512 {
    type Weights = __m512i;
    type Sums = __m512i;

    #[inline(always)]
    fn splat_sums(self, value: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn widen_bytes(self, codes: &[u8; 64]) -> [__m512i; 2] {
        unsafe {
            let from = codes.as_ptr();
            let (a, b) = (
                _mm256_loadu_si256(from.cast()),
                _mm256_loadu_si256(from.add(32).cast()),
            );
            [_mm512_cvtepi8_epi16(a), _mm512_cvtepi8_epi16(b)]
        }
    }

    #[inline(always)]
    fn widen_nibbles(self, codes: &[u8; 32]) -> [__m512i; 2] {
        unsafe {
            // Both halves get all words: the lower one takes the nibbles of columns 0 to 7, the upper one of 8 to 15.
            let both = _mm512_broadcast_i64x4(_mm256_loadu_si256(codes.as_ptr().cast()));
            let (w0, w4, w8, w12) = (words(0), words(4), words(8), words(12));
            let first = _mm512_set_epi64(w4, w4, w4, w4, w0, w0, w0, w0);
            let second = _mm512_set_epi64(w12, w12, w12, w12, w8, w8, w8, w8);
            let low = _mm512_set1_epi16(15);
            let a = _mm512_and_si512(_mm512_srlv_epi16(both, first), low);
            [a, _mm512_and_si512(_mm512_srlv_epi16(both, second), low)]
        }
    }

    #[inline(always)]
    fn load_wide(self, codes: &[i16; 64]) -> [__m512i; 2] {
        unsafe {
            let from = codes.as_ptr();
            [
                _mm512_loadu_si512(from.cast()),
                _mm512_loadu_si512(from.add(32).cast()),
            ]
        }
    }

    #[inline(always)]
    fn store_wide(self, weights: [__m512i; 2], out: &mut [i16; 64]) {
        for (part, register) in weights.into_iter().enumerate() {
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(part * 32).cast(), register) }
        }
    }

    #[inline(always)]
    fn dot(self, sums: __m512i, weights: __m512i, pair: i32) -> __m512i {
        unsafe { _mm512_dpwssd_epi32(sums, weights, _mm512_set1_epi32(pair)) }
    }

    #[inline(always)]
    fn add_scaled(self, total: &mut [f32; 16], sums: __m512i, scales: &[u8; 64], scale: f32) {
        unsafe {
            let of_codes = _mm512_mul_ps(
                _mm512_cvtepi32_ps(sums),
                _mm512_loadu_ps(scales.as_ptr().cast()),
            );
            let of_block = _mm512_mul_ps(of_codes, _mm512_set1_ps(scale));
            _mm512_storeu_ps(
                total.as_mut_ptr(),
                _mm512_add_ps(_mm512_loadu_ps(total.as_ptr()), of_block),
            );
        }
    }

    #[inline(always)]
    fn add_scaled_min(
        self,
        total: &mut [f32; 16],
        sums: __m512i,
        scales: &[u8; 64],
        minima: &[u8; 64],
        sum_and_scale: (f32, f32),
    ) {
        unsafe {
            let of_codes = _mm512_mul_ps(
                _mm512_cvtepi32_ps(sums),
                _mm512_loadu_ps(scales.as_ptr().cast()),
            );
            let of_minima = _mm512_mul_ps(
                _mm512_loadu_ps(minima.as_ptr().cast()),
                _mm512_set1_ps(sum_and_scale.0),
            );
            let of_block = _mm512_mul_ps(
                _mm512_add_ps(of_codes, of_minima),
                _mm512_set1_ps(sum_and_scale.1),
            );
            _mm512_storeu_ps(
                total.as_mut_ptr(),
                _mm512_add_ps(_mm512_loadu_ps(total.as_ptr()), of_block),
            );
        }
    }
}
