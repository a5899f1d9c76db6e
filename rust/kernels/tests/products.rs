//! Products of packed matrices against float64, and a row's result in any company.

#![allow(clippy::unwrap_used)] // a test says so by failing

use penstock_kernels::activation::Activation;
use penstock_kernels::gather::take_column;
use penstock_kernels::isa::Isa;
use penstock_kernels::matrix::{Format, Matrix, PANEL};
use penstock_kernels::number::Bf16;
use penstock_kernels::pack::{pack, unpack_panel};
use penstock_kernels::product::{Product, Rows};
use penstock_kernels::share::Pool;
use penstock_kernels::stored::Stored;
use proptest::prelude::*;

/// Formats that keep what they are given, if that is bfloat16.
const EXACT: [Format; 2] = [Format::F32, Format::Bf16];

const fn int(bits: u8, block: u8, has_min: bool) -> Format {
    Format::Int {
        bits,
        block,
        has_min,
    }
}

/// Those whose products are told apart by nothing but their blocks' numbers.
const ALL: [Format; 8] = [
    EXACT[0],
    EXACT[1],
    int(8, 64, false),
    int(8, 32, true),
    int(8, 16, false),
    int(4, 64, false),
    int(4, 32, true),
    int(4, 16, false),
];

/// Numbers that bfloat16 holds, from -2 to 2.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let upper = u16::try_from(state >> 48).unwrap();
        Bf16::nearest(f32::from(upper) / 16384.0 - 2.0).to_f32()
    };
    (0..count).map(|_| next()).collect()
}

/// Words, so that the bytes of a packed matrix begin where they must.
struct Packed {
    words: Vec<u32>,
    format: Format,
    num_in: usize,
    num_out: usize,
}

impl Packed {
    /// Of numbers [K, N].
    fn new(format: Format, num_in: usize, num_out: usize, numbers: &[f32]) -> Self {
        let mut bytes = vec![0xff; format.matrix_bytes(num_in, num_out)];
        let stored = Stored {
            numbers,
            num_in,
            num_out,
            is_out_first: false,
        };
        pack(&stored, format, &Pool::of_threads(2), &mut bytes).unwrap();
        let words = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|word| u32::from_ne_bytes(*word))
            .collect();
        Self {
            words,
            format,
            num_in,
            num_out,
        }
    }

    fn matrix(&self) -> Matrix<'_> {
        // SAFETY: words are bytes.
        let (_, bytes, _) = unsafe { self.words.align_to::<u8>() };
        Matrix::new(self.format, self.num_in, self.num_out, bytes).unwrap()
    }
}

