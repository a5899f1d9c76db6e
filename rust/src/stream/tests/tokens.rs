//! What is told of tokens beside their text.

use super::*;
use crate::opening::ShownPrompt;

/// What the rig's engine says of a token: sure numbers of its place and id, two likeliest tokens.
struct Columns {
    sampled: Vec<f32>,
    top_ids: Vec<i32>,
    top: Vec<f32>,
}

impl Columns {
    fn new(ids: &[i32], first_place: usize) -> Self {
        let mut columns = Self {
            sampled: Vec::new(),
            top_ids: Vec::new(),
            top: Vec::new(),
        };
        for (place, id) in (first_place..).zip(ids) {
            let logprob = -f32::from(u16::try_from(place % 512).unwrap()) / 8.0;
            columns.sampled.push(logprob);
            columns.top_ids.extend([*id, (*id + 1) % 256]);
            columns.top.extend([logprob, logprob - 0.5]);
        }
        columns
    }

    fn rows(&self) -> LogprobRows<'_> {
        LogprobRows {
            sampled: &self.sampled,
            top_ids: &self.top_ids,
            top: &self.top,
        }
    }
}

/// The only row of a step.
fn row<'a>(ids: &'a [i32], end: Option<FinishReason>, rows: &'a LogprobRows<'a>) -> Row<'a> {
    Row {
        ids,
        end,
        logprobs: Some(rows),
        first: 0,
    }
}

/// Pushes a row with log probabilities of its ids, of which `num_before` came before.
fn push_row(rig: &mut Rig, num_before: usize, ids: &[i32], end: Option<FinishReason>) -> bool {
    let columns = Columns::new(ids, num_before);
    let rows = columns.rows();
    let mut step = Step::new(&VOCABULARY, &rig.metrics, 2.0);
    rig.stream.push(0, row(ids, end, &rows), &mut step)
}

fn asked(dialect: Dialect, is_streamed: bool, output: OutputOptions) -> Opening {
    Opening {
        output,
        ..opening(dialect, is_streamed)
    }
}

fn with_logprobs() -> OutputOptions {
    OutputOptions {
        logprobs: Some(2),
        returns_token_ids: true,
        ..OutputOptions::default()
    }
}

/// All items of the lists at `path` in the choices of events or of one body, in order.
fn items(choices: &[Value], path: &str) -> Vec<Value> {
    let lists = choices.iter().filter_map(|choice| choice.pointer(path));
    lists
        .flat_map(|list| list.as_array().unwrap().clone())
        .collect()
}

fn choices(bytes: &[u8], is_streamed: bool) -> Vec<Value> {
    let bodies = if is_streamed {
        events(bytes)
    } else {
        vec![serde_json::from_slice(bytes).unwrap()]
    };
    let choice = |body: &Value| body.pointer("/choices/0").cloned();
    bodies.iter().filter_map(choice).collect()
}

fn run(opening: Opening, rows: &[Vec<i32>], last: &[i32], end: Option<FinishReason>) -> Vec<Value> {
    let is_streamed = opening.is_streamed;
    let mut rig = Rig::new(opening);
    let (mut bytes, mut num_before) = (Vec::new(), 0);
    for (ids, end) in rows.iter().map(|ids| (&ids[..], None)).chain([(last, end)]) {
        push_row(&mut rig, num_before, ids, end);
        num_before += ids.len();
        bytes.extend(rig.take().0);
    }
    choices(&bytes, is_streamed)
}

#[test]
fn chat_tells_tokens_as_openai_does() {
    let choices = run(
        asked(Dialect::Chat, false, with_logprobs()),
        &[vec![256]],
        &[257],
        STOP,
    );
    let content = &choices[0]["logprobs"]["content"];
    assert_eq!(choices[0]["logprobs"]["refusal"], Value::Null);
    assert_eq!(content[0]["token"], "word");
    assert_eq!(content[0]["bytes"], serde_json::json!([119, 111, 114, 100]));
    assert_eq!(content[0]["logprob"], 0.0);
    assert_eq!(content[0]["top_logprobs"][1]["logprob"], -0.5);
    assert_eq!(content[1]["token"], "<eos>", "the stop token is told too");
    assert_eq!(choices[0]["token_ids"], serde_json::json!([256, 257]));
}

