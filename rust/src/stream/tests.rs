mod structures;
mod tokens;

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::cache_use::{CacheExit, CacheUse};
use crate::dialect::{Record, records};
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

fn found(num_cached_tokens: u32) -> CacheUse {
    CacheUse {
        num_cached_tokens,
        num_queried_tokens: 7,
        exit: Some(CacheExit::Differs),
    }
}

#[test]
fn a_prompt_counts_once_however_many_choices_find_it_cached() {
    let mut rig = Rig::new(Opening {
        num_choices: 4,
        choices_per_prompt: 2,
        ..opening(Dialect::Completions, false)
    });
    for (choice, num_cached_tokens) in [(0, 0), (1, 7), (2, 3), (3, 6)] {
        let _ = rig
            .stream
            .mark_scheduled(choice, found(num_cached_tokens), 1.5);
    }
    assert_eq!(rig.stream.receipt().cached_tokens, 3);
}

#[test]
fn a_report_of_the_cache_stands_beside_the_usage_where_it_was_asked_for() {
    let dialects = [
        Dialect::Chat,
        Dialect::Completions,
        Dialect::Responses,
        Dialect::Messages,
    ];
    let expected =
        serde_json::json!([{"cached_tokens": 4, "reason": "differs", "left_at_token": 4}]);
    for (dialect, reports_cache) in dialects
        .into_iter()
        .flat_map(|it| [(it, true), (it, false)])
    {
        let told = if reports_cache {
            expected.clone()
        } else {
            Value::Null
        };
        for is_streamed in [true, false] {
            let mut rig = Rig::new(Opening {
                include_usage: false,
                output: OutputOptions {
                    reports_cache,
                    ..OutputOptions::default()
                },
                ..opening(dialect, is_streamed)
            });
            let _ = rig.stream.mark_scheduled(0, found(4), 1.5);
            rig.push(0, &ids_of("a"), LENGTH);
            let bytes = rig.take().0;
            let text = String::from_utf8(bytes).unwrap();
            let mut objects = text.lines().filter_map(|line| {
                serde_json::from_str::<Value>(line.strip_prefix("data: ").unwrap_or(line)).ok()
            });
            let is_told = |object: &Value| {
                [object, &object["response"]]
                    .iter()
                    .find_map(|it| it.get("penstock"))
                    .map(|it| it["cache"].clone())
            };
            let found = objects.find_map(|object| is_told(&object));
            assert_eq!(found.unwrap_or_default(), told, "{dialect:?} {is_streamed}");
        }
    }
}

#[test]
fn what_a_cache_had_is_told_in_usage_once_for_a_choice() {
    let mut rig = Rig::new(opening(Dialect::Chat, false));
    assert!(rig.stream.mark_scheduled(0, found(4), 1.5));
    assert!(!rig.stream.mark_scheduled(0, found(6), 1.7));
    assert!(!rig.stream.mark_scheduled(9, found(6), 1.7));
    rig.push(0, &ids_of("a"), LENGTH);
    let body: Value = serde_json::from_slice(&rig.take().0).unwrap();
    let details = &body["usage"]["prompt_tokens_details"];
    assert_eq!(details["cached_tokens"], Value::from(4));
}

#[test]
fn chat_events_come_in_openais_order() {
    let mut rig = Rig::new(opening(Dialect::Chat, true));
    rig.push(0, &[256, -1], None);
    rig.push(0, &[256, 257], STOP);
    let (frames, status) = rig.take();
    let events = events(&frames);
    let choices: Vec<&Value> = events[..4]
        .iter()
        .map(|event| &event["choices"][0])
        .collect();
    assert_eq!(
        choices[0]["delta"],
        serde_json::json!({"role": "assistant", "content": ""})
    );
    assert_eq!(choices[1]["delta"], serde_json::json!({"content": "word"}));
    assert_eq!(choices[3]["delta"], serde_json::json!({}));
    assert_eq!(choices[3]["finish_reason"], "stop");
    assert!(
        events[..4]
            .iter()
            .all(|event| event["object"] == "chat.completion.chunk")
    );
    assert!(
        events[..4]
            .iter()
            .all(|event| event.as_object().unwrap()["usage"].is_null())
    );
    assert_eq!(events[4]["choices"], serde_json::json!([]));
    assert_eq!(events[4]["usage"]["completion_tokens"], 3);
    assert_eq!(events[4]["usage"]["total_tokens"], 10);
    assert!(
        events[..5]
            .iter()
            .all(|event| event["id"] == "chatcmpl-0" && event["model"] == "a/\"model\"")
    );
    assert_eq!(
        (&events[5], events.len(), status),
        (&Value::from("[DONE]"), 6, 200)
    );
}

