//! Deltas for a caller in this process, as records in the stream's bytes: no event, no JSON.
//!
//! A record is: index u32, number of tokens u32, reason u8, length u32, text; numbers little-endian. They never leave
//! the process. An error is no record: it is in the stream's receipt.

use std::ops::Range;

use super::{EventWriter, Failure, Outcome, Usage};
use crate::delta::Delta;
use crate::finish_reason::FinishReason;

/// The reasons by their byte, less one; 0 is none.
const REASONS: [FinishReason; 4] = [
    FinishReason::Stop,
    FinishReason::Length,
    FinishReason::Abort,
    FinishReason::Error,
];

/// A piece of a choice, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The choice.
    pub index: u32,
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
    fn push_begin(&mut self, _: usize, _: &mut Vec<u8>) {}

    fn push_delta(&mut self, index: usize, delta: &Delta<'_>, out: &mut Vec<u8>) {
        let num_tokens = count(&delta.tokens);
        push(index, delta.text, num_tokens, None, out);
    }

    fn push_finish(
        &mut self,
        index: usize,
        reason: FinishReason,
        tokens: Range<u32>,
        out: &mut Vec<u8>,
    ) {
        push(index, "", count(&tokens), Some(reason), out);
    }

    fn push_end(&mut self, _: Usage, _: &mut Vec<u8>) {}

    fn push_body(
        &mut self,
        choices: &mut dyn Iterator<Item = Outcome<'_>>,
        _: Usage,
        out: &mut Vec<u8>,
    ) {
        for (index, choice) in choices.enumerate() {
            let (text, reason) = (&choice.fold.text, Some(choice.reason));
            push(index, text, choice.num_tokens, reason, out);
        }
    }

    fn push_error(&mut self, _: &Failure<'_>, _: &mut Vec<u8>) {}

    fn push_error_body(&mut self, _: &Failure<'_>, _: &mut Vec<u8>) {}

    fn ping(&self) -> &'static [u8] {
        b""
    }
}

fn count(tokens: &Range<u32>) -> u32 {
    tokens.end - tokens.start
}

fn push(
    index: usize,
    text: &str,
    num_tokens: u32,
    reason: Option<FinishReason>,
    out: &mut Vec<u8>,
) {
    let number = |number: usize| u32::try_from(number).expect("choices and pieces are small");
    let at = REASONS.iter().zip(1..).find(|row| Some(*row.0) == reason);
    out.extend_from_slice(&number(index).to_le_bytes());
    out.extend_from_slice(&num_tokens.to_le_bytes());
    out.push(at.map_or(0, |row| row.1));
    out.extend_from_slice(&number(text.len()).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// None where no whole record is left.
fn read<'a>(bytes: &mut &'a [u8]) -> Option<Record<'a>> {
    let index = read_number(bytes)?;
    let num_tokens = read_number(bytes)?;
    let (reason, rest) = bytes.split_first()?;
    *bytes = rest;
    let length = usize::try_from(read_number(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Record {
        index,
        text: std::str::from_utf8(text).ok()?,
        num_tokens,
        reason: usize::from(*reason)
            .checked_sub(1)
            .and_then(|at| REASONS.get(at).copied()),
    })
}

fn read_number(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}
