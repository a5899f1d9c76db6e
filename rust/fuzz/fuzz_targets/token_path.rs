//! Any ids in any split, with any stop strings, in every dialect: nothing panics, and every frame is whole.
#![no_main]

use std::sync::{Arc, LazyLock};

use _core::dialect::Dialect;
use _core::finish_reason::FinishReason;
use _core::hub::{EngineGauges, Hub, Rows};
use _core::metrics::ModelMetrics;
use _core::opening::Opening;
use _core::output_options::OutputOptions;
use _core::vocabulary::Vocabulary;
use libfuzzer_sys::fuzz_target;

/// Bytes, some words and a special token.
static VOCABULARY: LazyLock<Arc<Vocabulary>> = LazyLock::new(|| {
    let bytes = (0..256).map(|byte| format!("\"<0x{byte:02X}>\": {byte}"));
    let words = ["▁the", "▁water", "\\n\\n", "a"]
        .iter()
        .zip(256..)
        .map(|(word, id)| format!("\"{word}\": {id}"));
    let vocab: Vec<String> = bytes.chain(words).collect();
    let json = format!(
        r#"{{"added_tokens": [{{"id": 260, "content": "<eos>", "special": true}}], "decoder": {{"type": "Sequence",
            "decoders": [{{"type": "Replace", "pattern": {{"String": "▁"}}, "content": " "}}, {{"type": "ByteFallback"}},
            {{"type": "Fuse"}}]}}, "model": {{"type": "BPE", "vocab": {{{}}}, "merges": []}}}}"#,
        vocab.join(", ")
    );
    Arc::new(Vocabulary::from_json(json.as_bytes()).expect("the target's own tokenizer"))
});

fn opening(dialect: Dialect, is_streamed: bool, stop: &[String]) -> Opening {
    Opening {
        dialect,
        response_id: "id".to_owned(),
        model: "m".to_owned(),
        created: 1,
        is_streamed,
        num_choices: 1,
        choices_per_prompt: 1,
        include_usage: true,
        stop: stop.to_vec(),
        stop_token_ids: Vec::new(),
        prompt_tokens: 1,
        prompts: Vec::new(),
        echoes_prompts: false,
        max_tokens: 100,
        keep_alive_s: None,
        request_id: "req".to_owned(),
        arrival: 0.0,
        output: OutputOptions {
            returns_token_ids: true,
            ..OutputOptions::default()
        },
    }
}

fuzz_target!(|input: (u8, bool, Vec<String>, Vec<Vec<u16>>)| {
    let (dialect, is_streamed, stop, steps) = input;
    let dialect = Dialect::ALL[usize::from(dialect) % Dialect::ALL.len()];
    let hub = Hub::new(
        VOCABULARY.clone(),
        Arc::new(ModelMetrics::new("m", 128)),
        1 << 20,
    );
    let key = hub.open(Arc::new(opening(dialect, is_streamed, &stop)), 0.0);
    let mut told = Vec::new();
    for (step, ids) in steps.iter().enumerate() {
        let ids: Vec<i32> = ids.iter().map(|id| i32::from(*id % 300) - 1).collect();
        let is_last = step + 1 == steps.len();
        let rows = Rows {
            row_keys: &[key],
            ids: &ids,
            ends: &[is_last.then_some(FinishReason::Stop)],
            logprobs: None,
            prompt_columns: &[],
        };
        hub.push_step(rows, EngineGauges::default(), 1.0);
        hub.take(key, |bytes| told.extend_from_slice(bytes));
    }
    if dialect == Dialect::Deltas {
        return; // records for this process, and no wire
    }
    let text = std::str::from_utf8(&told).expect("whole characters");
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    for event in events.filter(|event| *event != "[DONE]") {
        serde_json::from_str::<serde_json::Value>(event).expect("an event is JSON");
    }
    if !is_streamed && !told.is_empty() {
        serde_json::from_str::<serde_json::Value>(text).expect("a body is JSON");
    }
});
