//! Reasoning and tool calls on the whole way from ids to events.

use super::*;
use crate::reasoning::ReasoningFormat;
use crate::stream::CallPiece;
use crate::token_table::SpelledToken;
use crate::tool_call::{ToolFormat, ToolSchemas};

const TOOLS: &[u8] = br#"[{"type": "function", "function": {"name": "look", "parameters": {}}},
    {"type": "function", "function": {"name": "wait", "parameters": {}}}]"#;
const TEXT: &str = "<think>hm</think>I look.<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": \"a \\\"b\\\" \u{e9}\"}}\n</tool_call><tool_call>\n{\"name\": \"wait\", \"arguments\": {}}\n</tool_call>";

fn reading(has_parallel_calls: bool, includes_reasoning: bool) -> OutputOptions {
    let tools = Arc::new(ToolSchemas::parse(TOOLS).unwrap());
    OutputOptions {
        tools: Some((ToolFormat::from_name("hermes").unwrap(), tools)),
        reasoning: Some((ReasoningFormat::from_name("qwen3").unwrap(), false)),
        has_parallel_calls,
        includes_reasoning,
        ..OutputOptions::default()
    }
}

/// A message as a client has it: content, reasoning, (name, arguments) of its calls, finish reason, usage.
type Message = (String, String, Vec<(String, String)>, String, Value);

fn joined(frames: &[u8]) -> Message {
    let (mut content, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
    let (mut reason, mut usage) = (String::new(), Value::Null);
    for event in events(frames) {
        let choice = &event["choices"][0];
        let delta = &choice["delta"];
        content += delta["content"].as_str().unwrap_or_default();
        reasoning += delta["reasoning_content"].as_str().unwrap_or_default();
        for piece in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(piece["index"].as_u64().unwrap()).unwrap();
            let text = |name: &str| piece["function"][name].as_str().unwrap_or_default();
            if index == calls.len() {
                assert_eq!(piece["type"], "function");
                assert!(piece["id"].as_str().unwrap().starts_with("call_"));
                calls.push((text("name").to_owned(), String::new()));
            }
            calls[index].1 += text("arguments");
        }
        reason += choice["finish_reason"].as_str().unwrap_or_default();
        if event["usage"].is_object() {
            usage = event["usage"].clone();
        }
    }
    (content, reasoning, calls, reason, usage)
}