#[test]
fn parts_of_characters_are_told_by_their_bytes() {
    let ids = ids_of("\u{e9}");
    let chat = run(
        asked(Dialect::Chat, false, with_logprobs()),
        &[],
        &ids,
        LENGTH,
    );
    let first = &chat[0]["logprobs"]["content"][0];
    assert_eq!(first["token"], "\u{fffd}");
    assert_eq!(first["bytes"], serde_json::json!([0xc3]));
    let completion = run(
        asked(Dialect::Completions, false, with_logprobs()),
        &[],
        &ids,
        LENGTH,
    );
    let told = &completion[0]["logprobs"];
    assert_eq!(told["tokens"][0], "bytes:\\xc3");
    assert_eq!(told["text_offset"], serde_json::json!([0, 0]));
    assert_eq!(told["top_logprobs"][0]["bytes:\\xc3"], 0.0);
}

#[test]
fn what_json_cannot_say_is_minus_9999() {
    let mut rig = Rig::new(asked(Dialect::Completions, false, with_logprobs()));
    let rows = LogprobRows {
        sampled: &[f32::NEG_INFINITY],
        top_ids: &[65, -1],
        top: &[f32::NAN, 0.0],
    };
    let (ids, end) = (&[256][..], LENGTH);
    let mut step = Step::new(&VOCABULARY, &rig.metrics, 2.0);
    rig.stream.push(0, row(ids, end, &rows), &mut step);
    drop(step);
    let told = choices(&rig.take().0, false).remove(0)["logprobs"].take();
    assert_eq!(told["token_logprobs"], serde_json::json!([-9999.0]));
    assert_eq!(told["top_logprobs"][0]["A"], -9999.0);
}

#[test]
fn without_logprobs_a_row_that_has_them_tells_none() {
    let opening = opening(Dialect::Chat, true);
    let choices = run(opening, &[vec![256]], &[256], LENGTH);
    assert!(choices.iter().all(|choice| choice["logprobs"].is_null()));
    assert!(
        choices
            .iter()
            .all(|choice| choice.get("token_ids").is_none())
    );
}

fn echoing(is_streamed: bool, text: Option<&str>, ids: Vec<i32>) -> Opening {
    let ids = ids.into_iter().map(|id| u32::try_from(id).unwrap());
    Opening {
        prompts: vec![ShownPrompt {
            ids: ids.collect(),
            text: text.map(str::to_owned),
        }],
        echoes_prompts: true,
        stop: vec!["ab".to_owned()],
        ..asked(Dialect::Completions, is_streamed, with_logprobs())
    }
}

/// The prompt's columns come in spans, and one of them twice.
fn take_prompt(rig: &mut Rig, ids: &[i32], spans: &[usize]) {
    let mut start = 0;
    for end in spans {
        let columns = Columns::new(&ids[start + 1..=*end], start + 1);
        for _ in 0..2 {
            let columns = PromptColumns {
                row_key: 0,
                start: u32::try_from(start).unwrap(),
                rows: columns.rows(),
            };
            rig.stream.take_prompt_columns(0, &columns);
        }
        start = *end;
    }
}

#[test]
fn an_echoed_prompt_stands_before_its_answer_and_no_stop_string_is_found_in_it() {
    let prompt = ids_of("ab\u{e9}");
    for is_streamed in [true, false] {
        let mut rig = Rig::new(echoing(is_streamed, None, prompt.clone()));
        take_prompt(&mut rig, &prompt, &[2, 3]);
        push_row(&mut rig, 4, &ids_of("c"), LENGTH);
        let choices = choices(&rig.take().0, is_streamed);
        let text: String = choices
            .iter()
            .map(|it| it["text"].as_str().unwrap())
            .collect();
        assert_eq!(text, "ab\u{e9}c");
        let logprobs = items(&choices, "/logprobs/token_logprobs");
        let expected = [
            Value::Null,
            (-0.125).into(),
            (-0.25).into(),
            (-0.375).into(),
            (-0.5).into(),
        ];
        assert_eq!(logprobs, expected);
        assert_eq!(items(&choices, "/logprobs/top_logprobs")[0], Value::Null);
        assert_eq!(
            items(&choices, "/logprobs/text_offset"),
            [0, 1, 2, 2, 3].map(Value::from)
        );
        assert_eq!(items(&choices, "/prompt_token_ids").len(), 4);
        assert_eq!(items(&choices, "/token_ids"), [Value::from(99)]);
    }
}

