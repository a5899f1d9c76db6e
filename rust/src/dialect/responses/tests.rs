use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{Piece, events, pieces, plain, reasons, stream, writer};
use super::super::{Dialect, Failure};
use super::*;

const OPTIONS: &str = r#"{"response":{"tools":[],"metadata":{"a":"b"}},"keeps":true}"#;

fn responses(options: Option<&str>) -> Box<dyn EventWriter> {
    writer(Dialect::Responses, options)
}

/// Puts the output together from a stream's events, as openai-python does; checks their order and numbers.
fn accumulate(events: &[Value]) -> Vec<Value> {
    let mut output: Vec<Value> = Vec::new();
    for (number, event) in (0_u64..).zip(events) {
        assert_eq!(event["sequence_number"], number);
        let kind = event["type"].as_str().unwrap();
        let index = event["output_index"]
            .as_u64()
            .map(|index| usize::try_from(index).unwrap());
        let append = |to: &mut Value| {
            let text = to.as_str().unwrap().to_owned() + event["delta"].as_str().unwrap();
            *to = Value::from(text);
        };
        match kind {
            "response.output_item.added" => {
                assert_eq!(index, Some(output.len()), "items follow each other");
                output.push(event["item"].clone());
            }
            "response.content_part.added" => {
                let content = output[index.unwrap()]["content"].as_array_mut().unwrap();
                assert_eq!(event["content_index"], content.len());
                content.push(event["part"].clone());
            }
            "response.reasoning_summary_part.added" => {
                let summary = output[index.unwrap()]["summary"].as_array_mut().unwrap();
                summary.push(event["part"].clone());
            }
            "response.output_text.delta" | "response.reasoning_text.delta" => {
                append(&mut output[index.unwrap()]["content"][0]["text"]);
            }
            "response.reasoning_summary_text.delta" => {
                append(&mut output[index.unwrap()]["summary"][0]["text"]);
            }
            "response.function_call_arguments.delta" => {
                append(&mut output[index.unwrap()]["arguments"]);
            }
            "response.output_item.done" => {
                let item = &mut output[index.unwrap()];
                item["status"] = event["item"]["status"].clone();
                assert_eq!(*item, event["item"], "a closed item is what came of it");
            }
            _ => {}
        }
    }
    output
}

proptest! {
    #[test]
    fn a_stream_accumulates_to_the_plain_response(
        pieces in pieces(), reason in reasons(), as_summary in any::<bool>(),
    ) {
        let options = format!(r#"{{"reasoning_as_summary":{as_summary},"keeps":true}}"#);
        let mut plain_writer = responses(Some(&options));
        let plain = plain(&mut *plain_writer, &pieces, reason);
        let mut stream_writer = responses(Some(&options));
        let events = events(&stream(&mut *stream_writer, &pieces, reason));
        let output = accumulate(&events);
        prop_assert_eq!(&Value::from(output), &plain["output"]);
        let last = events.last().unwrap();
        prop_assert_eq!(&last["response"], &plain);
        for writer in [&mut plain_writer, &mut stream_writer] {
            let kept: Value = serde_json::from_slice(&writer.take_record().unwrap()).unwrap();
            prop_assert_eq!(&kept, &plain);
        }
    }
}

#[test]
fn a_response_repeats_the_request_and_tells_its_usage() {
    let text = [Piece::Text("Hi".to_owned())];
    let response = plain(&mut *responses(Some(OPTIONS)), &text, FinishReason::Stop);
    assert_eq!(response["id"], "resp_0a");
    assert_eq!(response["metadata"], json!({"a": "b"}));
    assert_eq!(response["status"], "completed");
    let message = json!({
        "id": "msg_0a_0", "type": "message", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}],
    });
    assert_eq!(response["output"], json!([message]));
    let usage = json!({
        "input_tokens": 7, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 12,
    });
    assert_eq!(response["usage"], usage);
}

#[test]
fn what_was_cut_short_is_incomplete() {
    let text = [Piece::Text("Hi".to_owned())];
    let frames = stream(&mut *responses(None), &text, FinishReason::Length);
    let last = events(&frames).pop().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    let details = json!({"reason": "max_output_tokens"});
    assert_eq!(last["response"]["incomplete_details"], details);
    assert_eq!(last["response"]["output"][0]["status"], "incomplete");
}

#[test]
fn white_space_between_parts_is_no_message() {
    let pieces = [
        Piece::Reasoning("hm".to_owned()),
        Piece::Text("\n\n".to_owned()),
        Piece::Call("f".to_owned()),
        Piece::Arguments("{}".to_owned()),
        Piece::Text("\n".to_owned()),
        Piece::Call("g".to_owned()),
    ];
    let response = plain(&mut *responses(None), &pieces, FinishReason::ToolCalls);
    let kinds: Vec<_> = response["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["type"])
        .collect();
    assert_eq!(kinds, ["reasoning", "function_call", "function_call"]);
    let empty = plain(&mut *responses(None), &[], FinishReason::Stop);
    assert_eq!(empty["output"][0]["content"][0]["text"], "");
}

#[test]
fn a_stream_that_fails_before_its_first_token_still_begins() {
    let failure = Failure {
        kind: ErrorKind::EngineError,
        message: "It \"broke\".",
        param: None,
        request_id: "req_0",
        timestamp: 1.0,
    };
    let mut frames = Vec::new();
    responses(Some(OPTIONS)).push_error(&failure, &mut frames);
    let events = events(std::str::from_utf8(&frames).unwrap());
    let kinds: Vec<_> = events
        .iter()
        .map(|it| it["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.failed"
        ]
    );
    let error = json!({"code": "server_error", "message": "It \"broke\"."});
    assert_eq!(events[2]["response"]["error"], error);
    assert_eq!(events[2]["response"]["status"], "failed");
}