/// `x matrix + bias` of all rows.
fn product(packed: &Packed, x: &[f32], bias: &[f32], isa: Isa, num_threads: usize) -> Vec<f32> {
    let num_rows = x.len() / packed.num_in;
    let starts = [0, i32::try_from(num_rows).unwrap()];
    let rows = Rows::new(&starts, 1, num_rows).unwrap();
    let matrices = vec![packed.matrix()];
    let product = Product {
        matrices,
        x,
        bias,
        rows,
        activation: Activation::None,
        is_gated: false,
    };
    let mut out = vec![f32::NAN; num_rows * packed.num_out];
    product
        .run(&Pool::of_threads(num_threads), isa, &mut out)
        .unwrap();
    out
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn near_float64(num_rows in 1..40_usize, num_in in 1..150_usize, num_out in 1..70_usize, has_bias: bool, seed: u64) {
        let (x, weights) = (numbers(seed, num_rows * num_in), numbers(!seed, num_in * num_out));
        let bias = if has_bias { numbers(seed ^ 7, num_out) } else { Vec::new() };
        for format in EXACT {
            let packed = Packed::new(format, num_in, num_out, &weights);
            for isa in Isa::there() {
                let made = product(&packed, &x, &bias, isa, 1 + usize::from(has_bias));
                for (index, made) in made.iter().enumerate() {
                    let (row, column) = (index / num_out, index % num_out);
                    let terms = (0..num_in).map(|k| f64::from(x[row * num_in + k]) * f64::from(weights[k * num_out + column]));
                    let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                    let sum = sum + bias.get(column).copied().map_or(0.0, f64::from);
                    let bound = f64::from(f32::EPSILON) * (2.0 + size) * 8.0;
                    prop_assert!((f64::from(*made) - sum).abs() <= bound, "{format} {} [{row}, {column}]", isa.name());
                }
            }
        }
    }

    #[test]
    fn packing_keeps_every_number(num_in in 1..40_usize, num_out in 1..40_usize, seed: u64) {
        let weights = numbers(seed, num_in * num_out);
        let turned: Vec<f32> = (0..num_in * num_out).map(|at| weights[at % num_in * num_out + at / num_in]).collect();
        for format in EXACT {
            let packed = Packed::new(format, num_in, num_out, &weights);
            let mut bytes = vec![0xff; format.matrix_bytes(num_in, num_out)];
            let stored = Stored { numbers: &turned, num_in, num_out, is_out_first: true };
            pack(&stored, format, &Pool::of_threads(1), &mut bytes).unwrap();
            let words: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word)).collect();
            prop_assert_eq!(&words, &packed.words, "[N, K] packs as [K, N]");
            for column in 0..num_out {
                let wanted: Vec<f32> = (0..num_in).map(|k| weights[k * num_out + column]).collect();
                let mut taken = vec![0.0; num_in];
                take_column(&packed.matrix(), column, &mut taken);
                prop_assert_eq!(&taken, &wanted);
                let mut panel = vec![[0.0; PANEL]; num_in];
                unpack_panel(&packed.matrix(), column / PANEL, &mut panel);
                let unpacked: Vec<f32> = panel.iter().map(|row| row[column % PANEL]).collect();
                prop_assert_eq!(&unpacked, &wanted);
            }
        }
    }
}

#[test]
fn a_row_is_the_same_bit_for_bit_in_any_company() {
    let (num_in, num_out) = (67, 100);
    let (x, weights) = (numbers(3, 131 * num_in), numbers(4, num_in * num_out));
    for format in ALL {
        let packed = Packed::new(format, num_in, num_out, &weights);
        for isa in Isa::there() {
            let alone: Vec<f32> = x
                .chunks(num_in)
                .flat_map(|row| product(&packed, row, &[], isa, 1))
                .collect();
            for num_rows in (1..=24).chain([31, 64, 100, 131]) {
                for num_threads in [1, 2, 3] {
                    let together = product(&packed, &x[..num_rows * num_in], &[], isa, num_threads);
                    assert_eq!(
                        bits(&together),
                        bits(&alone[..num_rows * num_out]),
                        "{format} {} {num_rows}",
                        isa.name()
                    );
                }
            }
        }
    }
}

#[test]
fn a_row_that_is_not_a_number_leaves_the_others_alone() {
    let (num_in, num_out, num_rows) = (33, 20, 9);
    let mut x = numbers(5, num_rows * num_in);
    let weights = numbers(6, num_in * num_out);
    for format in ALL {
        let packed = Packed::new(format, num_in, num_out, &weights);
        for isa in Isa::there() {
            let before = product(&packed, &x, &[], isa, 2);
            let good = x.clone();
            x[4 * num_in + 7] = f32::NAN;
            x[4 * num_in + 8] = f32::INFINITY;
            let after = product(&packed, &x, &[], isa, 2);
            x = good;
            let row = 4 * num_out..5 * num_out;
            assert!(after[row.clone()].iter().all(|number| number.is_nan()));
            assert_eq!(bits(&after[..row.start]), bits(&before[..row.start]));
            assert_eq!(bits(&after[row.end..]), bits(&before[row.end..]));
        }
    }
}

