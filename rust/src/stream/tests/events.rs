//! Events in their order, ends, times and counts.

use super::*;

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
