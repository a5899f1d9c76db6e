//! A stream joined says what its plain twin says, in every dialect and under every split.

use super::*;
use crate::dialect::{Record, records};

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
