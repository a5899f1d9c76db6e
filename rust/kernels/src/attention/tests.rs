//! Random layers and sequences, cut into calls at random, against the definition and against themselves.

use super::twin::{self, Stored};
use super::{Attention, CacheNumber, Heads, Norm, NormKind, PAGE, Places, Preparation, Rope};
use crate::error::Error;
use crate::isa::Isa;
use crate::number::Bf16;
use crate::share::Pool;
use crate::stored::Number;

/// Numbers that are the same in every run (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap() % end
    }
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
    /// About a normal distribution, in steps that bfloat16 holds where asked for.
    fn number(&mut self, is_short: bool) -> f32 {
        let sum: f32 = (0..4)
            .map(|_| f32::from(u16::try_from(self.below(1 << 16)).unwrap()) / 65536.0 - 0.5)
            .sum();
        if is_short {
            f32::from_bits((2.0 * sum).to_bits() & 0xffff_0000)
        } else {
            2.0 * sum
        }
    }
    fn numbers(&mut self, count: usize, is_short: bool) -> Vec<f32> {
        (0..count).map(|_| self.number(is_short)).collect()
    }
}

/// A layer and the projections of whole sequences.
struct Layer {
    heads: Heads,
    lengths: Vec<usize>,
    /// Of each sequence [length, K, (G + 2) * H].
    fused: Vec<Vec<f32>>,
    norm: Option<NormKind>,
    q_norm: Vec<f32>,
    k_norm: Vec<f32>,
    sinks: Vec<f32>,
    num_pairs: usize,
    is_interleaved: bool,
    limit: f32,
    window: Option<usize>,
    soft_cap: Option<f32>,
    scale: f32,
}

impl Layer {
    fn new(dice: &mut Dice, is_short: bool, longest: usize) -> Self {
        let head_dim = dice.pick(&[5, 8, 16, 24, 33, 64, 65, 80]);
        let num_groups = dice.pick(&[1, 2, 3, 4, 7]);
        let heads = Heads {
            num_kv_heads: 1 + dice.below(3),
            num_groups,
            head_dim,
        };
        let lengths: Vec<_> = (0..=dice.below(3))
            .map(|_| 1 + dice.below(longest))
            .collect();
        let fused = lengths
            .iter()
            .map(|length| dice.numbers(length * heads.num_kv_heads * heads.fused_size(), is_short));
        let fused = fused.collect();
        let norm = if is_short {
            None
        } else {
            dice.pick(&[None, Some(NormKind::Rms), Some(NormKind::Layer)])
        };
        let is_own = dice.below(2) == 1;
        let num_heads = heads.num_kv_heads * num_groups;
        let of = |count: usize| if is_own { count * head_dim } else { head_dim };
        Self {
            heads,
            lengths,
            fused,
            norm,
            q_norm: dice.numbers(of(num_heads), false),
            k_norm: dice.numbers(of(heads.num_kv_heads), false),
            sinks: if dice.below(3) == 0 {
                dice.numbers(num_heads, false)
            } else {
                Vec::new()
            },
            num_pairs: if is_short {
                0
            } else {
                dice.pick(&[0, head_dim / 2, head_dim / 3])
            },
            is_interleaved: dice.below(2) == 1,
            limit: if is_short {
                f32::INFINITY
            } else {
                dice.pick(&[f32::INFINITY, 1.5])
            },
            window: dice.pick(&[None, None, Some(1), Some(7), Some(70), Some(300)]),
            soft_cap: dice.pick(&[None, None, Some(2.5)]),
            scale: dice.pick(&[0.2, 1.0]),
        }
    }

    fn row_size(&self) -> usize {
        self.heads.num_kv_heads * self.heads.fused_size()
    }

    /// Cosine and sine of a position's pairs.
    fn angles(&self, position: usize) -> impl Iterator<Item = (f32, f32)> + use<> {
        let position = f32::from(u16::try_from(position).unwrap());
        (0..self.num_pairs).map(move |pair| {
            let angle = position * 0.8_f32.powi(i32::try_from(pair).unwrap());
            (1.1 * angle.cos(), 1.1 * angle.sin())
        })
    }

