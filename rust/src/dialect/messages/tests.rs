use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{Piece, events, pieces, plain, reasons, stream, writer};
use super::super::{Dialect, Failure};
use super::blocks::object_of;
use super::*;
use crate::error::ErrorKind;

fn messages() -> Box<dyn EventWriter> {
    writer(Dialect::Messages, None)
}

/// Puts a message together from a stream's events, as Anthropic's client does, but for calls, whose JSON stays text.
fn accumulate(events: &[Value]) -> (Value, Vec<String>) {
    let mut message = events[0]["message"].clone();
    let mut inputs = Vec::new();
    for event in &events[1..] {
        let index = event["index"]
            .as_u64()
            .map(|index| usize::try_from(index).unwrap());
        let content = message["content"].as_array_mut().unwrap();
        let delta = &event["delta"];
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!(index, Some(content.len()));
                content.push(event["content_block"].clone());
                inputs.push(String::new());
            }
            "content_block_delta" => {
                let block = &mut content[index.unwrap()];
                let kind = delta["type"].as_str().unwrap();
                if kind == "input_json_delta" {
                    inputs[index.unwrap()] += delta["partial_json"].as_str().unwrap();
                    continue;
                }
                let field = kind.strip_suffix("_delta").unwrap();
                let text =
                    block[field].as_str().unwrap().to_owned() + delta[field].as_str().unwrap();
                block[field] = Value::from(text);
            }
            "message_delta" => {
                message["stop_reason"] = delta["stop_reason"].clone();
                message["stop_sequence"] = delta["stop_sequence"].clone();
                message["usage"] = event["usage"].clone();
            }
            kind => assert!(matches!(kind, "content_block_stop" | "message_stop")),
        }
    }
    (message, inputs)
}

proptest! {
    #[test]
    fn a_stream_accumulates_to_the_plain_message(pieces in pieces(), reason in reasons()) {
        let plain = plain(&mut *messages(), &pieces, reason);
        let events = events(&stream(&mut *messages(), &pieces, reason));
        prop_assert_eq!(&events.last().unwrap()["type"], "message_stop");
        let (mut message, inputs) = accumulate(&events);
        for (block, input) in message["content"].as_array_mut().unwrap().iter_mut().zip(&inputs) {
            if block["type"] == "tool_use" {
                block["input"] = serde_json::from_str(&object_of(input)).unwrap();
            }
        }
        prop_assert_eq!(message, plain);
    }
}

#[test]
fn a_call_has_its_arguments_as_an_object() {
    let pieces = [
        Piece::Reasoning("hm".to_owned()),
        Piece::Text("I'll look.".to_owned()),
        Piece::Call("find".to_owned()),
        Piece::Arguments("{\"a\":".to_owned()),
        Piece::Arguments(" [1, 2]}".to_owned()),
    ];
    let message = plain(&mut *messages(), &pieces, FinishReason::ToolCalls);
    let content = json!([
        {"type": "thinking", "thinking": "hm", "signature": "resp_0a"},
        {"type": "text", "text": "I'll look."},
        {"type": "tool_use", "id": "call_0", "name": "find", "input": {"a": [1, 2]}},
    ]);
    assert_eq!(message["content"], content);
    assert_eq!(message["stop_reason"], "tool_use");
    let usage = json!({
        "input_tokens": 4, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3, "output_tokens": 5,
    });
    assert_eq!(message["usage"], usage);
}

#[test]
fn arguments_that_break_off_keep_their_whole_members() {
    for (text, kept) in [
        (
            "{\"a\": 1, \"b\": [2, 3], \"c\": \"x,",
            "{\"a\": 1, \"b\": [2, 3]}",
        ),
        ("{\"a\": {\"b\": 1, ", "{}"),
        ("{\"a\": \"\\\",\", \"b", "{\"a\": \"\\\",\"}"),
        ("[1, 2", "{}"),
        ("", "{}"),
        (" {} ", "{}"),
    ] {
        assert_eq!(object_of(text), kept, "{text}");
    }
}

#[test]
fn an_error_ends_a_stream_in_anthropics_words() {
    let failure = Failure {
        kind: ErrorKind::EngineError,
        message: "It broke.",
        param: Some("x"),
        request_id: "req_0",
        timestamp: 1.0,
    };
    let mut frames = Vec::new();
    messages().push_error(&failure, &mut frames);
    let error = json!({"type": "api_error", "message": "It broke."});
    let whole = json!({"type": "error", "error": error, "request_id": "req_0"});
    assert_eq!(events(std::str::from_utf8(&frames).unwrap()), [whole]);
    assert_eq!(
        events(std::str::from_utf8(messages().ping()).unwrap()),
        [json!({"type": "ping"})]
    );
}
