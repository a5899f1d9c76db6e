//! Sixteen float32 numbers at a time, in every instruction set that there are kernels for.
//!
//! A kernel is written once, generic over `Simd`, as the `run` of a `Task`; `dispatch` runs it within a function that
//! is compiled for the instruction set. For that, `run` and all that it calls with vectors must be `#[inline(always)]`.

mod functions;
pub mod int;
#[cfg(target_arch = "x86_64")]
mod int_avx2;
#[cfg(target_arch = "x86_64")]
mod int_avx512;
mod int_portable;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::isa::Isa;
pub use functions::{exp, tanh};
use int::IntSimd;

/// Numbers in a vector.
pub const LANES: usize = 16;

/// A proof that the machine has an instruction set, and its operations. Not all round alike: `fma` rounds once where
/// the instruction set has it, else twice.
pub trait Simd: IntSimd {
    /// Sixteen float32.
    type V: Copy;

    /// All the same.
    fn splat(self, value: f32) -> Self::V;
    /// Of sixteen numbers.
    fn load(self, from: &[f32; LANES]) -> Self::V;
    /// Into sixteen places.
    fn store(self, value: Self::V, to: &mut [f32; LANES]);
    /// a + b.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a - b.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a / b.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// a where it is the greater, else b: b where one of them is not a number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `value` where x is not below `limit`, else 0.
    fn keep_from(self, limit: Self::V, x: Self::V, value: Self::V) -> Self::V;
    /// The numbers' signs, upon magnitudes that have none.
    fn with_sign(self, magnitude: Self::V, sign: Self::V) -> Self::V;
    /// value * 2^n, of normal numbers, where `shifted` is n + 1.5 * 2^23: its last bits are n.
    fn scale_by_power(self, value: Self::V, shifted: Self::V) -> Self::V;
    /// a * b + c.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Of sixteen pairs of bfloat16, pair after pair: the first of each, and the second of each.
    fn load_bf16_pairs(self, from: &[u32; LANES]) -> (Self::V, Self::V);
}

/// A kernel.
pub trait Task {
    /// What it makes.
    type Out;

    /// Must be `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Out;
}

/// Runs a kernel with an instruction set, which must be there.
///
/// # Panics
/// It is not.
pub fn dispatch<T: Task>(isa: Isa, task: T) -> T::Out {
    match isa {
        Isa::Portable => task.run(portable::Portable),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            assert!(isa.is_there(), "AVX2 is not there");
            // SAFETY: it is there.
            unsafe { x86::with_avx2(task) }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            assert!(isa.is_there(), "AVX-512 is not there");
            // SAFETY: it is there.
            unsafe { x86::with_avx512(task) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("an instruction set of another processor"),
    }
}
