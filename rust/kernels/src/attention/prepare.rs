//! What a head's numbers go through before attention: a bound, a norm and rotary positions.

use crate::error::Error;
use crate::simd::LANES;

/// Which normalisation, as `NormSpec.kind` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// By the root of the mean square (Zhang and Sennrich, arXiv 1910.07467).
    Rms,
    /// To mean 0 and variance 1 (Ba et al., arXiv 1607.06450).
    Layer,
}

/// A normalisation of each head.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// Which.
    pub kind: NormKind,
    /// Added to the mean square.
    pub eps: f32,
    /// [H] for all heads, [heads, H], or nothing.
    pub weight: &'a [f32],
}

/// Rotary positions (Su et al., arXiv 2104.09864), of each row.
#[derive(Debug, Clone, Copy)]
pub struct Rope<'a> {
    /// [R, pairs].
    pub cos: &'a [f32],
    /// [R, pairs].
    pub sin: &'a [f32],
    /// Of a head's first numbers.
    pub num_pairs: usize,
    /// Neighbours are a pair, not the two halves.
    pub is_interleaved: bool,
}

/// All of it, in its order.
#[derive(Debug, Clone, Copy)]
pub struct Preparation<'a> {
    /// Bounds queries, keys and values both ways; infinity does not.
    pub limit: f32,
    /// Of queries.
    pub q_norm: Option<Norm<'a>>,
    /// Of keys.
    pub k_norm: Option<Norm<'a>>,
    /// Of queries and keys.
    pub rope: Option<Rope<'a>>,
}

impl Preparation<'_> {
    /// `INVALID_ARGUMENT` where sizes do not fit `num_rows` rows of heads of that size.
    pub(super) fn check(
        &self,
        num_rows: usize,
        num_heads: [usize; 2],
        head_dim: usize,
    ) -> Result<(), Error> {
        let norms = [("q_norm", &self.q_norm), ("k_norm", &self.k_norm)];
        for ((name, norm), num_heads) in norms.into_iter().zip(num_heads) {
            let len = norm.as_ref().map_or(0, |norm| norm.weight.len());
            if len != 0 && len != head_dim && len != num_heads * head_dim {
                return Err(Error::invalid(format!(
                    "{name} has {len} numbers for {num_heads} heads of {head_dim}"
                )));
            }
        }
        let Some(rope) = &self.rope else {
            return Ok(());
        };
        let expected = num_rows * rope.num_pairs;
        if 2 * rope.num_pairs > head_dim || rope.cos.len() != expected || rope.sin.len() != expected
        {
            let (cos, sin) = (rope.cos.len(), rope.sin.len());
            return Err(Error::invalid(format!(
                "cos and sin have {cos} and {sin} numbers for {num_rows} rows of {} pairs of {head_dim} numbers",
                rope.num_pairs
            )));
        }
        Ok(())
    }

    /// A value.
    #[inline(always)]
    pub(super) fn value(&self, from: &[f32], to: &mut [f32]) {
        to.copy_from_slice(from);
        if self.limit < f32::INFINITY {
            for number in to {
                *number = bounded(*number, self.limit);
            }
        }
    }

    /// Query head `head` of a row.
    #[inline(always)]
    pub(super) fn query(&self, from: &[f32], to: &mut [f32], row: usize, head: usize) {
        self.value(from, to);
        if let Some(norm) = &self.q_norm {
            norm.apply(to, head);
        }
        if let Some(rope) = &self.rope {
            rope.apply(to, row);
        }
    }

    /// The key of key-value head `head` of a row.
    #[inline(always)]
    pub(super) fn key(&self, from: &[f32], to: &mut [f32], row: usize, head: usize) {
        self.value(from, to);
        if let Some(norm) = &self.k_norm {
            norm.apply(to, head);
        }
        if let Some(rope) = &self.rope {
            rope.apply(to, row);
        }
    }
}

/// What is no number stays none.
#[inline(always)]
fn bounded(number: f32, limit: f32) -> f32 {
    if number > limit {
        limit
    } else if number < -limit {
        -limit
    } else {
        number
    }
}

impl Norm<'_> {
    #[inline(always)]
    fn apply(&self, x: &mut [f32], head: usize) {
        if self.kind == NormKind::Layer {
            let mean = mean(x, |number| number);
            for number in x.iter_mut() {
                *number -= mean;
            }
        }
        let scale = 1.0 / (mean(x, |number| number * number) + self.eps).sqrt();
        for number in x.iter_mut() {
            *number *= scale;
        }
        let first = if self.weight.len() > x.len() {
            head * x.len()
        } else {
            0
        };
        for (number, weight) in x
            .iter_mut()
            .zip(&self.weight[first.min(self.weight.len())..])
        {
            *number *= weight;
        }
    }
}

/// In sixteen sums, so that it takes vectors.
#[inline(always)]
fn mean(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (vectors, rest) = x.as_chunks::<LANES>();
    for vector in vectors {
        for (sum, number) in sums.iter_mut().zip(vector) {
            *sum += of(*number);
        }
    }
    let sum = sums.iter().sum::<f32>() + rest.iter().map(|&number| of(number)).sum::<f32>();
    sum / small(x.len())
}

/// A size as a number.
#[allow(clippy::cast_precision_loss)] // sizes of heads are far below 2^24
fn small(size: usize) -> f32 {
    size as f32
}

impl Rope<'_> {
    #[inline(always)]
    fn apply(&self, x: &mut [f32], row: usize) {
        let at = row * self.num_pairs..(row + 1) * self.num_pairs;
        let (cos, sin) = (&self.cos[at.clone()], &self.sin[at]);
        if self.is_interleaved {
            for ((pair, cos), sin) in x.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
                *pair = [pair[0] * cos - pair[1] * sin, pair[1] * cos + pair[0] * sin];
            }
            return;
        }
        let (first, second) = x.split_at_mut(self.num_pairs);
        for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }
}