#[test]
fn each_row_has_the_matrix_of_its_expert_and_the_others_are_zero() {
    let (num_in, num_out, num_rows) = (10, 18, 12);
    let x = numbers(7, num_rows * num_in);
    let bias = numbers(8, 3 * num_out);
    let starts = [1, 5, 5, 11]; // the second expert has no row, the first and the last row have no expert
    for (format, isa) in ALL
        .iter()
        .flat_map(|format| Isa::there().into_iter().map(move |isa| (*format, isa)))
    {
        let experts: Vec<Packed> = (0..3)
            .map(|seed| {
                Packed::new(
                    format,
                    num_in,
                    num_out,
                    &numbers(20 + seed, num_in * num_out),
                )
            })
            .collect();

        let matrices = experts.iter().map(Packed::matrix).collect();
        let rows = Rows::new(&starts, 3, num_rows).unwrap();
        let product_of_all = Product {
            matrices,
            x: &x,
            bias: &bias,
            rows,
            activation: Activation::None,
            is_gated: false,
        };
        let mut out = vec![f32::NAN; num_rows * num_out];
        product_of_all
            .run(&Pool::of_threads(2), isa, &mut out)
            .unwrap();
        for (row, made) in out.chunks(num_out).enumerate() {
            let wanted = match row {
                1..5 => product(
                    &experts[0],
                    &x[row * num_in..][..num_in],
                    &bias[..num_out],
                    isa,
                    1,
                ),
                5..11 => product(
                    &experts[2],
                    &x[row * num_in..][..num_in],
                    &bias[2 * num_out..],
                    isa,
                    1,
                ),
                _ => vec![0.0; num_out],
            };
            assert_eq!(bits(made), bits(&wanted), "row {row}");
        }
    }
}

#[test]
fn gates_are_activated_and_multiplied() {
    let (num_in, num_inner, num_rows) = (40, 32, 7);
    let (x, weights) = (
        numbers(9, num_rows * num_in),
        numbers(10, num_in * 2 * num_inner),
    );
    let bias = numbers(11, 2 * num_inner);
    let starts = [0, i32::try_from(num_rows).unwrap()];
    for (format, isa) in ALL
        .iter()
        .flat_map(|format| Isa::there().into_iter().map(move |isa| (*format, isa)))
    {
        let packed = Packed::new(format, num_in, 2 * num_inner, &weights);
        let sums = product(&packed, &x, &bias, isa, 1);
        let rows = Rows::new(&starts, 1, num_rows).unwrap();
        let gated = Product {
            matrices: vec![packed.matrix()],
            x: &x,
            bias: &bias,
            rows,
            activation: Activation::Silu,
            is_gated: true,
        };
        let mut out = vec![f32::NAN; num_rows * num_inner];
        gated.run(&Pool::of_threads(3), isa, &mut out).unwrap();
        for (index, made) in out.iter().enumerate() {
            let (row, column) = (index / num_inner, index % num_inner);
            let gate = f64::from(sums[row * 2 * num_inner + column]);
            let wanted = gate / (1.0 + (-gate).exp())
                * f64::from(sums[row * 2 * num_inner + num_inner + column]);
            assert!(
                (f64::from(*made) - wanted).abs() <= 1e-6 * wanted.abs() + 1e-9,
                "{made} {wanted}"
            );
        }
    }
}

#[test]
fn whole_numbers_are_taken_and_unpacked_alike_and_near_what_was_packed() {
    let (num_in, num_out) = (70, 21);
    let weights = numbers(12, num_in * num_out);
    for format in &ALL[2..] {
        let packed = Packed::new(*format, num_in, num_out, &weights);
        // Of numbers from -2 to 2 half a step; with 4 bits a whole one, as there is one code less above than below.
        let bound = if matches!(format, Format::Int { bits: 8, .. }) {
            2.0 / 127.0 * 0.501
        } else {
            4.0 / 15.0 * 1.1
        };
        for column in 0..num_out {
            let mut taken = vec![f32::NAN; num_in];
            take_column(&packed.matrix(), column, &mut taken);
            let mut panel = vec![[0.0; PANEL]; num_in];
            unpack_panel(&packed.matrix(), column / PANEL, &mut panel);
            for (k, number) in taken.iter().enumerate() {
                assert_eq!(number.to_bits(), panel[k][column % PANEL].to_bits());
                let off = (number - weights[k * num_out + column]).abs();
                assert!(off <= bound, "{format} [{k}, {column}] is {off} off");
            }
        }
    }
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    for (starts, num_matrices) in [
        (&[0, 9][..], 1),
        (&[-1, 3], 1),
        (&[3, 2], 1),
        (&[0, 2], 2),
        (&[], 1),
        (&[0, 1, 0], 2),
    ] {
        assert!(Rows::new(starts, num_matrices, 8).is_err(), "{starts:?}");
    }
}
