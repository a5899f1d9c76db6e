//! Cost of a token on its way out: a whole engine step through the hub (text, JSON text, a tool call), its parts alone.
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
use _core::tool_call::{ToolFormat, ToolSchemas};
use _core::vocabulary::Vocabulary;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const NUM_ROWS: usize = 256;
const NUM_STEPS: usize = 32;
const WORDS: [&str; 8] = [" the", " of", "ing", " water", ",", " penstock", "\n", " a"];
/// A call in Hermes' format, as a model's tokens cut it.
const CALL: [&str; 32] = [
    "<tool_call>",
    "\n",
    "{\"",
    "name",
    "\":",
    " \"",
    "search",
    "\",",
    " \"",
    "arguments",
    "\":",
    " {\"",
    "query",
    "\":",
    " \"",
    "water",
    " of",
    " the",
    " penstock",
    ",",
    " a",
    " \\\"",
    "turbine",
    "\\\"",
    "\",",
    " \"",
    "limit",
    "\":",
    " ",
    "5",
    "}}",
    "\n</tool_call>",
];
/// An answer under a schema: text with many quotes.
const JSON: [&str; 32] = [
    "{\"", "name", "\":", " \"", "water", "\",", " \"", "items", "\":", " [", "{\"", "id", "\":",
    " ", "17", ",", " \"", "text", "\":", " \"", "a", "\\n", "line", "\"", "},", " {\"", "id",
    "\":", " ", "18", "}", "]}",
];
const TOOLS: &str = r#"[{"type": "function", "function": {"name": "search", "parameters": {"type": "object",
    "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}}}}}]"#;
const STOPS: [&str; 2] = ["\n\nUser:", "</answer>"];

/// The tokens of all texts, each once, a token's id being its place.
fn tokens() -> Vec<&'static str> {
    let mut tokens = WORDS.to_vec();
    for token in CALL.into_iter().chain(JSON) {
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    tokens
}

fn vocabulary() -> Vocabulary {
    let spell = |word: &str| word.replace(' ', "Ġ").replace('\n', "Ċ");
    let rows: Vec<String> = tokens()
        .iter()
        .enumerate()
        .map(|(id, word)| format!("{:?}: {id}", spell(word)))
        .collect();
    let json = format!(
        r#"{{"decoder": {{"type": "ByteLevel"}}, "model": {{"type": "BPE", "vocab": {{{}}}}}}}"#,
        rows.join(", ")
    );
    Vocabulary::from_json(json.as_bytes()).expect("the bench's own tokenizer")
}

/// The ids of `NUM_STEPS` tokens of a text, which is said again and again.
fn ids_of(text: &[&str]) -> Vec<i32> {
    let all = tokens();
    let id = |token| {
        all.iter()
            .position(|each| *each == token)
            .expect("of `tokens`")
    };
    let ids = text
        .iter()
        .map(|token| i32::try_from(id(*token)).expect("a short list"));
    ids.cycle().take(NUM_STEPS).collect()
}

fn with_tools() -> OutputOptions {
    let format = ToolFormat::from_name("hermes").expect("a format that there is");
    let tools = ToolSchemas::parse(TOOLS.as_bytes()).expect("the bench's own tools");
    OutputOptions {
        tools: Some((format, Arc::new(tools))),
        ..OutputOptions::default()
    }
}

fn opening(stop: &[&str], is_streamed: bool, output: OutputOptions) -> Opening {
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
        output,
    }
}

/// Steps of one token for each of 256 streams, taken after every step, as the server does. `told` sees the frames.
fn steps(hub: &Hub, keys: &[u64], text: &[i32], mut told: impl FnMut(&[u8])) {
    let ends = [None; NUM_ROWS];
    for (step, id) in text.iter().enumerate() {
        let ids = [*id; NUM_ROWS];
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
            hub.take(key, |frames| told(frames));
        }
    }
}

fn push_step(c: &mut Criterion) {
    let vocabulary = Arc::new(vocabulary());
    let mut group = c.benchmark_group("push_step_and_take");
    group.throughput(Throughput::Elements((NUM_ROWS * NUM_STEPS) as u64));
    for (name, stop, is_streamed, text, output) in [
        (
            "streamed",
            &STOPS[..0],
            true,
            &WORDS[..],
            OutputOptions::default(),
        ),
        (
            "streamed_2_stops",
            &STOPS,
            true,
            &WORDS,
            OutputOptions::default(),
        ),
        (
            "plain",
            &STOPS[..0],
            false,
            &WORDS,
            OutputOptions::default(),
        ),
        (
            "streamed_json",
            &STOPS[..0],
            true,
            &JSON,
            OutputOptions::default(),
        ),
        ("streamed_tool_call", &STOPS[..0], true, &CALL, with_tools()),
        ("plain_tool_call", &STOPS[..0], false, &CALL, with_tools()),
    ] {
        let ids = ids_of(text);
        let open = || {
            let metrics = Arc::new(ModelMetrics::new("demo", 4096));
            let hub = Hub::new(vocabulary.clone(), metrics, 1 << 20);
            let keys: Vec<u64> = (0..NUM_ROWS)
                .map(|_| hub.open(Arc::new(opening(stop, is_streamed, output.clone())), 0.0))
                .collect();
            (hub, keys)
        };
        if name == "streamed_tool_call" {
            check_call(open(), &ids);
        }
        group.bench_function(name, |b| {
            let run = |(hub, keys): &mut (Hub, Vec<u64>)| {
                steps(hub, keys, &ids, |frames| {
                    black_box(frames.len());
                });
            };
            b.iter_batched_ref(open, run, BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// The text is told as a call, so that the bench measures what it says.
fn check_call((hub, keys): (Hub, Vec<u64>), ids: &[i32]) {
    let mut told = Vec::new();
    steps(&hub, &keys, ids, |frames| told.extend_from_slice(frames));
    let told = String::from_utf8_lossy(&told);
    assert!(
        told.contains("\"tool_calls\"") && !told.contains("tool_call>"),
        "{told}"
    );
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