#[test]
fn without_include_usage_no_event_names_it() {
    let mut rig = Rig::new(Opening {
        include_usage: false,
        ..opening(Dialect::Completions, true)
    });
    rig.push(0, &[256], LENGTH);
    let frames = rig.take().0;
    assert!(!String::from_utf8_lossy(&frames).contains("usage"));
    let events = events(&frames);
    assert_eq!(
        (&events[0]["choices"][0]["text"], &events[0]["object"]),
        (&"word".into(), &"text_completion".into())
    );
    assert_eq!(
        (&events[1]["choices"][0]["text"], events.len()),
        (&"".into(), 3)
    );
    assert_eq!(events[1]["choices"][0]["finish_reason"], "length");
}

#[test]
fn every_token_is_an_event_even_when_several_come_at_once() {
    let mut rig = Rig::new(opening(Dialect::Chat, true));
    rig.push(0, &[256, 256, 256, -1], None);
    assert_eq!(events(&rig.take().0).len(), 1 + 3);
}

#[test]
fn what_was_held_back_comes_before_the_finish() {
    let mut rig = Rig::new(Opening {
        stop: vec!["END".to_owned()],
        ..opening(Dialect::Completions, true)
    });
    rig.push(0, &ids_of("aEN"), LENGTH);
    let texts: Vec<Value> = events(&rig.take().0)
        .iter()
        .map(|event| event["choices"][0]["text"].clone())
        .collect();
    assert_eq!(
        texts[..3],
        [Value::from("a"), Value::from("EN"), Value::from("")]
    );
}

#[test]
fn tokens_count_up_to_the_one_that_completed_the_stop_string() {
    let mut rig = Rig::new(Opening {
        stop: vec!["END".to_owned()],
        ..opening(Dialect::Chat, false)
    });
    assert!(rig.push(0, &ids_of("aENDbc"), None));
    assert!(
        rig.push(0, &ids_of("de"), None),
        "the stream has ended: its row must go"
    );
    let (body, status) = rig.take();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let message = serde_json::json!({"role": "assistant", "content": "a", "refusal": null});
    assert_eq!((&body["choices"][0]["message"], status), (&message, 200));
    assert_eq!(
        (&body["usage"]["completion_tokens"], &body["object"]),
        (&4.into(), &"chat.completion".into())
    );
    assert_eq!(
        (
            rig.count(Counter::TokensWasted),
            rig.count(Counter::SuccessStop)
        ),
        (4, 1)
    );
}

#[test]
fn choices_end_one_by_one_and_the_stream_with_the_last() {
    let mut rig = Rig::new(Opening {
        num_choices: 2,
        ..opening(Dialect::Chat, true)
    });
    rig.push(1, &[256], LENGTH);
    assert_eq!(rig.take().1, 0);
    assert!(
        !rig.push(1, &[256], None),
        "an ended choice takes nothing, and its row is not reported again"
    );
    assert!(rig.take().0.is_empty());
    rig.push(0, &[], STOP);
    let (frames, status) = rig.take();
    let indices: Vec<Value> = events(&frames)
        .iter()
        .map(|event| event["choices"][0]["index"].clone())
        .collect();
    assert_eq!(
        (status, indices),
        (200, vec![0.into(), 0.into(), Value::Null, Value::Null])
    );
    assert!(
        rig.push(2, &[256], None),
        "a choice that does not exist has nobody to take it"
    );
}

#[test]
fn an_error_ends_a_stream_with_a_frame_and_a_plain_answer_with_its_body() {
    let kind = ErrorKind::EngineError;
    for is_streamed in [true, false] {
        let mut rig = Rig::new(opening(Dialect::Chat, is_streamed));
        rig.push(0, &[256], None);
        assert!(rig.stream.fail(kind, "no", None, &rig.metrics, 3.0));
        assert!(!rig.stream.fail(kind, "no", None, &rig.metrics, 3.0));
        let (bytes, status) = rig.take();
        let error = if is_streamed {
            let events = events(&bytes);
            assert_eq!(events.last(), Some(&Value::from("[DONE]")));
            events[events.len() - 2]["error"].clone()
        } else {
            serde_json::from_slice::<Value>(&bytes).unwrap()["error"].clone()
        };
        assert_eq!(
            (&error["code"], status, rig.count(Counter::SuccessError)),
            (&"engine_error".into(), 500, 1)
        );
    }
}

fn text(text: &str, num_tokens: u32) -> Sample {
    Sample {
        text: text.to_owned(),
        num_tokens,
        ..Sample::default()
    }
}

