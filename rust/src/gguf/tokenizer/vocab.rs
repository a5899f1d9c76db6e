//! The tokens, what each of them is, and which have a part to play.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::ends::{ENDS, is_end};
use crate::gguf::error::{Error, shown};
use crate::gguf::metadata::Metadata;

/// What a token is, of ggml's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    /// Matched in a text before all others, and never shown.
    Control,
    /// Matched in a text before all others.
    UserDefined,
    /// `<0x0A>`, for what no other token has.
    Byte,
    Unused,
}

/// The parts that tokens play: the template's name and the key.
const PARTS: [(&str, &str); 7] = [
    ("bos_token", "tokenizer.ggml.bos_token_id"),
    ("eos_token", "tokenizer.ggml.eos_token_id"),
    ("eot_token", "tokenizer.ggml.eot_token_id"),
    ("eom_token", "tokenizer.ggml.eom_token_id"),
    ("unk_token", "tokenizer.ggml.unknown_token_id"),
    ("pad_token", "tokenizer.ggml.padding_token_id"),
    ("sep_token", "tokenizer.ggml.seperator_token_id"),
];

/// What `SentencePiece`'s own models have, where a file does not say.
const PIECE_DEFAULTS: [(&str, usize); 3] = [("bos_token", 1), ("eos_token", 2), ("unk_token", 0)];

/// All tokens by id.
pub(super) struct Vocab<'a> {
    pub(super) tokens: Vec<Cow<'a, str>>,
    pub(super) kinds: Vec<Kind>,
    ids: HashMap<&'a str, usize>,
    parts: Vec<(&'static str, usize)>,
}

impl<'a> Vocab<'a> {
    pub(super) fn read(metadata: &'a Metadata, is_byte_level: bool) -> Result<Self, Error> {
        let texts = needed(
            metadata.texts("tokenizer.ggml.tokens")?,
            "tokenizer.ggml.tokens",
        )?;
        let parts = read_parts(metadata, texts.len(), is_byte_level)?;
        let kinds = read_kinds(metadata, texts, &parts)?;
        let mut ids = HashMap::with_capacity(texts.len());
        let mut tokens = Vec::with_capacity(texts.len());
        for (id, text) in texts.iter().enumerate() {
            if text.is_empty() {
                tokens.push(Cow::Owned(format!("[EMPTY_{id}]")));
                continue;
            }
            if ids.insert(text.as_str(), id).is_some() {
                let text = shown(text);
                return Err(Error::Damaged(format!(
                    "key tokenizer.ggml.tokens has \"{text}\" twice"
                )));
            }
            tokens.push(Cow::Borrowed(text.as_str()));
        }
        Ok(Self {
            tokens,
            kinds,
            ids,
            parts,
        })
    }

    /// The id of a token.
    pub(super) fn id(&self, text: &str) -> Option<usize> {
        self.ids.get(text).copied()
    }

    /// The id of the token that plays a part, as `bos_token`.
    pub(super) fn part(&self, name: &str) -> Option<usize> {
        let found = self.parts.iter().find(|(each, _)| *each == name);
        found.map(|(_, id)| *id)
    }

    /// The tokens that end a text, ascending. gpt-oss ends each part of an answer with `<|end|>`: there it ends none.
    pub(super) fn end_ids(&self) -> Vec<usize> {
        let parts = ["eos_token", "eot_token", "eom_token"];
        let mut ids: BTreeSet<usize> = parts.iter().filter_map(|name| self.part(name)).collect();
        ids.extend(ENDS.iter().filter_map(|text| self.id(text)));
        let has_parts = self.id("<|return|>").is_some() && self.id("<|call|>").is_some();
        if let Some(id) = self.id("<|end|>").filter(|_| has_parts) {
            ids.remove(&id);
        }
        ids.into_iter().collect()
    }

    pub(super) fn special_texts(&self) -> Vec<(&'static str, String)> {
        let text = |id: usize| self.tokens[id].clone().into_owned();
        self.parts
            .iter()
            .map(|(name, id)| (*name, text(*id)))
            .collect()
    }
}

fn read_parts(
    metadata: &Metadata,
    num_tokens: usize,
    is_byte_level: bool,
) -> Result<Vec<(&'static str, usize)>, Error> {
    let mut parts = Vec::new();
    for (name, key) in PARTS {
        let default = PIECE_DEFAULTS.iter().find(|(each, _)| *each == name);
        let default = default.filter(|_| !is_byte_level).map(|(_, id)| *id);
        let id = match metadata.int(key)? {
            // Files say -1, as an unsigned number, where there is none.
            Some(id) => usize::try_from(id).ok().filter(|id| *id < num_tokens),
            None => default.filter(|id| *id < num_tokens),
        };
        parts.extend(id.map(|id| (name, id)));
    }
    Ok(parts)
}

/// As the file has them; what plays a part or ends a text is a control token whatever the file says.
fn read_kinds(
    metadata: &Metadata,
    texts: &[String],
    parts: &[(&str, usize)],
) -> Result<Vec<Kind>, Error> {
    let types = metadata.ints("tokenizer.ggml.token_type")?;
    if types.is_some_and(|types| types.len() < texts.len()) {
        return Err(Error::Damaged(
            "key tokenizer.ggml.token_type has fewer items than tokenizer.ggml.tokens".to_owned(),
        ));
    }
    let parts: HashSet<usize> = parts.iter().map(|(_, id)| *id).collect();
    let kind = |id: usize, text: &str| match types.map_or(1, |types| types[id]) {
        2 | 3 => Kind::Control,
        _ if parts.contains(&id) || is_end(text) => Kind::Control,
        4 => Kind::UserDefined,
        5 => Kind::Unused,
        6 => Kind::Byte,
        _ => Kind::Normal,
    };
    Ok(texts
        .iter()
        .enumerate()
        .map(|(id, text)| kind(id, text))
        .collect())
}

/// A value that must be there.
pub(super) fn needed<T>(value: Option<T>, key: &str) -> Result<T, Error> {
    value.ok_or_else(|| Error::Damaged(format!("key {key} is not there")))
}