fn whole(body: &[u8]) -> Message {
    let body: Value = serde_json::from_slice(body).unwrap();
    let choice = &body["choices"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let message = &choice["message"];
    let calls = message["tool_calls"].as_array().into_iter().flatten();
    let call = |it: &Value| {
        (
            text(&it["function"]["name"]),
            text(&it["function"]["arguments"]),
        )
    };
    (
        text(&message["content"]),
        text(&message["reasoning_content"]),
        calls.map(call).collect(),
        text(&choice["finish_reason"]),
        body["usage"].clone(),
    )
}

fn answer(output: &OutputOptions, is_streamed: bool, rows: &[Vec<i32>]) -> (Message, u64) {
    let mut rig = Rig::new(Opening {
        output: output.clone(),
        ..opening(Dialect::Chat, is_streamed)
    });
    for ids in rows {
        rig.push(0, ids, None);
    }
    rig.push(0, &[257], STOP);
    let bytes = rig.take().0;
    let message = if is_streamed {
        joined(&bytes)
    } else {
        whole(&bytes)
    };
    (message, rig.count(Counter::TokensWasted))
}

fn call(name: &str, arguments: &str) -> (String, String) {
    (name.to_owned(), arguments.to_owned())
}

#[test]
fn thoughts_text_and_calls_are_told_apart() {
    let ids = ids_of(TEXT);
    let ((content, reasoning, calls, reason, usage), _) =
        answer(&reading(true, true), false, std::slice::from_ref(&ids));
    assert_eq!((&*content, &*reasoning), ("I look.", "hm"));
    let arguments = "{\"at\": \"a \\\"b\\\" \u{e9}\"}";
    assert_eq!(calls, [call("look", arguments), call("wait", "{}")]);
    assert_eq!(reason, "tool_calls");
    assert_eq!(usage["completion_tokens"], ids.len() + 1);
    let num_thought = &usage["completion_tokens_details"]["reasoning_tokens"];
    assert!(
        (2..=17).contains(&num_thought.as_u64().unwrap()),
        "{num_thought}"
    );
}

#[test]
fn a_second_call_ends_a_choice_that_may_have_one() {
    for is_streamed in [true, false] {
        let output = reading(false, true);
        let ((_, _, calls, reason, usage), _) = answer(&output, is_streamed, &[ids_of(TEXT)]);
        assert_eq!((calls.len(), &*reason), (1, "tool_calls"));
        let num_tokens = usage["completion_tokens"].as_u64().unwrap();
        assert!(num_tokens < TEXT.len() as u64, "what follows is not paid");
    }
}

#[test]
fn reasoning_that_is_not_wanted_is_counted_and_not_told() {
    for is_streamed in [true, false] {
        let output = reading(true, false);
        let ((content, reasoning, _, _, usage), _) = answer(&output, is_streamed, &[ids_of(TEXT)]);
        assert_eq!((&*content, &*reasoning), ("I look.", ""));
        assert_ne!(usage["completion_tokens_details"]["reasoning_tokens"], 0);
    }
}

#[test]
fn all_ids_are_told_whatever_is_hidden() {
    let output = OutputOptions {
        returns_token_ids: true,
        ..reading(true, false)
    };
    let ids = |is_streamed| {
        let mut rig = Rig::new(Opening {
            output: output.clone(),
            ..opening(Dialect::Chat, is_streamed)
        });
        rig.push(0, &ids_of(TEXT), None);
        rig.push(0, &[257], STOP);
        rig.take().0
    };
    let events = events(&ids(true));
    let told = events
        .iter()
        .filter_map(|event| event.pointer("/choices/0/token_ids"));
    let streamed: Vec<Value> = told.flat_map(|it| it.as_array().unwrap().clone()).collect();
    let body: Value = serde_json::from_slice(&ids(false)).unwrap();
    assert_eq!(Value::from(streamed), body["choices"][0]["token_ids"]);
    assert!(!String::from_utf8_lossy(&ids(true)).contains("hm"));
}

#[test]
fn log_probabilities_are_those_of_the_text_alone() {
    let output = OutputOptions {
        logprobs: Some(0),
        ..reading(true, true)
    };
    let mut rig = Rig::new(Opening {
        output,
        ..opening(Dialect::Chat, false)
    });
    rig.push(0, &ids_of(TEXT), None);
    rig.push(0, &[257], STOP);
    let body: Value = serde_json::from_slice(&rig.take().0).unwrap();
    let content = body["choices"][0]["logprobs"]["content"].as_array();
    let told: String = content
        .unwrap()
        .iter()
        .map(|it| it["token"].as_str().unwrap())
        .collect();
    assert!(told.contains("I look."), "{told}");
    assert!(!told.contains("hm") && !told.contains("look\\\""), "{told}");
}

#[test]
fn a_foreign_engines_pieces_go_through_as_they_are() {
    for is_streamed in [true, false] {
        let mut rig = Rig::new(opening(Dialect::Chat, is_streamed));
        let sample = Sample {
            reasoning: "hm".to_owned(),
            text: "I".to_owned(),
            calls: vec![CallPiece {
                index: 0,
                begins: Some(("call_1".to_owned(), "look".to_owned())),
                arguments: "{}".to_owned(),
            }],
            num_tokens: 5,
            end: STOP,
            ..Sample::default()
        };
        let mut step = Step::new(&VOCABULARY, &rig.metrics, 2.0);
        assert!(!rig.stream.push_sample(0, &sample, &mut step));
        drop(step);
        let bytes = rig.take().0;
        let message = if is_streamed {
            joined(&bytes)
        } else {
            whole(&bytes)
        };
        let (content, reasoning, calls, reason, usage) = message;
        assert_eq!(
            (&*content, &*reasoning, &*reason),
            ("I", "hm", "tool_calls")
        );
        assert_eq!(calls, [call("look", "{}")]);
        assert_eq!(usage["completion_tokens"], 5);
    }
}

#[test]
fn a_foreign_engines_tokens_are_spelled_by_its_own_bytes() {
    let output = OutputOptions {
        logprobs: Some(1),
        ..OutputOptions::default()
    };
    let mut rig = Rig::new(Opening {
        output,
        ..opening(Dialect::Completions, true)
    });
    for (text, logprob) in [("a\u{e9}", -1.0), ("b", -2.0)] {
        let sample = Sample {
            text: text.to_owned(),
            logprobs: vec![SpelledToken {
                bytes: text.as_bytes().to_vec(),
                logprob,
                top: vec![(b"x".to_vec(), -0.5)],
            }],
            num_tokens: 2,
            ..Sample::default()
        };
        let mut step = Step::new(&VOCABULARY, &rig.metrics, 2.0);
        rig.stream.push_sample(0, &sample, &mut step);
    }
    let events = events(&rig.take().0);
    let told = |at: usize| events[at]["choices"][0]["logprobs"].clone();
    assert_eq!(told(0)["tokens"], serde_json::json!(["a\u{e9}"]));
    assert_eq!(
        told(1)["top_logprobs"],
        serde_json::json!([{"x": -0.5, "b": -2.0}])
    );
    assert_eq!(told(1)["text_offset"], serde_json::json!([2]));
}

proptest! {
    /// However ids are split over steps, and however often the stream is read, the message is the plain one.
    #[test]
    fn a_message_is_the_same_streamed_and_plain(
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        stop in prop::collection::vec("[a-z<]{1,3}", 0..2),
        has_parallel_calls in any::<bool>(),
    ) {
        let ids = ids_of(TEXT);
        let output = reading(has_parallel_calls, true);
        let mut messages = Vec::new();
        for (is_streamed, rows) in [(true, split(&ids, &cuts)), (false, vec![ids.clone()])] {
            let mut rig = Rig::new(Opening {
                output: output.clone(),
                stop: stop.clone(),
                ..opening(Dialect::Chat, is_streamed)
            });
            let mut bytes = Vec::new();
            for (ids, end) in rows.iter().map(|ids| (&ids[..], None)).chain([(&[257][..], STOP)]) {
                rig.push(0, ids, end);
                bytes.extend(rig.take().0);
            }
            messages.push(if is_streamed { joined(&bytes) } else { whole(&bytes) });
        }
        prop_assert_eq!(&messages[0], &messages[1]);
    }
}