#[test]
fn a_foreign_engines_text_goes_the_same_way() {
    let mut rig = Rig::new(Opening {
        stop: vec!["\n\n".to_owned()],
        ..opening(Dialect::Completions, false)
    });
    let mut step = Step::new(&VOCABULARY, &rig.metrics, 2.0);
    assert!(!rig.stream.push_sample(0, &text("one\n", 2), &mut step));
    assert!(rig.stream.push_sample(0, &text("\ntwo", 1), &mut step));
    drop(step);
    let body: Value = serde_json::from_slice(&rig.take().0).unwrap();
    assert_eq!(
        (
            &body["choices"][0]["text"],
            &body["usage"]["completion_tokens"]
        ),
        (&"one".into(), &3.into())
    );
}

#[test]
fn a_row_that_was_not_a_number_fails_its_own_stream() {
    let mut rig = Rig::new(Opening {
        num_choices: 2,
        ..opening(Dialect::Chat, true)
    });
    rig.push(0, &[256], None);
    rig.push(1, &[256, -1], Some(FinishReason::Error));
    assert!(rig.push(0, &[256], None), "the other choice's row must go");
    let taken = rig.stream.take(<[u8]>::to_vec);
    let events = events(&taken.read);
    let error = &events[events.len() - 2]["error"];
    assert_eq!(
        (&error["code"], taken.status),
        (&"engine_error".into(), 500)
    );
    let receipt = taken.receipt.unwrap();
    assert_eq!(receipt.finish_reason, Some(FinishReason::Error));
    assert_eq!(receipt.completion_tokens, 2);
    assert_eq!(rig.count(Counter::SuccessError), 2);
}

#[test]
fn a_receipt_tells_what_the_stream_came_to() {
    let mut rig = Rig::new(opening(Dialect::Completions, false));
    assert_eq!(rig.stream.take(<[u8]>::len).receipt, None);
    rig.push(0, &[256, 257], STOP);
    let receipt = Receipt {
        prompt_tokens: 7,
        cached_tokens: 0,
        completion_tokens: 2,
        time_to_first_token_s: Some(1.5),
        finish_reason: STOP,
        num_malformed_calls: 0,
        error: None,
        record: None,
    };
    assert_eq!(rig.stream.take(<[u8]>::len).receipt, Some(receipt));
}

#[test]
fn silence_is_each_streams_own() {
    let silent_for = |keep_alive_s, dialect| {
        let mut rig = Rig::new(Opening {
            keep_alive_s,
            ..opening(dialect, true)
        });
        rig.stream.ping_if_idle(6.0)
    };
    assert!(silent_for(Some(5.0), Dialect::Chat));
    assert!(!silent_for(Some(6.0), Dialect::Chat));
    assert!(!silent_for(None, Dialect::Completions));
    assert!(
        !silent_for(Some(1.0), Dialect::Deltas),
        "it has no comments"
    );
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

/// What any dialect tells of a choice: its text, why it ended, and how many tokens it cost.
type Told = (String, String, u64);

fn told(dialect: Dialect, is_streamed: bool, bytes: &[u8]) -> Told {
    match (dialect, is_streamed) {
        (Dialect::Deltas, _) => added_up(records(bytes)),
        (Dialect::Responses, _) => response(bytes, is_streamed),
        (Dialect::Messages, _) => message(bytes, is_streamed),
        (_, true) => joined(&events(bytes)),
        (_, false) => plain(bytes),
    }
}

fn added_up<'a>(records: impl Iterator<Item = Record<'a>>) -> Told {
    let (mut text, mut reason, mut num_tokens) = (String::new(), None, 0);
    for record in records {
        text += record.text;
        num_tokens += u64::from(record.num_tokens);
        assert_eq!((record.index, reason), (0, None), "nothing follows the end");
        reason = record.reason;
    }
    (text, reason.unwrap().name().to_owned(), num_tokens)
}

fn joined(events: &[Value]) -> Told {
    let choices = events.iter().map(|event| &event["choices"][0]);
    let texts = choices.clone().filter_map(|choice| {
        let text = choice["text"].as_str();
        text.or(choice["delta"]["content"].as_str())
    });
    let reason = choices
        .clone()
        .find_map(|choice| choice["finish_reason"].as_str());
    let usage = events.iter().find(|event| !event["usage"].is_null());
    let num_tokens = usage.unwrap()["usage"]["completion_tokens"].as_u64();
    (
        texts.collect(),
        reason.unwrap().to_owned(),
        num_tokens.unwrap(),
    )
}

fn plain(body: &[u8]) -> Told {
    let body: Value = serde_json::from_slice(body).unwrap();
    let choice = &body["choices"][0];
    let text = choice["text"]
        .as_str()
        .or(choice["message"]["content"].as_str());
    (
        text.unwrap().to_owned(),
        choice["finish_reason"].as_str().unwrap().to_owned(),
        body["usage"]["completion_tokens"].as_u64().unwrap(),
    )
}

