use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::vocabulary::testing::byte_level;

fn opening(is_chat: bool, is_streamed: bool) -> Opening {
    Opening {
        response_id: "chatcmpl-0".to_owned(),
        model: "a/\"model\"".to_owned(),
        created: 1_700_000_000,
        is_chat,
        is_streamed,
        num_choices: 1,
        include_usage: true,
        stop: Vec::new(),
        prompt_tokens: 7,
        max_tokens: 100,
        request_id: "req_0".to_owned(),
        arrival: 0.5,
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
    metrics: Metrics,
    stream: Stream,
}

impl Rig {
    fn new(opening: Opening) -> Self {
        let stream = Stream::open(opening, &VOCABULARY, 1.0);
        Self {
            metrics: Metrics::new("m", 128),
            stream,
        }
    }

    fn push(&mut self, choice: usize, ids: &[i32], end: End) -> bool {
        let mut step = Step::new(&VOCABULARY, &self.metrics, 2.0);
        let is_freed = self.stream.push(choice, ids, end, &mut step);
        self.metrics.add(Counter::TokensWasted, step.num_wasted);
        is_freed
    }

    fn take(&mut self) -> (Vec<u8>, u16) {
        self.stream.take(<[u8]>::to_vec)
    }

    fn count(&self, counter: Counter) -> u64 {
        self.metrics.count_of(counter)
    }
}

#[test]
fn chat_events_come_in_openais_order() {
    let mut rig = Rig::new(opening(true, true));
    rig.push(0, &[256, -1], End::None);
    rig.push(0, &[256, 257], End::Stop);
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
        ..opening(false, true)
    });
    rig.push(0, &[256], End::Length);
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
    let mut rig = Rig::new(opening(true, true));
    rig.push(0, &[256, 256, 256, -1], End::None);
    assert_eq!(events(&rig.take().0).len(), 1 + 3);
}

#[test]
fn what_was_held_back_comes_before_the_finish() {
    let mut rig = Rig::new(Opening {
        stop: vec!["END".to_owned()],
        ..opening(false, true)
    });
    rig.push(0, &ids_of("aEN"), End::Length);
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
        ..opening(true, false)
    });
    assert!(rig.push(0, &ids_of("aENDbc"), End::None));
    assert!(
        rig.push(0, &ids_of("de"), End::None),
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
        ..opening(true, true)
    });
    rig.push(1, &[256], End::Length);
    assert_eq!(rig.take().1, 0);
    assert!(
        !rig.push(1, &[256], End::None),
        "an ended choice takes nothing, and its row is not reported again"
    );
    assert!(rig.take().0.is_empty());
    rig.push(0, &[], End::Stop);
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
        rig.push(2, &[256], End::None),
        "a choice that does not exist has nobody to take it"
    );
}

#[test]
fn an_error_ends_a_stream_with_a_frame_and_a_plain_answer_with_its_body() {
    let kind = ErrorKind::EngineError;
    for is_streamed in [true, false] {
        let mut rig = Rig::new(opening(true, is_streamed));
        rig.push(0, &[256], End::None);
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

#[test]
fn a_foreign_engines_text_goes_the_same_way() {
    let mut rig = Rig::new(Opening {
        stop: vec!["\n\n".to_owned()],
        ..opening(false, false)
    });
    let mut step = Step::new(&VOCABULARY, &rig.metrics, 2.0);
    assert!(!rig.stream.push_text(0, "one\n", 2, End::None, &mut step));
    assert!(rig.stream.push_text(0, "\ntwo", 1, End::None, &mut step));
    let body: Value = serde_json::from_slice(&rig.take().0).unwrap();
    assert_eq!(
        (
            &body["choices"][0]["text"],
            &body["usage"]["completion_tokens"]
        ),
        (&"one".into(), &3.into())
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

proptest! {
    /// The first promise: text, reason and usage of the joined stream are the plain answer's, under every split.
    #[test]
    fn the_stream_joined_is_the_plain_answer(
        ids in prop::collection::vec(prop_oneof![0..259_i32, prop::sample::select(ids_of("ab\n\u{e9}\""))], 0..40),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        stop in prop::collection::vec("[ab\n]{1,3}", 0..3),
        is_stop in any::<bool>(),
        is_chat in any::<bool>(),
    ) {
        let end = if is_stop { End::Stop } else { End::Length };
        let outcomes = [(true, split(&ids, &cuts)), (false, vec![ids.clone()])].map(|(is_streamed, rows)| {
            let mut rig = Rig::new(Opening { stop: stop.clone(), ..opening(is_chat, is_streamed) });
            let (last, before) = rows.split_last().unwrap();
            // The stop token is the last id of its own row.
            let (last, stop_id) = last.split_at(last.len() - usize::from(is_stop && !last.is_empty()));
            let mut frames = Vec::new();
            let rows = before.iter().map(|row| (&row[..], End::None));
            for (row, end) in rows.chain([(last, End::None), (stop_id, end)]) {
                rig.push(0, row, end);
                frames.extend(rig.take().0);
            }
            if is_streamed { joined(&events(&frames)) } else { plain(&frames) }
        });
        // A stop token that the cut left no row for is an ordinary last token of the other road.
        prop_assume!(!is_stop || !split(&ids, &cuts).last().unwrap().is_empty());
        prop_assert_eq!(&outcomes[0], &outcomes[1]);
    }
}

fn joined(events: &[Value]) -> (String, Value, Value) {
    let choices = events.iter().map(|event| &event["choices"][0]);
    let text = |choice: &Value| {
        choice["text"]
            .as_str()
            .or(choice["delta"]["content"].as_str())
            .map(str::to_owned)
    };
    let reason = choices
        .clone()
        .map(|choice| &choice["finish_reason"])
        .find(|reason| !reason.is_null());
    let usage = events
        .iter()
        .map(|event| &event["usage"])
        .find(|usage| !usage.is_null());
    (
        choices.filter_map(text).collect(),
        reason.unwrap().clone(),
        usage.unwrap().clone(),
    )
}

fn plain(body: &[u8]) -> (String, Value, Value) {
    let body: Value = serde_json::from_slice(body).unwrap();
    let choice = &body["choices"][0];
    let text = choice["text"]
        .as_str()
        .or(choice["message"]["content"].as_str())
        .unwrap();
    (
        text.to_owned(),
        choice["finish_reason"].clone(),
        body["usage"].clone(),
    )
}
