//! Log probabilities as `OpenAI`'s two completion APIs write them.
//!
//! They are those of the raw logits, before any penalty or filter. One that is unknown or minus infinity is told as
//! -9999.0, for JSON has no infinity. A token is spelled by its own bytes, also where these are part of a character.
//!
//! Source: `OpenAI`'s API reference, "The chat completion object" and "The completion object".

use super::Details;
use super::escape::push_escaped;
use super::json::push_number;
use crate::token_table::{LEAST_LOGPROB, TokenRow, TopLogprob};

/// A token and the likeliest ones in its place.
pub(super) type Row<'a> = (&'a TokenRow, &'a [TopLogprob]);

/// Chat's: `{"content":[…],"refusal":null}`.
pub(super) fn push_chat<'a>(
    rows: impl Iterator<Item = Row<'a>>,
    details: &Details<'_>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"content\":[");
    push_tokens(rows, details, out);
    out.extend_from_slice(b"],\"refusal\":null}");
}

/// The objects of such a list, with commas between them.
pub(super) fn push_tokens<'a>(
    rows: impl Iterator<Item = Row<'a>>,
    details: &Details<'_>,
    out: &mut Vec<u8>,
) {
    push_list(rows, out, |(row, top), out| {
        push_chat_token(row.id, row.logprob, details, out);
        out.extend_from_slice(b",\"top_logprobs\":[");
        push_list(top.iter(), out, |other, out| {
            push_chat_token(other.id, Some(other.logprob), details, out);
            out.push(b'}');
        });
        out.extend_from_slice(b"]}");
    });
}

/// A token's object, left open.
fn push_chat_token(id: u32, logprob: Option<f32>, details: &Details<'_>, out: &mut Vec<u8>) {
    let bytes = details.bytes(id);
    out.extend_from_slice(b"{\"token\":\"");
    push_escaped(&String::from_utf8_lossy(&bytes), out);
    out.extend_from_slice(b"\",\"logprob\":");
    push_logprob(logprob.unwrap_or(LEAST_LOGPROB), out);
    out.extend_from_slice(b",\"bytes\":[");
    push_list(bytes.iter(), out, |byte, out| {
        push_number(usize::from(*byte), out);
    });
    out.push(b']');
}

/// Completions': `{"tokens":[…],"token_logprobs":[…],"top_logprobs":[…],"text_offset":[…]}`. The likeliest tokens of a
/// place include the token that stands there. A place that has no log probabilities, as a prompt's first, has null.
pub(super) fn push_completions<'a>(
    rows: impl Iterator<Item = Row<'a>> + Clone,
    details: &Details<'_>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"tokens\":[");
    push_list(rows.clone(), out, |(row, _), out| {
        push_spelling(row.id, details, out);
    });
    out.extend_from_slice(b"],\"token_logprobs\":[");
    push_list(rows.clone(), out, |(row, _), out| match row.logprob {
        Some(logprob) => push_logprob(logprob, out),
        None => out.extend_from_slice(b"null"),
    });
    out.extend_from_slice(b"],\"top_logprobs\":[");
    push_list(rows.clone(), out, |row, out| push_top(row, details, out));
    out.extend_from_slice(b"],\"text_offset\":[");
    push_list(rows, out, |(row, _), out| {
        push_number(row.text_offset as usize, out);
    });
    out.extend_from_slice(b"]}");
}

/// An object from spelling to log probability. Of tokens that are spelled alike only the likeliest is in it.
fn push_top((row, top): Row<'_>, details: &Details<'_>, out: &mut Vec<u8>) {
    let Some(logprob) = row.logprob else {
        return out.extend_from_slice(b"null");
    };
    let itself = TopLogprob {
        id: row.id,
        logprob,
    };
    let is_in_top = top.iter().any(|other| other.id == row.id);
    let all = top.iter().chain((!is_in_top).then_some(&itself));
    let mut told: Vec<TopLogprob> = Vec::with_capacity(top.len() + 1);
    for one in all {
        let bytes = details.bytes(one.id);
        if told.iter().all(|it| details.bytes(it.id) != bytes) {
            told.push(*one);
        }
    }
    out.push(b'{');
    push_list(told.iter(), out, |one, out| {
        push_spelling(one.id, details, out);
        out.push(b':');
        push_logprob(one.logprob, out);
    });
    out.push(b'}');
}

/// vLLM's `prompt_logprobs`: per token an object from ids to `logprob`, `rank` and `decoded_token`; of the first, null.
/// The rank of a token that is not among the likeliest ones is not known, and null.
pub(super) fn push_prompt<'a>(
    rows: impl Iterator<Item = Row<'a>>,
    details: &Details<'_>,
    out: &mut Vec<u8>,
) {
    out.push(b'[');
    push_list(rows, out, |(row, top), out| {
        let Some(logprob) = row.logprob else {
            return out.extend_from_slice(b"null");
        };
        let ranked = top
            .iter()
            .zip(1..)
            .map(|(it, rank)| (it.id, it.logprob, Some(rank)));
        let is_in_top = top.iter().any(|other| other.id == row.id);
        let itself = (!is_in_top).then_some((row.id, logprob, None));
        out.push(b'{');
        push_list(itself.into_iter().chain(ranked), out, |told, out| {
            push_ranked(told, details, out);
        });
        out.push(b'}');
    });
    out.push(b']');
}

fn push_ranked(
    (id, logprob, rank): (u32, f32, Option<usize>),
    details: &Details<'_>,
    out: &mut Vec<u8>,
) {
    out.push(b'"');
    push_number(id as usize, out);
    out.extend_from_slice(b"\":{\"logprob\":");
    push_logprob(logprob, out);
    out.extend_from_slice(b",\"rank\":");
    match rank {
        Some(rank) => push_number(rank, out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"decoded_token\":\"");
    push_escaped(&String::from_utf8_lossy(&details.bytes(id)), out);
    out.extend_from_slice(b"\"}");
}

/// A token as a JSON string: its text, or `bytes:\xe2\x82` where its bytes are not whole characters.
fn push_spelling(id: u32, details: &Details<'_>, out: &mut Vec<u8>) {
    let bytes = details.bytes(id);
    out.push(b'"');
    if let Ok(text) = std::str::from_utf8(&bytes) {
        push_escaped(text, out);
    } else {
        out.extend_from_slice(b"bytes:");
        for byte in &*bytes {
            out.extend_from_slice(format!("\\\\x{byte:02x}").as_bytes());
        }
    }
    out.push(b'"');
}

fn push_logprob(logprob: f32, out: &mut Vec<u8>) {
    if logprob > LEAST_LOGPROB {
        out.extend_from_slice(format!("{logprob:?}").as_bytes());
    } else {
        out.extend_from_slice(b"-9999.0"); // NaN too
    }
}

/// What `push` writes of each item, with commas between.
pub(super) fn push_list<T>(
    items: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    push: impl Fn(T, &mut Vec<u8>),
) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(item, out);
    }
}
