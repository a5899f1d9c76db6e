//! `SentencePiece`'s BPE: blanks become "▁", pieces are merged by their scores, what has no piece becomes bytes.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::json::{Bpe, TokenizerJson, added_tokens, post_processor, sequence};
use super::vocab::{Kind, Vocab, needed};
use crate::gguf::error::Error;
use crate::gguf::metadata::Metadata;

const SCORES: &str = "tokenizer.ggml.scores";

pub(super) fn tokenizer<'a>(
    metadata: &Metadata,
    vocab: &'a Vocab<'a>,
) -> Result<TokenizerJson<'a>, Error> {
    let scores = needed(metadata.floats(SCORES)?, SCORES)?;
    if scores.len() < vocab.tokens.len() {
        return Err(Error::Damaged(format!(
            "key {SCORES} has fewer items than tokenizer.ggml.tokens"
        )));
    }
    let has_prefix = metadata
        .flag("tokenizer.ggml.add_space_prefix")?
        .unwrap_or(true);
    let mut model = Bpe::new(vocab, merges(vocab, scores));
    model.unk_token = vocab.part("unk_token").map(|id| &*vocab.tokens[id]);
    model.fuse_unk = true;
    model.byte_fallback = true;
    let is_phi3 = metadata.text("general.architecture")? == Some("phi3");
    Ok(TokenizerJson {
        version: "1.0",
        truncation: None,
        padding: None,
        added_tokens: added_tokens(vocab, |token| is_phi3 && takes_blanks(token)),
        normalizer: normalizer(has_prefix),
        pre_tokenizer: Value::Null,
        post_processor: post_processor(metadata, vocab, true)?,
        decoder: decoder(has_prefix),
        model,
    })
}

/// Phi-3's own tokens take the blanks behind them along; those of the model that it was made from do not.
fn takes_blanks(token: &str) -> bool {
    !matches!(token, "<unk>" | "<s>" | "<|endoftext|>")
}

fn normalizer(has_prefix: bool) -> Value {
    let blanks = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    if !has_prefix {
        return blanks;
    }
    let prefix = json!({"type": "Prepend", "prepend": "▁"});
    sequence("normalizers", vec![prefix, blanks])
}

fn decoder(has_prefix: bool) -> Value {
    let mut steps = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if has_prefix {
        steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    sequence("decoders", steps)
}

/// Every way to put a piece together from two others, best pieces first; of one piece the ways with the best parts
/// first, as `transformers` does.
fn merges<'a>(vocab: &'a Vocab<'a>, scores: &[f32]) -> Vec<(&'a str, &'a str)> {
    let of_piece = |text: &str| vocab.id(text).filter(|id| vocab.kinds[*id] == Kind::Normal);
    let descending = |a: f32, b: f32| b.partial_cmp(&a).unwrap_or(Ordering::Equal);
    let mut found: Vec<(f32, &str, &str)> = Vec::new();
    for (id, token) in vocab.tokens.iter().enumerate() {
        if vocab.kinds[id] != Kind::Normal {
            continue;
        }
        let mut ways = Vec::new();
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(first), Some(second)) = (of_piece(left), of_piece(right)) {
                ways.push((scores[first], scores[second], left, right));
            }
        }
        ways.sort_by(|a, b| descending(a.0, b.0).then(descending(a.1, b.1)));
        found.extend(ways.into_iter().map(|way| (scores[id], way.2, way.3)));
    }
    found.sort_by(|a, b| descending(a.0, b.0));
    found
        .into_iter()
        .map(|(_, left, right)| (left, right))
        .collect()
}
