//! A tokenizer.json from the `tokenizer.ggml.*` keys, as Hugging Face's `tokenizers` reads it.
//!
//! Two kinds: `SentencePiece`'s BPE with scores and byte fallback ("llama"), and byte-level BPE with merges ("gpt2").

mod byte_level;
mod ends;
mod json;
mod pieces;
mod split;
mod vocab;

use super::error::{Error, shown};
use super::metadata::Metadata;
use json::TokenizerJson;
use vocab::Vocab;

/// What a file says about its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokenizer {
    /// A tokenizer.json.
    pub json: String,
    /// Special tokens by the names that chat templates have for them: `bos_token` and so on.
    pub specials: Vec<(&'static str, String)>,
}

impl Tokenizer {
    /// Builds it.
    ///
    /// # Errors
    /// A kind of tokenizer that is not built, or keys that contradict one another, by name.
    pub fn read(metadata: &Metadata) -> Result<Self, Error> {
        let is_byte_level = is_byte_level(metadata)?;
        let vocab = Vocab::read(metadata, is_byte_level)?;
        let json = if is_byte_level {
            byte_level::tokenizer(metadata, &vocab)?
        } else {
            pieces::tokenizer(metadata, &vocab)?
        };
        Ok(Self {
            json: to_text(&json),
            specials: vocab.special_texts(),
        })
    }
}

/// The tokens that end a text, ascending.
///
/// # Errors
/// As of `Tokenizer::read`.
pub fn end_ids(metadata: &Metadata) -> Result<Vec<usize>, Error> {
    Ok(Vocab::read(metadata, is_byte_level(metadata)?)?.end_ids())
}

fn is_byte_level(metadata: &Metadata) -> Result<bool, Error> {
    match metadata.text("tokenizer.ggml.model")? {
        Some("gpt2") => Ok(true),
        Some("llama") => Ok(false),
        other => Err(unknown_kind(other)),
    }
}

fn unknown_kind(kind: Option<&str>) -> Error {
    Error::Unsupported(format!(
        "key tokenizer.ggml.model is {}, expected llama or gpt2",
        kind.map_or_else(|| "not there".to_owned(), shown)
    ))
}

fn to_text(json: &TokenizerJson<'_>) -> String {
    serde_json::to_string(json).expect("texts and numbers are JSON")
}
