//! AVX2: two registers of 8 columns.

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_add_ps, _mm256_and_si256,
    _mm256_cvtepi8_epi16, _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_mul_ps, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_srli_epi16, _mm256_storeu_ps, _mm256_storeu_si256,
};

use super::lanes::IntLanes;

/// 256-bit registers.
pub(crate) struct Avx2;

/// Where register `number` of 8 lanes begins in a row of 16 numbers.
const fn lane(number: usize) -> usize {
    number * 8
}

impl IntLanes for Avx2 {
    type Weights = [__m256i; 2];
    type Sums = [__m256i; 2];

    #[inline(always)]
    unsafe fn splat(value: i32) -> [__m256i; 2] {
        // SAFETY: the machine has AVX2, as the trait asks.
        unsafe { [_mm256_set1_epi32(value); 2] }
    }

    #[inline(always)]
    unsafe fn widen_bytes(codes: &[u8; 64]) -> [[__m256i; 2]; 2] {
        // SAFETY: the machine has AVX2; four times 16 bytes are read of 64.
        unsafe {
            let widen = |part: usize| {
                _mm256_cvtepi8_epi16(_mm_loadu_si128(codes.as_ptr().add(part * 16).cast()))
            };
            [[widen(0), widen(1)], [widen(2), widen(3)]]
        }
    }

    #[inline(always)]
    unsafe fn widen_nibbles(codes: &[u8; 32]) -> [[__m256i; 2]; 2] {
        // SAFETY: the machine has AVX2; 32 bytes are read of 32.
        unsafe {
            let words = _mm256_loadu_si256(codes.as_ptr().cast());
            let low = |word| _mm256_and_si256(word, _mm256_set1_epi16(15));
            [
                [low(words), low(_mm256_srli_epi16::<4>(words))],
                [
                    low(_mm256_srli_epi16::<8>(words)),
                    _mm256_srli_epi16::<12>(words),
                ],
            ]
        }
    }

    #[inline(always)]
    unsafe fn load_wide(codes: &[i16; 64]) -> [[__m256i; 2]; 2] {
        // SAFETY: the machine has AVX2; four times 16 numbers are read of 64.
        unsafe {
            let load = |part: usize| _mm256_loadu_si256(codes.as_ptr().add(part * 16).cast());
            [[load(0), load(1)], [load(2), load(3)]]
        }
    }

    #[inline(always)]
    unsafe fn store_wide(weights: [[__m256i; 2]; 2], out: &mut [i16; 64]) {
        for (part, register) in weights.as_flattened().iter().enumerate() {
            // SAFETY: the machine has AVX2; `part` is below 4, so 16 numbers are written of the 64.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(part * 16).cast(), *register) }
        }
    }

    #[inline(always)]
    unsafe fn dot(sums: [__m256i; 2], weights: [__m256i; 2], pair: i32) -> [__m256i; 2] {
        // SAFETY: the machine has AVX2, as the trait asks.
        unsafe {
            let pair = _mm256_set1_epi32(pair);
            [
                _mm256_add_epi32(sums[0], _mm256_madd_epi16(weights[0], pair)),
                _mm256_add_epi32(sums[1], _mm256_madd_epi16(weights[1], pair)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn add_scaled(total: &mut [f32; 16], sums: [__m256i; 2], scales: &[u8; 64], scale: f32) {
        for (number, sums) in sums.into_iter().enumerate() {
            // SAFETY: the machine has AVX2; `number` is 0 or 1, so 8 numbers are read and written of 16.
            unsafe {
                let total = total.as_mut_ptr().add(lane(number));
                let of_codes = _mm256_mul_ps(
                    _mm256_cvtepi32_ps(sums),
                    _mm256_loadu_ps(scales.as_ptr().cast::<f32>().add(lane(number))),
                );
                let scaled = _mm256_mul_ps(of_codes, _mm256_set1_ps(scale));
                _mm256_storeu_ps(total, _mm256_add_ps(_mm256_loadu_ps(total), scaled));
            }
        }
    }

    #[inline(always)]
    unsafe fn add_scaled_min(
        total: &mut [f32; 16],
        sums: [__m256i; 2],
        scales: &[u8; 64],
        minima: &[u8; 64],
        sum: f32,
        scale: f32,
    ) {
        for (number, sums) in sums.into_iter().enumerate() {
            // SAFETY: the machine has AVX2; `number` is 0 or 1, so 8 numbers are read and written of 16.
            unsafe {
                let total = total.as_mut_ptr().add(lane(number));
                let scales = _mm256_loadu_ps(scales.as_ptr().cast::<f32>().add(lane(number)));
                let minima = _mm256_loadu_ps(minima.as_ptr().cast::<f32>().add(lane(number)));
                let of_codes = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scales);
                let of_minima = _mm256_mul_ps(minima, _mm256_set1_ps(sum));
                let scaled =
                    _mm256_mul_ps(_mm256_add_ps(of_codes, of_minima), _mm256_set1_ps(scale));
                _mm256_storeu_ps(total, _mm256_add_ps(_mm256_loadu_ps(total), scaled));
            }
        }
    }
}
