//! Attention as its definition says it, one number after another in float64: the judge of the kernels.

use super::{Attention, Norm, NormKind};

/// Keys and values of a sequence's positions, `[positions, K, H]` each,.
pub(super) struct Stored {
    pub(super) keys: Vec<f64>,
    pub(super) values: Vec<f64>,
}

/// `[R, N * H]`. `stored`: of each sequence, its earlier positions; the new ones are put in, as `keep` makes
/// them.
pub(super) fn attend(
    attention: &Attention<'_>,
    stored: &mut [Stored],
    keep: fn(f64) -> f64,
) -> Vec<f64> {
    let (heads, places) = (attention.heads, attention.places);
    let (size, num_heads) = (heads.head_dim, heads.num_kv_heads * heads.num_groups);
    let num_rows = places.positions.len();
    for row in 0..num_rows {
        let Ok(position) = usize::try_from(places.positions[row]) else {
            continue;
        };
        for head in 0..heads.num_kv_heads {
            let fused = part(attention, row, head);
            let key = prepared(
                attention,
                &fused[heads.num_groups * size..][..size],
                row,
                head,
                attention.preparation.k_norm.as_ref(),
            );
            let at = (position * heads.num_kv_heads + head) * size;
            let sequence = &mut stored[row / places.num_new];
            for h in 0..size {
                sequence.keys[at + h] = keep(key[h]);
                let value = bounded(
                    attention,
                    f64::from(fused[(heads.num_groups + 1) * size + h]),
                );
                sequence.values[at + h] = keep(value);
            }
        }
    }
    let mut out = vec![0.0; num_rows * num_heads * size];
    for row in 0..num_rows {
        let Ok(position) = usize::try_from(places.positions[row]) else {
            continue;
        };
        for head in 0..num_heads {
            let (kv_head, group) = (head / heads.num_groups, head % heads.num_groups);
            let fused = part(attention, row, kv_head);
            let query = prepared(
                attention,
                &fused[group * size..][..size],
                row,
                head,
                attention.preparation.q_norm.as_ref(),
            );
            let first = places
                .window
                .map_or(0, |window| (position + 1).saturating_sub(window));
            let sequence = &stored[row / places.num_new];
            let mix = softmax_mix(
                attention,
                &query,
                first..position + 1,
                sequence,
                kv_head,
                head,
            );
            out[(row * num_heads + head) * size..][..size].copy_from_slice(&mix);
        }
    }
    out
}

fn softmax_mix(
    attention: &Attention<'_>,
    query: &[f64],
    keys: std::ops::Range<usize>,
    stored: &Stored,
    kv_head: usize,
    head: usize,
) -> Vec<f64> {
    let (size, num_kv_heads) = (query.len(), attention.heads.num_kv_heads);
    let at = |key: usize| (key * num_kv_heads + kv_head) * size;
    let score = |key: usize| {
        let product: f64 = query
            .iter()
            .zip(&stored.keys[at(key)..])
            .map(|(q, k)| q * k)
            .sum();
        let score = product * f64::from(attention.scale);
        attention.soft_cap.map_or(score, |cap| {
            f64::from(cap) * (score / f64::from(cap)).tanh()
        })
    };
    let scores: Vec<f64> = keys.clone().map(score).collect();
    let sink = attention.sinks.get(head).map(|&sink| f64::from(sink));
    let peak = scores
        .iter()
        .copied()
        .chain(sink)
        .fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores
        .iter()
        .copied()
        .chain(sink)
        .map(|score| (score - peak).exp())
        .sum();
    let mut mixed = vec![0.0; size];
    for (key, score) in keys.zip(scores) {
        for (sum, value) in mixed.iter_mut().zip(&stored.values[at(key)..]) {
            *sum += (score - peak).exp() / total * value;
        }
    }
    mixed
}

fn part<'a>(attention: &Attention<'a>, row: usize, head: usize) -> &'a [f32] {
    let size = attention.heads.fused_size();
    &attention.fused[(row * attention.heads.num_kv_heads + head) * size..][..size]
}

fn bounded(attention: &Attention<'_>, number: f64) -> f64 {
    let limit = f64::from(attention.preparation.limit);
    number.max(-limit).min(limit)
}

fn prepared(
    attention: &Attention<'_>,
    from: &[f32],
    row: usize,
    head: usize,
    norm: Option<&Norm<'_>>,
) -> Vec<f64> {
    let mut x: Vec<f64> = from
        .iter()
        .map(|&number| bounded(attention, f64::from(number)))
        .collect();
    if let Some(norm) = norm {
        x = normed(&x, norm, head);
    }
    let Some(rope) = &attention.preparation.rope else {
        return x;
    };
    for pair in 0..rope.num_pairs {
        let (cos, sin) = (
            f64::from(rope.cos[row * rope.num_pairs + pair]),
            f64::from(rope.sin[row * rope.num_pairs + pair]),
        );
        let (a, b) = if rope.is_interleaved {
            (2 * pair, 2 * pair + 1)
        } else {
            (pair, pair + rope.num_pairs)
        };
        (x[a], x[b]) = (x[a] * cos - x[b] * sin, x[b] * cos + x[a] * sin);
    }
    x
}

#[allow(clippy::cast_precision_loss)] // sizes of heads
fn normed(x: &[f64], norm: &Norm<'_>, head: usize) -> Vec<f64> {
    let count = x.len() as f64;
    let mean = if norm.kind == NormKind::Layer {
        x.iter().sum::<f64>() / count
    } else {
        0.0
    };
    let centred: Vec<f64> = x.iter().map(|number| number - mean).collect();
    let square = centred.iter().map(|number| number * number).sum::<f64>() / count;
    let scale = 1.0 / (square + f64::from(norm.eps)).sqrt();
    let first = if norm.weight.len() > x.len() {
        head * x.len()
    } else {
        0
    };
    let weight = |h: usize| {
        norm.weight
            .get(first + h)
            .map_or(1.0, |&weight| f64::from(weight))
    };
    centred
        .iter()
        .enumerate()
        .map(|(h, number)| number * scale * weight(h))
        .collect()
}
