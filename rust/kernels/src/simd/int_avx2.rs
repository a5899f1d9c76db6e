//! AVX2: two registers of 8 columns.

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_add_ps, _mm256_and_si256,
    _mm256_cvtepi8_epi16, _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_mul_ps, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_srli_epi16, _mm256_storeu_ps, _mm256_storeu_si256,
};

use super::int::IntSimd;
use super::x86::Avx2;

// SAFETY in common: `self` proves that the instructions are there, and each reads or writes within the array that it
// is given.
#[allow(clippy::undocumented_unsafe_blocks)]
impl IntSimd for Avx2 {
    type Weights = [__m256i; 2];
    type Sums = [__m256i; 2];

    #[inline(always)]
    fn splat_sums(self, value: i32) -> [__m256i; 2] {
        unsafe { [_mm256_set1_epi32(value); 2] }
    }

    #[inline(always)]
    fn widen_bytes(self, codes: &[u8; 64]) -> [[__m256i; 2]; 2] {
        unsafe {
            let from = codes.as_ptr();
            let (a, b) = (
                _mm_loadu_si128(from.cast()),
                _mm_loadu_si128(from.add(16).cast()),
            );
            let (c, d) = (
                _mm_loadu_si128(from.add(32).cast()),
                _mm_loadu_si128(from.add(48).cast()),
            );
            [
                [_mm256_cvtepi8_epi16(a), _mm256_cvtepi8_epi16(b)],
                [_mm256_cvtepi8_epi16(c), _mm256_cvtepi8_epi16(d)],
            ]
        }
    }

    #[inline(always)]
    fn widen_nibbles(self, codes: &[u8; 32]) -> [[__m256i; 2]; 2] {
        unsafe {
            let words = _mm256_loadu_si256(codes.as_ptr().cast());
            let low = _mm256_set1_epi16(15);
            let a = _mm256_and_si256(words, low);
            let b = _mm256_and_si256(_mm256_srli_epi16::<4>(words), low);
            let c = _mm256_and_si256(_mm256_srli_epi16::<8>(words), low);
            [[a, b], [c, _mm256_srli_epi16::<12>(words)]]
        }
    }

    #[inline(always)]
    fn load_wide(self, codes: &[i16; 64]) -> [[__m256i; 2]; 2] {
        unsafe {
            let from = codes.as_ptr();
            let (a, b) = (
                _mm256_loadu_si256(from.cast()),
                _mm256_loadu_si256(from.add(16).cast()),
            );
            let (c, d) = (
                _mm256_loadu_si256(from.add(32).cast()),
                _mm256_loadu_si256(from.add(48).cast()),
            );
            [[a, b], [c, d]]
        }
    }

    #[inline(always)]
    fn store_wide(self, weights: [[__m256i; 2]; 2], out: &mut [i16; 64]) {
        for (part, register) in weights.as_flattened().iter().enumerate() {
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(part * 16).cast(), *register) }
        }
    }

    #[inline(always)]
    fn dot(self, sums: [__m256i; 2], weights: [__m256i; 2], pair: i32) -> [__m256i; 2] {
        unsafe {
            let pair = _mm256_set1_epi32(pair);
            [
                _mm256_add_epi32(sums[0], _mm256_madd_epi16(weights[0], pair)),
                _mm256_add_epi32(sums[1], _mm256_madd_epi16(weights[1], pair)),
            ]
        }
    }

    #[inline(always)]
    fn add_scaled(self, total: &mut [f32; 16], sums: [__m256i; 2], scales: &[u8; 64], scale: f32) {
        for (number, sums) in sums.into_iter().enumerate() {
            unsafe {
                let total = total.as_mut_ptr().add(number * 8);
                let of_codes = _mm256_mul_ps(
                    _mm256_cvtepi32_ps(sums),
                    _mm256_loadu_ps(scales.as_ptr().add(number * 32).cast()),
                );
                let of_block = _mm256_mul_ps(of_codes, _mm256_set1_ps(scale));
                _mm256_storeu_ps(total, _mm256_add_ps(_mm256_loadu_ps(total), of_block));
            }
        }
    }

    #[inline(always)]
    fn add_scaled_min(
        self,
        total: &mut [f32; 16],
        sums: [__m256i; 2],
        scales: &[u8; 64],
        minima: &[u8; 64],
        sum_and_scale: (f32, f32),
    ) {
        for (number, sums) in sums.into_iter().enumerate() {
            unsafe {
                let total = total.as_mut_ptr().add(number * 8);
                let scales = _mm256_loadu_ps(scales.as_ptr().add(number * 32).cast());
                let minima = _mm256_loadu_ps(minima.as_ptr().add(number * 32).cast());
                let of_codes = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scales);
                let of_minima = _mm256_mul_ps(minima, _mm256_set1_ps(sum_and_scale.0));
                let of_block = _mm256_mul_ps(
                    _mm256_add_ps(of_codes, of_minima),
                    _mm256_set1_ps(sum_and_scale.1),
                );
                _mm256_storeu_ps(total, _mm256_add_ps(_mm256_loadu_ps(total), of_block));
            }
        }
    }
}
