//! The activations of feed-forward halves, within 1e-6 of float64 relative to the result, or within 1e-9.
//!
//! Plain arithmetic without branches or library calls, so that the compiler makes vectors of it in every instruction
//! set, and each gives the same numbers.

use std::str::FromStr;

use crate::error::Error;
use crate::matrix::PANEL;
use crate::simd::{Simd, Task};

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x.
    None,
    /// x / (1 + exp(-x)).
    Silu,
    /// x Φ(x), by the error function.
    Gelu,
    /// Its approximation by tanh (Hendrycks and Gimpel, arXiv 1606.08415).
    GeluTanh,
    /// x / (1 + exp(-1.702 x)).
    QuickGelu,
    /// max(x, 0).
    Relu,
    /// max(x, 0)².
    Relu2,
}

impl Activation {
    /// Every one, with its spelling.
    const NAMES: [(&'static str, Self); 7] = [
        ("none", Self::None),
        ("silu", Self::Silu),
        ("gelu", Self::Gelu),
        ("gelu_tanh", Self::GeluTanh),
        ("quick_gelu", Self::QuickGelu),
        ("relu", Self::Relu),
        ("relu2", Self::Relu2),
    ];
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::NAMES.iter().find(|(own, _)| *own == name);
        found
            .map(|(_, activation)| *activation)
            .ok_or_else(|| Error::invalid(format!("there is no activation {name:?}")))
    }
}

/// `sums` become `act(sums)`, or `act(sums) * up`, where there is one for each.
pub(crate) struct Activate<'a> {
    pub(crate) activation: Activation,
    pub(crate) sums: &'a mut [[f32; PANEL]],
    pub(crate) up: Option<&'a [[f32; PANEL]]>,
}

impl Task for Activate<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match self.activation {
            Activation::None => self.each(|x| x),
            Activation::Silu => self.each(silu),
            Activation::Gelu => self.each(gelu),
            Activation::GeluTanh => self.each(gelu_tanh),
            Activation::QuickGelu => self.each(quick_gelu),
            Activation::Relu => self.each(relu),
            Activation::Relu2 => self.each(|x| relu(x) * relu(x)),
        }
    }
}

impl Activate<'_> {
    #[inline(always)]
    fn each(self, act: impl Fn(f32) -> f32) {
        let Some(up) = self.up else {
            for row in self.sums {
                *row = row.map(&act);
            }
            return;
        };
        for (row, up) in self.sums.iter_mut().zip(up) {
            for (number, up) in row.iter_mut().zip(up) {
                *number = act(*number) * up;
            }
        }
    }
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

#[inline(always)]
fn quick_gelu(x: f32) -> f32 {
    x / (1.0 + exp(-1.702 * x))
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    // (1 + tanh(u)) / 2 is 1 / (1 + exp(-2u)), which loses nothing where tanh is near -1.
    const SCALE: f32 = 1.595_769; // 2 sqrt(2 / π)
    x / (1.0 + exp(-SCALE * (x + 0.044_715 * x * x * x)))
}

/// x Φ(x) as x erfc(-x / √2) / 2, with erfc by W. J. Cody's kind of fit: t exp(-z² + P(t)), t = 1 / (1 + z / 2), whose
/// relative error is below 1.2e-7 everywhere (Numerical Recipes, 6.2).
#[inline(always)]
fn gelu(x: f32) -> f32 {
    const P: [f32; 10] = [
        -1.265_512_2,
        1.000_023_7,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_204,
        1.488_515_9,
        -0.822_152_23,
        0.170_872_77,
    ]; // fmt: skip
    let size = x.abs();
    let t = 1.0 / (1.0 + 0.5 * std::f32::consts::FRAC_1_SQRT_2 * size);
    let fit = P.iter().rev().fold(0.0, |sum, factor| sum * t + factor);
    // z² is x² / 2. The upper half of x squares exactly; what is left is small.
    let high = f32::from_bits(size.to_bits() & 0xffff_f000);
    let rest = (size - high) * (size + high);
    let half_erfc = 0.5 * t * exp(-0.5 * high * high) * exp(fit - 0.5 * rest);
    let below = -size * half_erfc;
    if x < 0.0 { below } else { x + below }
}

#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x } // not-a-numbers stay
}

/// e to the x: 2 to the whole part of x log₂e, times a polynomial (S. L. Moshier's, Cephes) of the rest. Below -87.3
/// and above 88.3 as there; not-a-numbers stay.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves the whole part in the low bits
    const LN2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let x = if x < -87.3 { -87.3 } else { x };
    let x = if x > 88.3 { 88.3 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = (x - whole * LN2.0) - whole * LN2.1;
    let p = 1.987_569_1e-4 * rest + 1.398_199_9e-3;
    let p = p * rest + 8.333_452e-3;
    let p = p * rest + 4.166_579_6e-2;
    let p = p * rest + 1.666_666_5e-1;
    let p = p * rest + 0.5;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    (p * rest * rest + rest + 1.0) * scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::simd::dispatch;

    /// erfc of z >= 0 in float64: its series, or its continued fraction.
    fn erfc(z: f64) -> f64 {
        if z < 3.0 {
            let (mut term, mut sum) = (z, z);
            for n in 1..200 {
                term *= -z * z / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            return 1.0 - 2.0 / std::f64::consts::PI.sqrt() * sum;
        }
        let tail = (1..120)
            .rev()
            .fold(z, |below, n| z + 0.5 * f64::from(n) / below);
        (-z * z).exp() / (std::f64::consts::PI.sqrt() * tail)
    }

    fn judge(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::None => x,
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Gelu if x < 0.0 => 0.5 * x * erfc(-x / 2_f64.sqrt()),
            Activation::Gelu => x - 0.5 * x * erfc(x / 2_f64.sqrt()),
            Activation::GeluTanh => {
                x / (1.0
                    + (-2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3)))
                        .exp())
            }
            Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
            Activation::Relu => x.max(0.0),
            Activation::Relu2 => x.max(0.0).powi(2),
        }
    }

    fn activate(isa: Isa, activation: Activation, x: f32) -> f32 {
        let mut sums = [[x; PANEL]];
        dispatch(
            isa,
            Activate {
                activation,
                sums: &mut sums,
                up: None,
            },
        );
        sums[0][0]
    }

    #[test]
    fn near_float64_in_every_instruction_set() {
        for (name, activation) in Activation::NAMES {
            for step in -6000_i16..=6000 {
                let x = f32::from(step) * 0.002_37;
                let wanted = judge(activation, f64::from(x));
                let first = activate(Isa::Portable, activation, x);
                let bound = 1e-6 * wanted.abs() + 1e-9;
                assert!(
                    (f64::from(first) - wanted).abs() <= bound,
                    "{name}({x}) = {first}, not {wanted}"
                );
                for isa in Isa::there() {
                    assert_eq!(
                        activate(isa, activation, x).to_bits(),
                        first.to_bits(),
                        "{name}({x}) with {}",
                        isa.name()
                    );
                }
            }
        }
    }

    #[test]
    fn not_a_number_stays_one_and_far_numbers_end_well() {
        for (name, activation) in Activation::NAMES {
            assert!(
                activate(Isa::Portable, activation, f32::NAN).is_nan(),
                "{name}"
            );
            assert!(
                activate(Isa::Portable, activation, 3e4).is_finite(),
                "{name}"
            );
            assert!(
                activation == Activation::None
                    || activate(Isa::Portable, activation, -3e4).abs() < 1e-30,
                "{name}"
            );
        }
    }
}