    /// The call for rows of (sequence, position), [B, T] of them; None is padding.
    fn with<T>(
        &self,
        rows: &[Vec<Option<(usize, usize)>>],
        block_table: &[i32],
        run: impl FnOnce(&Attention<'_>) -> T,
    ) -> T {
        let num_new = rows[0].len();
        let rows: Vec<_> = rows.concat();
        let mut fused = Vec::new();
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for row in &rows {
            match row {
                Some((sequence, at)) => {
                    fused.extend(&self.fused[*sequence][at * self.row_size()..][..self.row_size()]);
                }
                None => fused.extend(vec![f32::NAN; self.row_size()]),
            }
            let angles = self.angles(row.map_or(0, |row| row.1));
            let (row_cos, row_sin): (Vec<_>, Vec<_>) = angles.unzip();
            cos.extend(row_cos);
            sin.extend(row_sin);
        }
        let positions: Vec<_> = rows
            .iter()
            .map(|row| row.map_or(-1, |row| i32::try_from(row.1).unwrap()))
            .collect();
        let norm = |weight| {
            self.norm.map(|kind| Norm {
                kind,
                eps: 1e-5,
                weight,
            })
        };
        let rope = Rope {
            cos: &cos,
            sin: &sin,
            num_pairs: self.num_pairs,
            is_interleaved: self.is_interleaved,
        };
        run(&Attention {
            heads: self.heads,
            fused: &fused,
            preparation: Preparation {
                limit: self.limit,
                q_norm: norm(&self.q_norm),
                k_norm: norm(&self.k_norm),
                rope: Some(rope).filter(|rope| rope.num_pairs > 0),
            },
            sinks: &self.sinks,
            scale: self.scale,
            soft_cap: self.soft_cap,
            places: Places {
                positions: &positions,
                num_new,
                block_table,
                num_table: block_table.len() / (rows.len() / num_new),
                window: self.window,
            },
        })
    }

    /// By the definition: of each sequence [length, N * H].
    fn truth(&self, keep: fn(f64) -> f64) -> Vec<Vec<f64>> {
        let made = self.lengths.iter().enumerate().map(|(sequence, &length)| {
            let rows = vec![
                (0..length)
                    .map(|position| Some((sequence, position)))
                    .collect(),
            ];
            let count = length * self.heads.num_kv_heads * self.heads.head_dim;
            let mut stored = [Stored {
                keys: vec![0.0; count],
                values: vec![0.0; count],
            }];
            self.with(&rows, &[0], |attention| {
                twin::attend(attention, &mut stored, keep)
            })
        });
        made.collect()
    }
}

/// A layer's cache, full of what is no number, and its sequences' pages.
struct Kept<N> {
    cache: Vec<N>,
    dims: [usize; 4],
    /// Of each sequence.
    pages: Vec<Vec<i32>>,
}

impl<N: CacheNumber> Kept<N> {
    fn new(layer: &Layer, dice: &mut Dice) -> Self {
        let size = layer.heads.head_dim;
        let counts: Vec<_> = layer
            .lengths
            .iter()
            .map(|length| length.div_ceil(PAGE))
            .collect();
        let num_pages = 1 + counts.iter().sum::<usize>();
        let mut free: Vec<_> = (1..i32::try_from(num_pages).unwrap()).collect();
        let pages = counts.iter().map(|&count| {
            (0..count)
                .map(|_| free.swap_remove(dice.below(free.len())))
                .collect()
        });
        let pages = pages.collect();
        let dims = [
            num_pages,
            layer.heads.num_kv_heads,
            size.next_multiple_of(2) + size.max(PAGE),
            PAGE,
        ];
        Self {
            cache: vec![N::nearest(f32::NAN); dims.iter().product()],
            dims,
            pages,
        }
    }

