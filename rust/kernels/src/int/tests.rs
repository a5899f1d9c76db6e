//! Products of whole numbers against plain sums in float64, and against themselves in other company.

use proptest::prelude::*;

use super::activations::Activations;
use super::codes::dequantize_column;
use super::layout::{Bits, IntLayout};
use super::panel::IntPanel;
use super::quantize::quantize_block;
use crate::isa::Isa;
use crate::matrix::PANEL;
use crate::simd::dispatch;

const LAYOUTS: [IntLayout; 12] = {
    let mut layouts = [IntLayout {
        bits: Bits::Four,
        block: 16,
        has_min: false,
    }; 12];
    let mut at = 0;
    while at < 12 {
        layouts[at] = IntLayout {
            bits: if at % 2 == 0 { Bits::Four } else { Bits::Eight },
            block: 16 << (at / 2 % 3),
            has_min: at >= 6,
        };
        at += 1;
    }
    layouts
};

/// Numbers between -1 and 1 from a seed, a few of them large.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let unit = f32::from(u16::try_from(state >> 48).expect("16 bits")) / 32768.0 - 1.0;
            if (state >> 40).trailing_zeros() >= 6 {
                unit * 8.0
            } else {
                unit
            }
        })
        .collect()
}

fn make_panel(layout: IntLayout, num_in: usize, seed: u64) -> Vec<u8> {
    let weights = numbers(seed, num_in * PANEL);
    let (rows, _) = weights.as_chunks::<PANEL>();
    let mut panel = vec![0; layout.panel_bytes(num_in)];
    for (rows, bytes) in rows
        .chunks(layout.block)
        .zip(panel.chunks_exact_mut(layout.block_bytes()))
    {
        quantize_block(Isa::Portable, rows, layout, bytes);
    }
    panel
}

fn product(
    isa: Isa,
    x: &[f32],
    num_in: usize,
    panel: &[u8],
    layout: IntLayout,
) -> Vec<[f32; PANEL]> {
    let mut activations = Activations::default();
    activations.quantize(isa, x, num_in, layout);
    let mut sums = vec![[f32::NAN; PANEL]; activations.num_rows()];
    dispatch(
        isa,
        IntPanel {
            layout,
            weights: panel,
            x: &activations,
            first_row: 0,
            sums: &mut sums,
        },
    );
    sums
}

fn bits(sums: &[[f32; PANEL]]) -> Vec<u32> {
    sums.as_flattened()
        .iter()
        .map(|sum| sum.to_bits())
        .collect()
}

