//! A tokenizer.json, read for the way out: token id → text or bytes, and how its decoder joins them.
//!
//! Knows no merges, scores or normalizers: only what `tokenizers` 0.23 looks at when it decodes.

mod decoder;
mod pieces;
#[cfg(test)]
pub(crate) mod testing;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use decoder::Plan;
pub use pieces::Piece;
use pieces::Pieces;

/// Why a tokenizer.json cannot be used.
#[derive(Debug)]
pub enum Error {
    /// Not JSON, or not of a tokenizer's shape.
    Json(serde_json::Error),
    /// A decoder that needs the whole text before it can give any of it, or one that is unknown; its name.
    Decoder(String),
    /// A model whose vocabulary cannot be read; its name.
    Model(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Json(cause) => write!(f, "tokenizer.json cannot be read: {cause}"),
            Error::Decoder(name) => write!(
                f,
                "tokenizer.json has a decoder that cannot be streamed: {name}; expected ByteLevel, Metaspace, or a \
                 Sequence of Replace, ByteFallback, Fuse and Strip"
            ),
            Error::Model(name) => {
                write!(
                    f,
                    "tokenizer.json has a model that cannot be streamed: {name}; expected BPE or Unigram"
                )
            }
        }
    }
}

impl std::error::Error for Error {}

#[derive(Deserialize)]
struct TokenizerJson<'a> {
    #[serde(default, borrow)]
    added_tokens: Vec<AddedToken<'a>>,
    #[serde(default)]
    decoder: serde_json::Value,
    #[serde(borrow)]
    model: ModelJson<'a>,
}

#[derive(Deserialize)]
struct AddedToken<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct ModelJson<'a> {
    #[serde(default, borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    vocab: &'a RawValue,
}

/// Token id → text or bytes.
#[derive(Debug)]
pub struct Vocabulary {
    pieces: Pieces,
    /// The same tokens as the first of a text, where the decoder treats that one differently (Metaspace).
    first: Option<Pieces>,
    lead: Lead,
    /// Ids of the special tokens, by their text.
    specials: HashMap<String, u32>,
}

/// What is stripped from the start of a whole text: up to `count` times `content`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lead {
    pub(crate) content: char,
    pub(crate) count: usize,
}

impl Vocabulary {
    /// Reads a tokenizer.json.
    ///
    /// # Errors
    /// When it is not JSON of that shape, or its decoder or model is one that cannot be streamed.
    pub fn from_json(data: &[u8]) -> Result<Self, Error> {
        let json: TokenizerJson<'_> = serde_json::from_slice(data).map_err(Error::Json)?;
        let plan = Plan::read(&json.decoder)?;
        let model = model_tokens(&json.model)?;
        let specials: HashSet<&str> = json
            .added_tokens
            .iter()
            .filter(|t| t.special)
            .map(|t| &*t.content)
            .collect();
        let tokens = with_added(model, &json.added_tokens);
        let build = |is_first| Pieces::build(&tokens, &specials, &plan, is_first);
        let special_ids = tokens.iter().filter(|(_, text)| specials.contains(&**text));
        Ok(Self {
            specials: special_ids
                .map(|(id, text)| (text.to_string(), *id))
                .collect(),
            pieces: build(false),
            first: plan.depends_on_position().then(|| build(true)),
            lead: plan.lead,
        })
    }

    /// One more than the greatest token id.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there are no tokens at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.len() == 0
    }

    /// What a token gives, as the first of a text or a later one; `Absent` for ids that name no token.
    #[inline]
    #[must_use]
    pub fn piece(&self, id: u32, is_first: bool) -> Piece<'_> {
        match &self.first {
            Some(first) if is_first => first.get(id),
            _ => self.pieces.get(id),
        }
    }

    /// The bytes that a token stands for; none of an id that names no token.
    #[must_use]
    pub fn bytes(&self, id: u32) -> Cow<'_, [u8]> {
        match self.pieces.get(id) {
            Piece::Absent => Cow::Borrowed(&[]),
            Piece::Text(text) => Cow::Borrowed(text.as_bytes()),
            Piece::Bytes(bytes) => Cow::Borrowed(bytes),
            Piece::Byte(byte) => Cow::Owned(vec![byte]),
        }
    }

    /// Whether a token is special: never part of a text that a client sees.
    #[inline]
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        self.pieces.is_special(id)
    }

    /// The special token of that text.
    #[must_use]
    pub fn special_id(&self, text: &str) -> Option<u32> {
        self.specials.get(text).copied()
    }

    pub(crate) fn lead(&self) -> Lead {
        self.lead
    }
}

