//! Deltas for a caller in this process, as records in the stream's bytes: no event, no JSON.
//!
//! A record is: index u32, kind u8, call u32, number of tokens u32, reason u8, id, text; numbers little-endian, a string
//! as its length u32 and its bytes. They never leave the process. An error is no record: it is in the stream's receipt.

use super::{Details, Ending, EventWriter, Failure, Outcome, Usage};
use crate::delta::{Delta, Kind};
use crate::finish_reason::FinishReason;

/// The reasons by their byte, less one; 0 is none.
const REASONS: [FinishReason; 5] = [
    FinishReason::Stop,
    FinishReason::Length,
    FinishReason::ToolCalls,
    FinishReason::Abort,
    FinishReason::Error,
];

const TEXT: u8 = 0;
const REASONING: u8 = 1;
const TOOL_CALL: u8 = 2;
const TOOL_ARGUMENTS: u8 = 3;

/// A piece of a choice, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The choice.
    pub index: u32,
    /// What `text` is a piece of.
    pub kind: Kind<'a>,
    /// New text.
    pub text: &'a str,
    /// New tokens; all records of a choice together have all that it cost.
    pub num_tokens: u32,
    /// Why the choice ended, if it has.
    pub reason: Option<FinishReason>,
}

/// The records of a body of them, as [`Dialect::Deltas`](super::Dialect::Deltas) writes it.
pub fn records(mut bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || read(&mut bytes))
}

#[derive(Debug)]
pub(super) struct DeltasWriter;

impl EventWriter for DeltasWriter {
    fn push_begin(&mut self, _: usize, _: &Usage, _: &mut Vec<u8>) {}

    fn push_delta(&mut self, index: usize, delta: &Delta<'_>, _: &Details<'_>, out: &mut Vec<u8>) {
        let num_tokens = delta.tokens.end - delta.tokens.start;
        push(&record(index, delta.kind, delta.text, num_tokens), out);
    }

    fn push_finish(
        &mut self,
        index: usize,
        ending: &Ending<'_>,
        _: &Details<'_>,
        out: &mut Vec<u8>,
    ) {
        let num_tokens = ending.tokens.end - ending.tokens.start;
        push_last(index, "", num_tokens, ending.reason, out);
    }

    fn push_end(&mut self, _: Usage, _: &mut Vec<u8>) {}

    /// The pieces of each choice without tokens, then its end with all of them.
    fn push_body(
        &mut self,
        choices: &mut dyn Iterator<Item = Outcome<'_>>,
        _: Usage,
        out: &mut Vec<u8>,
    ) {
        for (index, choice) in choices.enumerate() {
            let mut push_piece = |kind, text| push(&record(index, kind, text, 0), out);
            if !choice.fold.reasoning.is_empty() {
                push_piece(Kind::Reasoning, &choice.fold.reasoning);
            }
            for (index, call) in (0..).zip(&choice.fold.tool_calls) {
                push_piece(
                    Kind::ToolCall {
                        index,
                        id: &call.id,
                    },
                    &call.name,
                );
                push_piece(Kind::ToolArguments { index }, &call.arguments);
            }
            let text = &choice.fold.text;
            push_last(index, text, choice.num_tokens, choice.reason, out);
        }
    }

    fn push_error(&mut self, _: &Failure<'_>, _: &mut Vec<u8>) {}

    fn push_error_body(&mut self, _: &Failure<'_>, _: &mut Vec<u8>) {}

    fn ping(&self) -> &'static [u8] {
        b""
    }
}

/// Of a piece that is not the last.
fn record<'a>(index: usize, kind: Kind<'a>, text: &'a str, num_tokens: u32) -> Record<'a> {
    Record {
        index: small(index),
        kind,
        text,
        num_tokens,
        reason: None,
    }
}

fn push_last(index: usize, text: &str, num_tokens: u32, reason: FinishReason, out: &mut Vec<u8>) {
    let reason = Some(reason);
    let last = record(index, Kind::Text, text, num_tokens);
    push(&Record { reason, ..last }, out);
}

fn push(record: &Record<'_>, out: &mut Vec<u8>) {
    let (kind, call, id) = match record.kind {
        Kind::Text => (TEXT, 0, ""),
        Kind::Reasoning => (REASONING, 0, ""),
        Kind::ToolCall { index, id } => (TOOL_CALL, index, id),
        Kind::ToolArguments { index } => (TOOL_ARGUMENTS, index, ""),
    };
    let mut reasons = REASONS.iter().zip(1..);
    let at = reasons.find(|row| Some(*row.0) == record.reason);
    out.extend_from_slice(&record.index.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&call.to_le_bytes());
    out.extend_from_slice(&record.num_tokens.to_le_bytes());
    out.push(at.map_or(0, |row| row.1));
    push_string(id, out);
    push_string(record.text, out);
}

fn push_string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&small(text.len()).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("choices and pieces are small")
}

/// None where no whole record is left.
fn read<'a>(bytes: &mut &'a [u8]) -> Option<Record<'a>> {
    let index = read_number(bytes)?;
    let kind = read_byte(bytes)?;
    let call = read_number(bytes)?;
    let num_tokens = read_number(bytes)?;
    let reason = usize::from(read_byte(bytes)?);
    let id = read_string(bytes)?;
    let text = read_string(bytes)?;
    let kind = match kind {
        TEXT => Kind::Text,
        REASONING => Kind::Reasoning,
        TOOL_CALL => Kind::ToolCall { index: call, id },
        _ => Kind::ToolArguments { index: call },
    };
    let reason = reason
        .checked_sub(1)
        .and_then(|at| REASONS.get(at).copied());
    Some(Record {
        index,
        kind,
        text,
        num_tokens,
        reason,
    })
}

fn read_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*byte)
}

fn read_number(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}

fn read_string<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(read_number(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}