#[test]
fn a_prompt_is_echoed_alone_where_nothing_is_generated() {
    let prompt = ids_of("hi");
    let mut rig = Rig::new(echoing(false, Some("hi"), prompt.clone()));
    take_prompt(&mut rig, &prompt, &[1]);
    push_row(&mut rig, 0, &[], LENGTH);
    let body: Value = serde_json::from_slice(&rig.take().0).unwrap();
    let choice = &body["choices"][0];
    assert_eq!(choice["text"], "hi");
    assert_eq!(choice["finish_reason"], "length");
    let logprobs = &choice["logprobs"]["token_logprobs"];
    assert_eq!(logprobs, &serde_json::json!([null, -0.125]));
    assert_eq!(body["usage"]["completion_tokens"], 0);
}

#[test]
fn a_start_token_that_the_text_does_not_spell_has_no_place_in_it() {
    let prompt = [257, 97, 257, 98]; // <eos> a <eos> b
    let mut rig = Rig::new(echoing(false, Some("a<eos>b"), prompt.to_vec()));
    take_prompt(&mut rig, &prompt, &[3]);
    push_row(&mut rig, 4, &[], LENGTH);
    let told = choices(&rig.take().0, false).remove(0)["logprobs"].take();
    assert_eq!(told["text_offset"], serde_json::json!([0, 0, 1, 6]));
}

#[test]
fn a_prompt_of_ids_is_echoed_as_its_answer_is_shown() {
    for (shows_special_tokens, text) in [(false, "a"), (true, "<eos>a")] {
        let mut opening = echoing(false, None, vec![257, 97]);
        opening.output.shows_special_tokens = shows_special_tokens;
        let mut rig = Rig::new(opening);
        push_row(&mut rig, 2, &[], LENGTH);
        assert_eq!(choices(&rig.take().0, false)[0]["text"], text);
    }
}

#[test]
fn an_engine_without_prompt_columns_leaves_nulls() {
    let mut rig = Rig::new(echoing(false, None, ids_of("hey")));
    push_row(&mut rig, 3, &[], LENGTH);
    let told = choices(&rig.take().0, false).remove(0)["logprobs"].take();
    assert_eq!(
        told["token_logprobs"],
        serde_json::json!([null, null, null])
    );
    assert_eq!(told["top_logprobs"], serde_json::json!([null, null, null]));
}

#[test]
fn the_likeliest_of_several_choices_are_shown() {
    let output = OutputOptions {
        num_best: Some(1),
        ..OutputOptions::default()
    };
    let mut rig = Rig::new(Opening {
        num_choices: 4,
        choices_per_prompt: 2,
        ..asked(Dialect::Completions, false, output)
    });
    for (choice, (text, logprob)) in [("a", -2.0), ("b", -1.0), ("c", -1.0), ("d", -3.0)]
        .into_iter()
        .enumerate()
    {
        let (ids, end) = (&ids_of(text)[..], LENGTH);
        let rows = LogprobRows {
            sampled: &[logprob],
            top_ids: &[],
            top: &[],
        };
        let mut step = Step::new(&VOCABULARY, &rig.metrics, 2.0);
        rig.stream.push(choice, row(ids, end, &rows), &mut step);
    }
    let body: Value = serde_json::from_slice(&rig.take().0).unwrap();
    let texts = |at: usize| body["choices"][at]["text"].as_str().unwrap_or("none");
    assert_eq!([texts(0), texts(1), texts(2)], ["b", "c", "none"]);
    assert_eq!(body["usage"]["completion_tokens"], 4);
    assert_eq!(body["choices"][0]["logprobs"], Value::Null);
}

