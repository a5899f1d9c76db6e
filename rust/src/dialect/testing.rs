//! One choice told twice, streamed and plain, by the dialects whose answers are lists of parts.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;

use super::{Details, Dialect, Ending, EventWriter, Identity, Outcome, Usage};
use crate::delta::{Delta, Fold, Kind};
use crate::finish_reason::FinishReason;
use crate::output_options::OutputOptions;
use crate::vocabulary::Vocabulary;
use crate::vocabulary::testing::byte_level;

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| byte_level(&[]));

/// What is known of it before the first token.
const FIRST_USAGE: Usage = Usage {
    completion_tokens: 0,
    reasoning_tokens: 0,
    ..USAGE
};

pub(super) const USAGE: Usage = Usage {
    prompt_tokens: 7,
    cached_tokens: 3,
    completion_tokens: 5,
    reasoning_tokens: 2,
};

/// A delta that a test can own.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Text(String),
    Reasoning(String),
    Call(String),
    Arguments(String),
}

pub(super) fn writer(dialect: Dialect, options: Option<&str>) -> Box<dyn EventWriter> {
    let output = OutputOptions {
        dialect_options: options.map(|json| json.as_bytes().to_vec()),
        ..OutputOptions::default()
    };
    dialect.writer(&Identity {
        response_id: "resp_0a",
        model: "a/\"model\"",
        created: 1_700_000_000,
        include_usage: false,
        output: &output,
    })
}

const NO_USAGE: Usage = Usage {
    prompt_tokens: 0,
    cached_tokens: 0,
    completion_tokens: 0,
    reasoning_tokens: 0,
};

fn details() -> Details<'static> {
    Details {
        tokens: None,
        vocabulary: &VOCABULARY,
        usage: &NO_USAGE,
    }
}

/// Calls `each` with every piece as the delta that it stands for.
fn with_deltas(pieces: &[Piece], mut each: impl FnMut(&Delta<'_>)) {
    let mut num_calls = 0;
    for (token, piece) in (0..).zip(pieces) {
        let id = format!("call_{num_calls}");
        let index = u32::max(num_calls, 1) - 1;
        let (kind, text) = match piece {
            Piece::Text(text) => (Kind::Text, text),
            Piece::Reasoning(text) => (Kind::Reasoning, text),
            Piece::Arguments(text) => (Kind::ToolArguments { index }, text),
            Piece::Call(name) => {
                num_calls += 1;
                let index = num_calls - 1;
                (Kind::ToolCall { index, id: &id }, name)
            }
        };
        let tokens = token..token + 1;
        each(&Delta { kind, text, tokens });
    }
}

/// The frames of a stream of `pieces`.
pub(super) fn stream(
    writer: &mut dyn EventWriter,
    pieces: &[Piece],
    reason: FinishReason,
) -> String {
    let mut frames = Vec::new();
    writer.push_begin(0, &FIRST_USAGE, &mut frames);
    with_deltas(pieces, |delta| {
        writer.push_delta(0, delta, &details(), &mut frames);
    });
    let tokens = 0..0;
    let ending = Ending {
        reason,
        tokens,
        is_text: true,
        stop: None,
    };
    writer.push_finish(0, &ending, &details(), &mut frames);
    writer.push_end(USAGE, &mut frames);
    String::from_utf8(frames).unwrap()
}

/// The plain answer of `pieces`.
pub(super) fn plain(writer: &mut dyn EventWriter, pieces: &[Piece], reason: FinishReason) -> Value {
    let mut fold = Fold::default();
    with_deltas(pieces, |delta| fold.add(delta));
    let outcome = Outcome {
        prompt: None,
        fold: &fold,
        num_tokens: 5,
        text_tokens: &[],
        details: details(),
        reason,
        stop: None,
    };
    let mut body = Vec::new();
    writer.push_body(&mut std::iter::once(outcome), USAGE, &mut body);
    serde_json::from_slice(&body).unwrap()
}

/// The data of every frame, each of which must bear the name of its event.
pub(super) fn events(frames: &str) -> Vec<Value> {
    let frames = frames.strip_suffix("\n\n").unwrap();
    let read = |frame: &str| {
        let (name, data) = frame.strip_prefix("event: ")?.split_once("\ndata: ")?;
        let data: Value = serde_json::from_str(data).ok()?;
        (data["type"] == name).then_some(data)
    };
    let events = frames.split("\n\n");
    events.map(|frame| read(frame).expect(frame)).collect()
}

/// Pieces as stages give them: arguments stand behind their call, and nothing but a call may be empty.
pub(super) fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let text = "[ \n]{1,2}|(?s).{1,4}";
    let piece = prop_oneof![
        text.prop_map(Piece::Text),
        text.prop_map(Piece::Text),
        text.prop_map(Piece::Reasoning),
        "[a-z\"]{1,4}".prop_map(Piece::Call),
        text.prop_map(Piece::Arguments),
        text.prop_map(Piece::Arguments),
    ];
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| {
        let mut in_call = false;
        let follows = move |piece: &Piece| {
            let is_arguments = matches!(piece, Piece::Arguments(_));
            in_call = matches!(piece, Piece::Call(_)) || (is_arguments && in_call);
            in_call || !is_arguments
        };
        pieces.into_iter().filter(follows).collect()
    })
}

pub(super) fn reasons() -> impl Strategy<Value = FinishReason> {
    use FinishReason::{Length, Stop, ToolCalls};
    prop_oneof![Just(Stop), Just(Length), Just(ToolCalls)]
}