/// The data of events that have names.
fn named_events(bytes: &[u8]) -> Vec<Value> {
    let lines = std::str::from_utf8(bytes).unwrap().lines();
    let data = lines.filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn response(bytes: &[u8], is_streamed: bool) -> Told {
    let response = if is_streamed {
        named_events(bytes).pop().unwrap()["response"].take()
    } else {
        serde_json::from_slice(bytes).unwrap()
    };
    let text = response["output"][0]["content"][0]["text"]
        .as_str()
        .unwrap();
    let reason = match response["status"].as_str() {
        Some("completed") => "stop",
        Some("incomplete") => "length",
        other => panic!("{other:?}"),
    };
    let num_tokens = response["usage"]["output_tokens"].as_u64().unwrap();
    (text.to_owned(), reason.to_owned(), num_tokens)
}

fn message(bytes: &[u8], is_streamed: bool) -> Told {
    let (text, end) = if is_streamed {
        let events = named_events(bytes);
        let texts = events.iter().filter_map(|it| it["delta"]["text"].as_str());
        let mut end = events
            .iter()
            .find(|it| it["type"] == "message_delta")
            .unwrap()
            .clone();
        end["stop_reason"] = end["delta"]["stop_reason"].take();
        (texts.collect(), end)
    } else {
        let message: Value = serde_json::from_slice(bytes).unwrap();
        let text = message["content"][0]["text"].as_str().unwrap();
        (text.to_owned(), message)
    };
    let reason = match end["stop_reason"].as_str() {
        Some("end_turn" | "stop_sequence") => "stop",
        Some("max_tokens") => "length",
        other => panic!("{other:?}"),
    };
    let num_tokens = end["usage"]["output_tokens"].as_u64().unwrap();
    (text, reason.to_owned(), num_tokens)
}

/// Ids that end characters, begin them, break them, and say nothing.
fn any_ids() -> impl Strategy<Value = Vec<i32>> {
    let likely = prop::sample::select(ids_of("ab\n\u{e9}\""));
    prop::collection::vec(prop_oneof![0..259_i32, likely], 0..40)
}

proptest! {
    /// The first promise: text, reason and tokens of the joined stream are the plain answer's, in every dialect and
    /// under every split. Records are counted one by one, so no token of a choice is told twice or not at all, however
    /// much text stop strings and split characters held back.
    #[test]
    fn the_stream_joined_is_the_plain_answer(
        ids in any_ids(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        stop in prop::collection::vec("[ab\n]{1,3}", 0..3),
        is_stop in any::<bool>(),
    ) {
        // The stop token is the last id of its own row.
        let (shown, stop_token) = ids.split_at(ids.len() - usize::from(is_stop && !ids.is_empty()));
        let end = if is_stop { STOP } else { LENGTH };
        let mut outcomes = Vec::new();
        for (&dialect, is_streamed) in Dialect::ALL.iter().flat_map(|dialect| [(dialect, true), (dialect, false)]) {
            let mut rig = Rig::new(Opening { stop: stop.clone(), ..opening(dialect, is_streamed) });
            let rows = if is_streamed { split(shown, &cuts) } else { vec![shown.to_vec()] };
            let mut bytes = Vec::new();
            for (row, end) in rows.iter().map(|row| (&row[..], None)).chain([(stop_token, end)]) {
                rig.push(0, row, end);
                bytes.extend(rig.take().0);
            }
            outcomes.push(told(dialect, is_streamed, &bytes));
        }
        prop_assert!(outcomes.iter().all(|outcome| outcome == &outcomes[0]), "{outcomes:?}");
        if stop.is_empty() {
            prop_assert_eq!(outcomes[0].2, ids.len() as u64);
        }
    }

    /// A foreign engine's text, cut and counted anyhow, comes out as one.
    #[test]
    fn text_with_counts_adds_up_in_every_dialect(
        pieces in prop::collection::vec(("[ab\u{e9}]{0,3}", 0..4_u32), 0..12),
        stop in prop::collection::vec("[ab]{1,3}", 0..2),
    ) {
        let mut outcomes = Vec::new();
        for &dialect in Dialect::ALL {
            let mut rig = Rig::new(Opening { stop: stop.clone(), ..opening(dialect, true) });
            for (text, num_tokens) in &pieces {
                let mut step = Step::new(&VOCABULARY, &rig.metrics, 2.0);
                rig.stream.push_sample(0, &self::text(text, *num_tokens), &mut step);
            }
            rig.push(0, &[], LENGTH);
            outcomes.push(told(dialect, true, &rig.take().0));
        }
        prop_assert!(outcomes.iter().all(|outcome| outcome == &outcomes[0]), "{outcomes:?}");
    }
}
