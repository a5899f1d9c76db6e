//! Byte-level BPE: a text is split by patterns, its bytes become signs, and merges are given.

use serde_json::{Value, json};

use super::json::{Bpe, TokenizerJson, added_tokens, post_processor, sequence};
use super::split::{Split, find};
use super::vocab::{Vocab, needed};
use crate::gguf::error::Error;
use crate::gguf::metadata::Metadata;

const MERGES: &str = "tokenizer.ggml.merges";

pub(super) fn tokenizer<'a>(
    metadata: &'a Metadata,
    vocab: &'a Vocab<'a>,
) -> Result<TokenizerJson<'a>, Error> {
    let split = find(metadata.text("tokenizer.ggml.pre")?)?;
    let lines = needed(metadata.texts(MERGES)?, MERGES)?;
    let mut model = Bpe::new(vocab, merges(lines, vocab)?);
    model.ignore_merges = split.ignores_merges;
    let bytes = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false
    });
    Ok(TokenizerJson {
        version: "1.0",
        truncation: None,
        padding: None,
        added_tokens: added_tokens(vocab, |_| false),
        normalizer: if split.composes {
            json!({"type": "NFC"})
        } else {
            Value::Null
        },
        pre_tokenizer: pre_tokenizer(split, &bytes),
        post_processor: post_processor(metadata, vocab, split.adds_bos)?,
        decoder: bytes,
        model,
    })
}

fn pre_tokenizer(split: &Split, bytes: &Value) -> Value {
    let pattern = |regex: &&str| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    let mut steps: Vec<Value> = split.patterns.iter().map(pattern).collect();
    steps.push(bytes.clone());
    sequence("pretokenizers", steps)
}

/// "left right" each; those that make no token are left out, as they cannot act.
fn merges<'a>(lines: &'a [String], vocab: &Vocab<'_>) -> Result<Vec<(&'a str, &'a str)>, Error> {
    let mut merges = Vec::with_capacity(lines.len());
    for line in lines {
        let Some((left, right)) = line.split_once(' ').filter(|(left, _)| !left.is_empty()) else {
            return Err(Error::Damaged(format!(
                "key {MERGES} has a line that is no pair"
            )));
        };
        let is_known = |text: &str| vocab.id(text).is_some();
        if is_known(left) && is_known(right) && is_known(&format!("{left}{right}")) {
            merges.push((left, right));
        }
    }
    Ok(merges)
}