/// The model's own tokens: by id, and how many there are.
struct ModelTokens<'a> {
    ids: HashMap<Cow<'a, str>, u32>,
    by_id: Vec<(u32, Cow<'a, str>)>,
}

#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Token<'a>(#[serde(borrow)] Cow<'a, str>);

fn model_tokens<'a>(model: &ModelJson<'a>) -> Result<ModelTokens<'a>, Error> {
    match model.kind.as_deref() {
        None | Some("BPE" | "Unigram" | "WordLevel") => {}
        Some(other) => return Err(Error::Model(other.to_owned())),
    }
    let vocab = model.vocab.get();
    let by_id: Vec<(u32, Cow<'a, str>)> = if vocab.starts_with('[') {
        let rows: Vec<(Token<'a>, serde::de::IgnoredAny)> =
            serde_json::from_str(vocab).map_err(Error::Json)?;
        (0..)
            .zip(rows.into_iter().map(|(token, _)| token.0))
            .collect()
    } else {
        let rows: HashMap<Token<'a>, u32> = serde_json::from_str(vocab).map_err(Error::Json)?;
        rows.into_iter().map(|(token, id)| (id, token.0)).collect()
    };
    let ids = by_id
        .iter()
        .map(|(id, token)| (token.clone(), *id))
        .collect();
    Ok(ModelTokens { ids, by_id })
}

/// All tokens by id. `tokenizers` gives an added token the model's id if the model knows its text, else the next free
/// one in the order of the list, whatever id the file says; an empty one is dropped.
fn with_added<'a>(model: ModelTokens<'a>, added: &'a [AddedToken<'a>]) -> Vec<(u32, Cow<'a, str>)> {
    let ModelTokens {
        mut ids,
        by_id: mut tokens,
    } = model;
    let size = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
    let mut greatest_added: Option<u32> = None;
    for token in added.iter().filter(|token| !token.content.is_empty()) {
        let id = *ids.entry(token.content.clone()).or_insert_with(|| {
            let id = greatest_added.map_or(size, |greatest| (greatest + 1).max(size));
            tokens.push((id, token.content.clone()));
            id
        });
        greatest_added = greatest_added.max(Some(id));
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::testing::from_tokens;
    use super::*;

    fn refusal(decoder: &str, model: &str) -> String {
        let json = format!(
            r#"{{"decoder": {decoder}, "model": {{"type": "{model}", "vocab": {{"a": 0}}}}}}"#
        );
        Vocabulary::from_json(json.as_bytes())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_cannot_be_streamed_is_refused_by_name() {
        assert!(refusal(r#"{"type": "WordPiece"}"#, "BPE").contains("WordPiece"));
        assert!(refusal("null", "BPE").contains("none"));
        assert!(refusal(r#"{"type": "ByteLevel"}"#, "WordPiece").contains("WordPiece"));
        assert!(
            refusal(
                r#"{"type": "Strip", "content": " ", "start": 0, "stop": 1}"#,
                "BPE"
            )
            .contains("Strip")
        );
        assert!(
            refusal(
                r#"{"type": "Replace", "pattern": {"Regex": "a"}, "content": ""}"#,
                "BPE"
            )
            .contains("regular")
        );
    }

    #[test]
    fn the_first_token_of_a_metaspace_text_has_no_space() {
        let tokens = ["▁a".to_owned()].into_iter();
        let vocabulary = from_tokens(
            tokens,
            r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}"#,
        );
        assert_eq!(vocabulary.piece(0, true), Piece::Text("a"));
        assert_eq!(vocabulary.piece(0, false), Piece::Text(" a"));
    }

    #[test]
    fn bad_files_are_errors() {
        for data in [
            "",
            "[]",
            "{}",
            r#"{"model": {"vocab": 3}}"#,
            r#"{"model": {"type": "BPE", "vocab": {"a": -1}}}"#,
        ] {
            assert!(Vocabulary::from_json(data.as_bytes()).is_err(), "{data}");
        }
    }
}
