mod cache;
mod events;
mod joined;
mod structures;
mod tokens;

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::metrics::{Counter, ModelMetrics};
use crate::output_options::OutputOptions;
use crate::vocabulary::testing::byte_level;

const STOP: Option<FinishReason> = Some(FinishReason::Stop);
const LENGTH: Option<FinishReason> = Some(FinishReason::Length);

fn opening(dialect: Dialect, is_streamed: bool) -> Opening {
    Opening {
        response_id: "chatcmpl-0".to_owned(),
        model: "a/\"model\"".to_owned(),
        created: 1_700_000_000,
        dialect,
        is_streamed,
        num_choices: 1,
        choices_per_prompt: 1,
        include_usage: true,
        stop: Vec::new(),
        prompt_tokens: 7,
        max_tokens: 100,
        keep_alive_s: Some(10.0),
        request_id: "req_0".to_owned(),
        arrival: 0.5,
        stop_token_ids: Vec::new(),
        prompts: Vec::new(),
        echoes_prompts: false,
        output: OutputOptions::default(),
    }
}

fn ids_of(text: &str) -> Vec<i32> {
    text.bytes().map(i32::from).collect()
}

/// The events of a body of frames: each `data` parsed, `[DONE]` as a string.
fn events(frames: &[u8]) -> Vec<Value> {
    let frames = std::str::from_utf8(frames).unwrap();
    assert!(frames.is_empty() || frames.ends_with("\n\n"));
    let data = frames
        .split_terminator("\n\n")
        .map(|frame| frame.strip_prefix("data: ").unwrap());
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| Value::from(data)))
        .collect()
}

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| byte_level(&["word"]));

/// A stream with what it needs.
struct Rig {
    metrics: ModelMetrics,
    stream: Stream,
}

impl Rig {
    fn new(opening: Opening) -> Self {
        let stream = Stream::open(Arc::new(opening), &VOCABULARY, 1.0);
        Self {
            metrics: ModelMetrics::new("m", 128),
            stream,
        }
    }

    fn push(&mut self, choice: usize, ids: &[i32], end: Option<FinishReason>) -> bool {
        let mut step = Step::new(&VOCABULARY, &self.metrics, 2.0);
        let is_freed = self.stream.push(
            choice,
            Row {
                ids,
                end,
                logprobs: None,
                first: 0,
            },
            &mut step,
        );
        self.metrics.add(Counter::TokensWasted, step.num_wasted);
        is_freed
    }

    fn take(&mut self) -> (Vec<u8>, u16) {
        let taken = self.stream.take(<[u8]>::to_vec);
        (taken.read, taken.status)
    }

    fn count(&self, counter: Counter) -> u64 {
        self.metrics.count_of(counter)
    }
}

fn text(text: &str, num_tokens: u32) -> Sample {
    Sample {
        text: text.to_owned(),
        num_tokens,
        ..Sample::default()
    }
}

fn split(ids: &[i32], cuts: &[usize]) -> Vec<Vec<i32>> {
    let mut at: Vec<usize> = cuts
        .iter()
        .map(|cut| cut % (ids.len() + 1))
        .chain([0, ids.len()])
        .collect();
    at.sort_unstable();
    at.windows(2)
        .map(|pair| ids[pair[0]..pair[1]].to_vec())
        .collect()
}

/// Ids that end characters, begin them, break them, and say nothing.
fn any_ids() -> impl Strategy<Value = Vec<i32>> {
    let likely = prop::sample::select(ids_of("ab\n\u{e9}\""));
    prop::collection::vec(prop_oneof![0..259_i32, likely], 0..40)
}