fn columns(panel: &[u8], layout: IntLayout, num_in: usize) -> Vec<Vec<f32>> {
    (0..PANEL)
        .map(|column| {
            let mut out = vec![0.0; num_in];
            dequantize_column(panel, layout, column, &mut out);
            out
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_product_is_near_the_sum_in_float64(num_rows in 1usize..20, num_in in 1usize..200, seed: u64, at in 0usize..12) {
        let layout = LAYOUTS[at];
        let (x, panel) = (numbers(seed, num_rows * num_in), make_panel(layout, num_in, !seed));
        let weights = columns(&panel, layout, num_in);
        for isa in Isa::there() {
            let totals = product(isa, &x, num_in, &panel, layout);
            for (x, totals) in x.chunks_exact(num_in).zip(&totals) {
                for (weights, total) in weights.iter().zip(totals) {
                    let exact: f64 = x.iter().zip(weights).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                    // Half a step of each activation, of which the largest of its block is 2047.
                    let largest = |values: &[f32]| values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                    let bound: f64 = x
                        .chunks(layout.block)
                        .zip(weights.chunks(layout.block))
                        .map(|(x, w)| {
                            let sum: f64 = w.iter().map(|w| f64::from(w.abs())).sum();
                            f64::from(largest(x)) * sum * (0.5 / 2047.0 + 1e-5)
                        })
                        .sum();
                    prop_assert!((f64::from(*total) - exact).abs() <= bound + 1e-6, "{total} for {exact}, within {bound}");
                }
            }
        }
    }

    #[test]
    fn a_row_is_the_same_in_any_company_and_with_any_instruction_set(num_rows in 1usize..131, num_in in 1usize..200, seed: u64, at in 0usize..12) {
        let layout = LAYOUTS[at];
        let (x, panel) = (numbers(seed, num_rows * num_in), make_panel(layout, num_in, !seed));
        let alone: Vec<u32> = x
            .chunks_exact(num_in)
            .flat_map(|row| bits(&product(Isa::Portable, row, num_in, &panel, layout)))
            .collect();
        for isa in Isa::there() {
            prop_assert_eq!(&bits(&product(isa, &x, num_in, &panel, layout)), &alone);
        }
    }
}

#[test]
fn a_number_that_is_none_spoils_its_own_row_only() {
    let layout = LAYOUTS[4];
    let mut x = numbers(3, 3 * 100);
    let panel = make_panel(layout, 100, 5);
    let before = product(Isa::Portable, &x, 100, &panel, layout);
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        x[150] = odd;
        for isa in Isa::there() {
            let totals = product(isa, &x, 100, &panel, layout);
            assert!(totals[1].iter().all(|total| total.is_nan()));
            assert_eq!(bits(&totals[..1]), bits(&before[..1]));
            assert_eq!(bits(&totals[2..]), bits(&before[2..]));
        }
    }
}

#[test]
fn the_widest_numbers_do_not_overflow() {
    for layout in LAYOUTS {
        let x: Vec<f32> = (0..256)
            .map(|k| if k % 2 == 0 { 1e3 } else { -1e3 })
            .collect();
        let rows: Vec<[f32; PANEL]> = x.iter().map(|x| [-x * 2.0; PANEL]).collect();
        let mut panel = vec![0; layout.panel_bytes(256)];
        for (rows, bytes) in rows
            .chunks(layout.block)
            .zip(panel.chunks_exact_mut(layout.block_bytes()))
        {
            quantize_block(Isa::Portable, rows, layout, bytes);
        }
        for isa in Isa::there() {
            for total in product(isa, &x, 256, &panel, layout)[0] {
                assert!(
                    (total + 5.12e8).abs() < 5.12e8 * 0.07,
                    "{layout:?} {isa:?}: {total}"
                );
            }
        }
    }
}

#[test]
fn a_panel_of_zeros_gives_zeros() {
    for layout in LAYOUTS {
        let mut block = vec![1; layout.block_bytes()];
        quantize_block(
            Isa::Portable,
            &vec![[0.0; PANEL]; layout.block],
            layout,
            &mut block,
        );
        let x = numbers(1, layout.block);
        let sums = product(Isa::Portable, &x, layout.block, &block, layout);
        assert!(sums[0].iter().all(|sum| *sum == 0.0), "{sums:?}");
    }
}

/// The squared error of a block of 32 where the number of largest magnitude falls on -8, as llama.cpp has it.
fn plain_error(block: &[f32]) -> f32 {
    let extreme = block.iter().fold(0.0f32, |extreme, number| {
        if number.abs() > extreme.abs() {
            *number
        } else {
            extreme
        }
    });
    let scale = extreme / -8.0;
    let off = |number: &f32| number - (number / scale).round().clamp(-8.0, 7.0) * scale;
    block.iter().map(|number| off(number).powi(2)).sum()
}

#[test]
fn four_bits_lose_less_than_where_the_largest_number_makes_the_scale() {
    let layout = IntLayout {
        bits: Bits::Four,
        block: 32,
        has_min: false,
    };
    for seed in 0..20 {
        // Sums of three: near to a bell.
        let rows: Vec<[f32; PANEL]> = numbers(seed, 32 * PANEL * 3)
            .as_chunks::<3>()
            .0
            .iter()
            .map(|three| three.iter().sum())
            .collect::<Vec<f32>>()
            .as_chunks()
            .0
            .to_vec();
        let mut bytes = vec![0; layout.block_bytes()];
        quantize_block(Isa::Portable, &rows, layout, &mut bytes);
        for (column, kept) in columns(&bytes, layout, 32).iter().enumerate() {
            let block: Vec<f32> = rows.iter().map(|row| row[column]).collect();
            let pairs = block.iter().zip(kept);
            let error: f32 = pairs.map(|(number, kept)| (number - kept).powi(2)).sum();
            assert!(error <= plain_error(&block) * 1.0001, "{seed} {column}");
        }
    }
}
