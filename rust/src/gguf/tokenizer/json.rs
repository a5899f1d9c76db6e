//! The shape of a tokenizer.json.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::vocab::{Kind, Vocab};
use crate::gguf::error::Error;
use crate::gguf::metadata::Metadata;

/// What `tokenizers` reads.
#[derive(Serialize)]
pub(super) struct TokenizerJson<'a> {
    pub(super) version: &'static str,
    pub(super) truncation: Option<()>,
    pub(super) padding: Option<()>,
    pub(super) added_tokens: Vec<AddedToken<'a>>,
    pub(super) normalizer: Value,
    pub(super) pre_tokenizer: Value,
    pub(super) post_processor: Value,
    pub(super) decoder: Value,
    pub(super) model: Bpe<'a>,
}

/// A token that is matched in a text before all others.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the file's own fields")]
pub(super) struct AddedToken<'a> {
    id: usize,
    content: &'a str,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

/// Byte-pair encoding.
#[derive(Serialize)]
pub(super) struct Bpe<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    dropout: Option<()>,
    continuing_subword_prefix: Option<()>,
    end_of_word_suffix: Option<()>,
    pub(super) unk_token: Option<&'a str>,
    pub(super) fuse_unk: bool,
    pub(super) byte_fallback: bool,
    pub(super) ignore_merges: bool,
    #[serde(serialize_with = "as_map")]
    vocab: &'a [Cow<'a, str>],
    pub(super) merges: Vec<(&'a str, &'a str)>,
}

impl<'a> Bpe<'a> {
    pub(super) fn new(vocab: &'a Vocab<'a>, merges: Vec<(&'a str, &'a str)>) -> Self {
        Self {
            kind: "BPE",
            dropout: None,
            continuing_subword_prefix: None,
            end_of_word_suffix: None,
            unk_token: None,
            fuse_unk: false,
            byte_fallback: false,
            ignore_merges: false,
            vocab: &vocab.tokens,
            merges,
        }
    }
}

fn as_map<S: Serializer>(tokens: &[Cow<'_, str>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(tokens.iter().enumerate().map(|(id, token)| (token, id)))
}

/// Tokens that are matched first. `takes_blanks`: which of them take the blanks behind them along.
pub(super) fn added_tokens<'a>(
    vocab: &'a Vocab<'a>,
    takes_blanks: impl Fn(&str) -> bool,
) -> Vec<AddedToken<'a>> {
    let pairs = vocab.tokens.iter().zip(&vocab.kinds).enumerate();
    let added = pairs.filter(|(_, (_, kind))| matches!(kind, Kind::Control | Kind::UserDefined));
    added
        .map(|(id, (token, kind))| AddedToken {
            id,
            content: token,
            single_word: false,
            lstrip: false,
            rstrip: *kind == Kind::Control && takes_blanks(token),
            normalized: false,
            special: *kind == Kind::Control,
        })
        .collect()
}

/// The tokens that are put before and behind a text. The arguments: where the file does not say.
pub(super) fn post_processor(
    metadata: &Metadata,
    vocab: &Vocab<'_>,
    adds_start: bool,
) -> Result<Value, Error> {
    let adds_start = metadata
        .flag("tokenizer.ggml.add_bos_token")?
        .unwrap_or(adds_start);
    let adds_end = metadata
        .flag("tokenizer.ggml.add_eos_token")?
        .unwrap_or(false);
    let start = vocab.part("bos_token").filter(|_| adds_start);
    let end = vocab.part("eos_token").filter(|_| adds_end);
    if start.is_none() && end.is_none() {
        return Ok(Value::Null);
    }
    let special = |id: Option<usize>, kind: u32| {
        id.map(|id| json!({"SpecialToken": {"id": vocab.tokens[id], "type_id": kind}}))
    };
    let around = |name: &str, kind: u32| {
        let sequence = json!({"Sequence": {"id": name, "type_id": kind}});
        [special(start, kind), Some(sequence), special(end, kind)]
            .into_iter()
            .flatten()
    };
    let used = [start, end].into_iter().flatten();
    let tokens: serde_json::Map<String, Value> = used
        .map(|id| {
            let text = &vocab.tokens[id];
            let token = json!({"id": text, "ids": [id], "tokens": [text]});
            (text.clone().into_owned(), token)
        })
        .collect();
    Ok(json!({
        "type": "TemplateProcessing",
        "single": around("A", 0).collect::<Vec<_>>(),
        "pair": around("A", 0).chain(around("B", 1)).collect::<Vec<_>>(),
        "special_tokens": tokens,
    }))
}

/// Parts one after another.
pub(super) fn sequence(field: &str, parts: Vec<Value>) -> Value {
    let mut value = json!({"type": "Sequence"});
    value[field] = Value::Array(parts);
    value
}