    /// Runs a call. Its outcome, [R, N * H].
    fn run(
        &mut self,
        layer: &Layer,
        rows: &[Vec<Option<(usize, usize)>>],
        isa: Isa,
        num_threads: usize,
    ) -> Result<Vec<f32>, Error> {
        let num_table = self.pages.iter().map(Vec::len).max().unwrap_or(1);
        let mut table = Vec::new();
        for row in rows {
            let sequence = row.iter().flatten().next().map_or(0, |row| row.0);
            let mut pages = self.pages[sequence].clone();
            pages.resize(num_table, -7);
            table.extend(pages);
        }
        let mut out = vec![f32::NAN; rows.concat().len() * layer.heads.query_size()];
        layer.with(rows, &table, |attention| {
            attention.run(
                &Pool::of_threads(num_threads),
                isa,
                &mut self.cache,
                &self.dims,
                &mut out,
            )
        })?;
        Ok(out)
    }
}

/// All sequences at once, in one call, padded to the longest. Of each sequence [length, N * H].
fn at_once<N: CacheNumber>(
    layer: &Layer,
    dice: &mut Dice,
    isa: Isa,
    num_threads: usize,
) -> Vec<Vec<f32>> {
    let longest = *layer.lengths.iter().max().unwrap();
    let rows: Vec<Vec<_>> = layer
        .lengths
        .iter()
        .enumerate()
        .map(|(sequence, &length)| {
            (0..longest)
                .map(|position| (position < length).then_some((sequence, position)))
                .collect()
        })
        .collect();
    let size = layer.heads.query_size();
    let out = Kept::<N>::new(layer, dice)
        .run(layer, &rows, isa, num_threads)
        .unwrap();
    let split = layer.lengths.iter().enumerate().map(|(sequence, &length)| {
        let own = &out[sequence * longest * size..][..longest * size];
        assert!(
            own[length * size..].iter().all(|&number| number == 0.0),
            "padding is 0"
        );
        own[..length * size].to_vec()
    });
    split.collect()
}

/// In spans of random lengths and buckets, alone or beside others, then token by token.
fn in_pieces<N: CacheNumber>(layer: &Layer, dice: &mut Dice, isa: Isa) -> Vec<Vec<f32>> {
    let mut kept = Kept::<N>::new(layer, dice);
    let mut made: Vec<Vec<f32>> = vec![Vec::new(); layer.lengths.len()];
    let size = layer.heads.query_size();
    loop {
        let num_new = dice.pick(&[1, 1, 3, 16, 100]);
        let open: Vec<_> = (0..made.len())
            .filter(|&at| made[at].len() < layer.lengths[at] * size)
            .collect();
        let Some(&first) = open.first() else {
            return made;
        };
        let chosen = if dice.below(2) == 0 {
            vec![first]
        } else {
            open
        };
        let rows: Vec<Vec<_>> = chosen
            .iter()
            .map(|&sequence| {
                let begin = made[sequence].len() / size;
                let num_real = 1 + dice.below(num_new);
                (0..num_new)
                    .map(|token| {
                        (token < num_real && begin + token < layer.lengths[sequence])
                            .then_some((sequence, begin + token))
                    })
                    .collect()
            })
            .collect();
        let out = kept.run(layer, &rows, isa, 1 + dice.below(3)).unwrap();
        for (row, out) in rows.iter().zip(out.chunks(num_new * size)) {
            let num_real = row.iter().flatten().count();
            made[row[0].unwrap().0].extend(&out[..num_real * size]);
        }
    }
}

fn bits(numbers: &[Vec<f32>]) -> Vec<Vec<u32>> {
    numbers
        .iter()
        .map(|numbers| numbers.iter().map(|number| number.to_bits()).collect())
        .collect()
}

/// What a cache of these numbers keeps of one.
#[allow(clippy::cast_possible_truncation)] // to the nearest, as the kernels' own numbers
fn kept<N: CacheNumber + Number>(number: f64) -> f64 {
    f64::from(N::nearest(number as f32).widen())
}

fn check<N: CacheNumber + Number>(seed: u64, is_short: bool, tolerance: f64) {
    let mut dice = Dice(seed);
    let layer = Layer::new(
        &mut dice,
        is_short,
        if seed.is_multiple_of(4) { 600 } else { 90 },
    );
    let truth = layer.truth(kept::<N>);
    for isa in Isa::there() {
        let made = at_once::<N>(&layer, &mut dice, isa, 1);
        for (made, truth) in made.concat().iter().zip(truth.concat()) {
            assert!(
                (f64::from(*made) - truth).abs() <= tolerance,
                "{made} is not {truth}: seed {seed}, {isa:?}"
            );
        }
        let threads = at_once::<N>(&layer, &mut dice, isa, 3);
        assert_eq!(bits(&made), bits(&threads), "seed {seed}, {isa:?}, threads");
        assert_eq!(
            bits(&made),
            bits(&in_pieces::<N>(&layer, &mut dice, isa)),
            "seed {seed}, {isa:?}, pieces"
        );
    }
}

#[test]
fn float32_is_what_the_definition_says_in_any_company() {
    (1..=40).for_each(|seed| check::<f32>(0x9e37_79b9 * seed, false, 3e-5));
}

#[test]
fn bfloat16_is_what_the_definition_says_in_any_company() {
    (1..=24).for_each(|seed| check::<Bf16>(0x9e37_79b9 * seed, true, 3e-5));
    (1..=16).for_each(|seed| check::<Bf16>(0x9e37_79b9 * seed, false, 2e-2));
}

/// Two sequences, of which the second is broken, in one call.
fn beside_a_broken_one(isa: Isa) -> (Vec<f32>, Vec<f32>) {
    let mut dice = Dice(77);
    let mut layer = Layer::new(&mut dice, false, 90);
    (layer.lengths, layer.sinks, layer.window) = (vec![20, 70], Vec::new(), None);
    layer.fused = layer
        .lengths
        .iter()
        .map(|length| dice.numbers(length * layer.row_size(), false))
        .collect();
    let rows: Vec<Vec<_>> = (0..2)
        .map(|sequence| {
            (0..70)
                .map(|at| (at < layer.lengths[sequence]).then_some((sequence, at)))
                .collect()
        })
        .collect();
    let whole = Kept::<f32>::new(&layer, &mut dice)
        .run(&layer, &rows, isa, 1)
        .unwrap();
    layer.fused[1].fill(f32::NAN);
    (
        whole,
        Kept::<f32>::new(&layer, &mut dice)
            .run(&layer, &rows, isa, 1)
            .unwrap(),
    )
}

#[test]
fn what_is_no_number_stays_with_its_sequence_and_is_seen_there() {
    for isa in Isa::there() {
        let (whole, beside) = beside_a_broken_one(isa);
        let (good, bad) = beside.split_at(beside.len() / 2);
        assert_eq!(
            bits(&[good.to_vec()]),
            bits(&[whole[..good.len()].to_vec()])
        );
        assert!(bad.iter().all(|number| number.is_nan()));
    }
}

/// A call of one sequence's first tokens, of a layer of small heads.
fn refused(change: impl FnOnce(&mut Layer, &mut Kept<f32>)) -> String {
    let mut dice = Dice(5);
    let mut layer = Layer::new(&mut dice, false, 90);
    layer.lengths = vec![40];
    layer.fused = vec![dice.numbers(40 * layer.row_size(), false)];
    let mut kept = Kept::<f32>::new(&layer, &mut dice);
    change(&mut layer, &mut kept);
    let rows = [(0..40).map(|at| Some((0, at))).collect()];
    kept.run(&layer, &rows, Isa::Portable, 1)
        .unwrap_err()
        .to_string()
}

#[test]
fn places_outside_of_the_cache_are_refused() {
    let outside = refused(|_, kept| kept.pages[0][1] = 4);
    assert_eq!(outside, "block_table names page 4 of 4");
    assert_eq!(
        refused(|_, kept| kept.pages[0][2] = -1),
        "block_table names page -1 of 4"
    );
    assert_eq!(
        refused(|_, kept| kept.pages[0].truncate(2)),
        "position 39 lies behind 2 pages"
    );
    assert!(refused(|_, kept| kept.dims[2] += 1).starts_with("the cache is [4, "));
    assert!(refused(|layer, _| layer.sinks = vec![0.0; 999]).starts_with("999 sinks of "));
    assert!(refused(|layer, _| layer.window = Some(0)).contains("window"));
}

#[test]
fn sequences_that_name_the_same_page_write_nowhere_else() {
    let mut dice = Dice(9);
    let mut layer = Layer::new(&mut dice, false, 90);
    layer.lengths = vec![16, 16];
    layer.fused = layer
        .lengths
        .iter()
        .map(|length| dice.numbers(length * layer.row_size(), false))
        .collect();
    let mut kept = Kept::<f32>::new(&layer, &mut dice);
    kept.pages = vec![vec![1], vec![1]];
    let rows: Vec<Vec<_>> = (0..2)
        .map(|sequence| (0..16).map(|at| Some((sequence, at))).collect())
        .collect();
    kept.run(&layer, &rows, Isa::Portable, 3).unwrap();
    let size = kept.cache.len() / 3;
    assert!(
        kept.cache[..size]
            .iter()
            .chain(&kept.cache[2 * size..])
            .all(|number| number.is_nan())
    );
}
