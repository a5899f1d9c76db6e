//! Cost of a token on its way out: a whole engine step through the hub, its parts alone.
//!
//! `cargo bench --no-default-features`; criterion prints the time per token under `thrpt` as elements per second.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::sync::Arc;

use _core::detokenize::Detokenizer;
use _core::dialect::{Dialect, push_escaped};
use _core::hub::{EngineGauges, Hub, Rows};
use _core::metrics::ModelMetrics;
use _core::opening::Opening;
use _core::output_options::OutputOptions;
use _core::stop::{StopStrings, StopWatch};
use _core::vocabulary::Vocabulary;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const NUM_ROWS: usize = 256;
const NUM_STEPS: usize = 32;
const WORDS: [&str; 8] = [" the", " of", "ing", " water", ",", " penstock", "\n", " a"];
const STOPS: [&str; 2] = ["\n\nUser:", "</answer>"];

fn vocabulary() -> Vocabulary {
    let spell = |word: &str| word.replace(' ', "Ġ").replace('\n', "Ċ");
    let rows: Vec<String> = WORDS
        .iter()
        .enumerate()
        .map(|(id, word)| format!("\"{}\": {id}", spell(word)))
        .collect();
    let json = format!(
        r#"{{"decoder": {{"type": "ByteLevel"}}, "model": {{"type": "BPE", "vocab": {{{}}}}}}}"#,
        rows.join(", ")
    );
    Vocabulary::from_json(json.as_bytes()).expect("the bench's own tokenizer")
}

fn opening(stop: &[&str], is_streamed: bool) -> Opening {
    Opening {
        response_id: "chatcmpl-0198f3c2a4b87c1e9d4f6a8b2c3d4e5f".to_owned(),
        model: "demo".to_owned(),
        created: 1_700_000_000,
        dialect: Dialect::Chat,
        is_streamed,
        num_choices: 1,
        choices_per_prompt: 1,
        include_usage: false,
        stop: stop.iter().map(ToString::to_string).collect(),
        prompt_tokens: 10,
        max_tokens: 1000,
        keep_alive_s: Some(10.0),
        request_id: "req_0".to_owned(),
        arrival: 0.0,
        prompts: Vec::new(),
        echoes_prompts: false,
        stop_token_ids: Vec::new(),
        output: OutputOptions::default(),
    }
}

/// Steps of one token for each of 256 streams, taken after every step, as the server does.
fn steps(hub: &Hub, keys: &[u64]) {
    let ends = [None; NUM_ROWS];
    let mut ids = [0; NUM_ROWS];
    for step in 0..NUM_STEPS {
        for (row, id) in (0_i32..).zip(&mut ids) {
            *id = (row + i32::try_from(step).unwrap_or(0)) & 7;
        }
        let rows = Rows {
            row_keys: keys,
            ids: &ids,
            ends: &ends,
            logprobs: None,
            prompt_columns: &[],
        };
        #[expect(clippy::cast_precision_loss, reason = "a clock of whole steps")]
        black_box(hub.push_step(rows, EngineGauges::default(), step as f64 / 100.0));
        for key in hub.take_ready() {
            hub.take(key, |frames| black_box(frames.len()));
        }
    }
}

fn push_step(c: &mut Criterion) {
    let vocabulary = Arc::new(vocabulary());
    let mut group = c.benchmark_group("push_step_and_take");
    group.throughput(Throughput::Elements((NUM_ROWS * NUM_STEPS) as u64));
    for (name, stop, is_streamed) in [
        ("streamed", &STOPS[..0], true),
        ("streamed_2_stops", &STOPS, true),
        ("plain", &STOPS[..0], false),
    ] {
        group.bench_function(name, |b| {
            let open = || {
                let hub = Hub::new(
                    vocabulary.clone(),
                    Arc::new(ModelMetrics::new("demo", 4096)),
                    1 << 20,
                );
                let keys: Vec<u64> = (0..NUM_ROWS)
                    .map(|_| hub.open(Arc::new(opening(stop, is_streamed)), 0.0))
                    .collect();
                (hub, keys)
            };
            b.iter_batched_ref(open, |(hub, keys)| steps(hub, keys), BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn parts(c: &mut Criterion) {
    let vocabulary = vocabulary();
    let mut group = c.benchmark_group("per_token");
    group.throughput(Throughput::Elements(WORDS.len() as u64));
    group.bench_function("detokenize", |b| {
        let (mut detokenizer, mut text) = (Detokenizer::new(&vocabulary), String::new());
        b.iter(|| {
            text.clear();
            (0..8).for_each(|id| detokenizer.push(&vocabulary, black_box(id), &mut text));
        });
    });
    for (name, stops) in [("no_stop", &STOPS[..0]), ("2_stops", &STOPS)] {
        group.bench_function(name, |b| {
            let strings = StopStrings::new(stops);
            let (mut watch, mut shown) = (StopWatch::new(&strings), String::new());
            b.iter(|| {
                shown.clear();
                WORDS
                    .iter()
                    .any(|word| watch.push(&strings, black_box(word), &mut shown).is_some())
            });
        });
    }
    group.finish();
}

fn escape(c: &mut Criterion) {
    let mut group = c.benchmark_group("escape");
    for (name, text) in [
        ("word", " penstock".to_owned()),
        ("4_kib", " some \"quoted\" text\n".repeat(205)),
    ] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                push_escaped(black_box(&text), &mut out);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, push_step, parts, escape);
criterion_main!(benches);
