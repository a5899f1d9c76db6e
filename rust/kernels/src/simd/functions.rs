//! Functions of sixteen numbers, within some units of the last place of float64's.

use super::Simd;

/// Upon adding it, a number below 2^22 in size is rounded to a whole one, which its last bits are.
const SHIFT: f32 = 12_582_912.0; // 1.5 * 2^23

/// e^x for x up to 88; 0 below -87, where the result would not be a normal number; exactly 1 at 0. Not a number where x
/// is none.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::V) -> S::V {
    let least = simd.splat(-87.0);
    let bounded = simd.max(least, x);
    let shifted = simd.fma(
        bounded,
        simd.splat(std::f32::consts::LOG2_E),
        simd.splat(SHIFT),
    );
    let whole = simd.sub(shifted, simd.splat(SHIFT));
    // ln 2 in two parts, the first of few enough bits that its products are exact (Cody and Waite).
    let rest = simd.fma(whole, simd.splat(-355.0 / 512.0), bounded);
    let rest = simd.fma(whole, simd.splat(2.121_944_4e-4), rest);
    let value = simd.scale_by_power(exp_near_zero(simd, rest), shifted);
    simd.keep_from(least, x, value)
}

/// e^x for x within ln 2 / 2 of 0: Taylor's series, its last two terms bent to the interval.
#[inline(always)]
fn exp_near_zero<S: Simd>(simd: S, x: S::V) -> S::V {
    let mut sum = simd.splat(1.987_569_1e-4);
    for coefficient in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        sum = simd.fma(sum, x, simd.splat(coefficient));
    }
    simd.add(simd.fma(simd.mul(x, x), sum, x), simd.splat(1.0))
}

/// The hyperbolic tangent. Not a number where x is none.
#[inline(always)]
pub fn tanh<S: Simd>(simd: S, x: S::V) -> S::V {
    let zero = simd.splat(0.0);
    let size = simd.max(simd.sub(zero, x), x);
    // Far from 0: 1 - 2 / (e^2x + 1), which is 1 from 10 on.
    let bounded = simd.sub(zero, simd.max(simd.splat(-10.0), simd.sub(zero, size)));
    let power = exp(simd, simd.add(bounded, bounded));
    let far = simd.sub(
        simd.splat(1.0),
        simd.div(simd.splat(2.0), simd.add(power, simd.splat(1.0))),
    );
    // Near 0 that would lose digits: an odd polynomial there.
    let square = simd.mul(bounded, bounded);
    let mut sum = simd.splat(-5.704_988_7e-3);
    for coefficient in [2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1] {
        sum = simd.fma(sum, square, simd.splat(coefficient));
    }
    let near = simd.fma(simd.mul(sum, square), bounded, bounded);
    let border = simd.splat(0.625);
    let is_far = simd.keep_from(border, size, far);
    let is_near = simd.sub(near, simd.keep_from(border, size, near));
    simd.with_sign(simd.add(is_far, is_near), x)
}

#[cfg(test)]
mod tests {
    use crate::isa::Isa;
    use crate::simd::{LANES, Simd, Task, dispatch};

    struct Apply(bool, [f32; LANES]);

    impl Task for Apply {
        type Out = [f32; LANES];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Out {
            let (x, mut out) = (simd.load(&self.1), [0.0; LANES]);
            let made = if self.0 {
                super::exp(simd, x)
            } else {
                super::tanh(simd, x)
            };
            simd.store(made, &mut out);
            out
        }
    }

    fn worst(is_exp: bool, isa: Isa, first: f32, last: f32) -> f64 {
        let steps = 20_000_u16;
        let mut worst = 0.0_f64;
        for step in 0..steps {
            let x = first + (last - first) * f32::from(step) / f32::from(steps);
            let made = f64::from(dispatch(isa, Apply(is_exp, [x; LANES]))[3]);
            let wide = f64::from(x);
            let truth = if is_exp { wide.exp() } else { wide.tanh() };
            worst = worst.max(((made - truth) / truth).abs());
        }
        worst
    }

    #[test]
    fn exp_and_tanh_are_those_of_float64() {
        for isa in Isa::there() {
            assert!(
                worst(true, isa, -86.9, 88.0) < 2e-7,
                "{}",
                worst(true, isa, -86.9, 88.0)
            );
            assert!(
                worst(false, isa, -12.0, 12.0) < 3e-7,
                "{}",
                worst(false, isa, -12.0, 12.0)
            );
            assert!(
                worst(false, isa, 1e-6, 0.7) < 3e-7,
                "{}",
                worst(false, isa, 1e-6, 0.7)
            );
        }
    }

    #[test]
    fn exp_keeps_what_is_exact_and_what_is_no_number() {
        for isa in Isa::there() {
            let mut x = [0.0; LANES];
            x[1] = -1e30;
            x[2] = f32::NAN;
            x[3] = f32::NEG_INFINITY;
            x[4] = -0.0;
            let of_exp = dispatch(isa, Apply(true, x));
            assert!(of_exp[2].is_nan(), "{}", of_exp[2]);
            assert_eq!(
                [of_exp[0], of_exp[1], of_exp[3], of_exp[4]].map(f32::to_bits),
                [1.0, 0.0, 0.0, 1.0].map(f32::to_bits)
            );
            let of_tanh = dispatch(isa, Apply(false, x));
            assert!(
                of_tanh[2].is_nan()
                    && of_tanh[1].to_bits() == (-1.0_f32).to_bits()
                    && of_tanh[0].to_bits() == 0,
                "{of_tanh:?}"
            );
        }
    }
}