#[test]
fn the_stop_that_was_met_is_named_and_shown_where_asked() {
    for (includes_stop, text) in [(false, "x"), (true, "xEND")] {
        let output = OutputOptions {
            includes_stop,
            ..OutputOptions::default()
        };
        let mut rig = Rig::new(Opening {
            stop: vec![String::new(), "END".to_owned()],
            ..asked(Dialect::Completions, false, output)
        });
        assert!(rig.push(0, &ids_of("xENDy"), None));
        let choice = choices(&rig.take().0, false).remove(0);
        assert_eq!(choice["text"], text);
        assert_eq!(choice["stop_reason"], "END");
    }
}

#[test]
fn a_stop_token_of_the_request_is_named_and_the_models_own_is_not() {
    for (stop_token_ids, named) in [(vec![256], Value::from(256)), (vec![], Value::Null)] {
        let output = OutputOptions {
            includes_stop: true,
            ..OutputOptions::default()
        };
        let mut rig = Rig::new(Opening {
            stop_token_ids,
            ..asked(Dialect::Completions, false, output)
        });
        rig.push(0, &[97, 256], STOP);
        let choice = choices(&rig.take().0, false).remove(0);
        assert_eq!(choice["text"], "aword");
        assert_eq!(choice["stop_reason"], named);
    }
}

#[test]
fn special_tokens_are_shown_where_asked() {
    let output = OutputOptions {
        shows_special_tokens: true,
        ..OutputOptions::default()
    };
    let mut rig = Rig::new(asked(Dialect::Completions, false, output));
    rig.push(0, &[257, 97], LENGTH);
    assert_eq!(choices(&rig.take().0, false)[0]["text"], "<eos>a");
}

#[test]
fn every_event_tells_usage_and_fingerprint_where_asked() {
    let output = OutputOptions {
        has_continuous_usage: true,
        system_fingerprint: Some("fp_\"0\"".to_owned()),
        ..OutputOptions::default()
    };
    let mut rig = Rig::new(asked(Dialect::Completions, true, output));
    rig.push(0, &[256], None);
    rig.push(0, &[256, 257], STOP);
    let mut told = events(&rig.take().0);
    told.pop();
    let counts = told.iter().map(|it| &it["usage"]["completion_tokens"]);
    assert_eq!(
        counts.collect::<Vec<_>>(),
        [1, 2, 3, 3].map(Value::from).iter().collect::<Vec<_>>()
    );
    assert!(told.iter().all(|it| it["system_fingerprint"] == "fp_\"0\""));
    assert!(told.iter().all(|it| it["usage"]["prompt_tokens"] == 7));
}

proptest! {
    /// Numbers, ids and places are the same streamed and plain, and every token is told once, whatever was held back.
    #[test]
    fn tokens_are_told_alike_streamed_and_plain(
        ids in any_ids(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        stop in prop::collection::vec("[ab\n]{1,3}", 0..3),
        is_stop in any::<bool>(),
        is_chat in any::<bool>(),
    ) {
        let (shown, stop_token) = ids.split_at(ids.len() - usize::from(is_stop && !ids.is_empty()));
        let end = if is_stop { STOP } else { LENGTH };
        let (dialect, paths): (_, &[&str]) = if is_chat {
            (Dialect::Chat, &["/logprobs/content", "/token_ids"])
        } else {
            (Dialect::Completions, &["/logprobs/tokens", "/logprobs/token_logprobs", "/logprobs/top_logprobs",
                "/logprobs/text_offset", "/token_ids"])
        };
        let told = |is_streamed, rows: &[Vec<i32>]| {
            let opening = Opening { stop: stop.clone(), ..asked(dialect, is_streamed, with_logprobs()) };
            let choices = run(opening, rows, stop_token, end);
            paths.iter().map(|path| items(&choices, path)).collect::<Vec<_>>()
        };
        let plain = told(false, &[shown.to_vec()]);
        prop_assert_eq!(&told(true, &split(shown, &cuts)), &plain);
        let num_told = plain[0].len();
        prop_assert!(plain.iter().all(|list| list.len() == num_told));
        if stop.is_empty() {
            prop_assert_eq!(num_told, ids.len());
        }
    }
}
