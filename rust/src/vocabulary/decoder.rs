//! The decoder of a tokenizer.json, as steps that can be done once per token, ahead of time.

use serde_json::Value;

use super::{Error, Lead};

/// A step that maps one token's text, whatever stands beside it.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Every `from` becomes `to`.
    Replace { from: String, to: String },
    /// Every `mark` becomes a space; in a text's first token it is dropped if `drops_first`.
    Metaspace { mark: char, drops_first: bool },
    /// Up to `count` leading `content` go.
    Strip { content: char, count: usize },
}

impl Step {
    pub(super) fn apply(&self, token: &str, is_first: bool) -> String {
        match self {
            Step::Replace { from, to } => token.replace(from, to),
            Step::Metaspace { mark, drops_first } => {
                token.replace(*mark, if is_first && *drops_first { "" } else { " " })
            }
            Step::Strip { content, count } => {
                let cut: usize = token
                    .chars()
                    .take(*count)
                    .take_while(|c| c == content)
                    .map(char::len_utf8)
                    .sum();
                token[cut..].to_owned()
            }
        }
    }
}

/// What a decoder does, split into what happens per token and what happens where tokens meet.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Tokens are spelled in the byte-level alphabet and joined as bytes.
    pub(super) is_byte_level: bool,
    /// Tokens such as `<0x0A>` are bytes.
    pub(super) has_byte_fallback: bool,
    /// From here on there is one text, no tokens.
    is_fused: bool,
    pub(super) lead: Lead,
}

impl Plan {
    pub(super) fn read(decoder: &Value) -> Result<Self, Error> {
        let lead = Lead {
            content: ' ',
            count: 0,
        };
        let mut plan = Self {
            steps: Vec::new(),
            is_byte_level: false,
            has_byte_fallback: false,
            is_fused: false,
            lead,
        };
        plan.add(decoder)?;
        Ok(plan)
    }

    pub(super) fn depends_on_position(&self) -> bool {
        self.steps.iter().any(|step| {
            matches!(
                step,
                Step::Metaspace {
                    drops_first: true,
                    ..
                }
            )
        })
    }

    fn add(&mut self, decoder: &Value) -> Result<(), Error> {
        let kind = decoder["type"].as_str().unwrap_or("none");
        let is_per_token = !self.has_byte_fallback && !self.is_fused;
        match kind {
            "Sequence" => decoder["decoders"]
                .as_array()
                .into_iter()
                .flatten()
                .try_for_each(|inner| self.add(inner))?,
            "ByteLevel" if is_per_token && self.steps.is_empty() => {
                (self.is_byte_level, self.is_fused) = (true, true);
            }
            "ByteFallback" if is_per_token => self.has_byte_fallback = true,
            "Fuse" => self.is_fused = true,
            "Replace" if is_per_token => self.steps.push(replace(decoder)?),
            "Metaspace" if is_per_token => self.steps.push(metaspace(decoder)?),
            "Strip" => self.add_strip(decoder, is_per_token)?,
            "ByteLevel" | "ByteFallback" | "Replace" | "Metaspace" => {
                return Err(Error::Decoder(format!("{kind} after other steps")));
            }
            _ => return Err(Error::Decoder(kind.to_owned())),
        }
        Ok(())
    }

    fn add_strip(&mut self, decoder: &Value, is_per_token: bool) -> Result<(), Error> {
        let content = one_char(&decoder["content"])
            .ok_or_else(|| Error::Decoder("Strip without content".to_owned()))?;
        let count = decoder["start"]
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(0);
        if decoder["stop"].as_u64().unwrap_or(0) != 0 {
            return Err(Error::Decoder("Strip at the end of a text".to_owned()));
        }
        if is_per_token {
            self.steps.push(Step::Strip { content, count });
        } else if self.is_fused && self.lead.count == 0 {
            self.lead = Lead { content, count };
        } else {
            return Err(Error::Decoder("Strip after ByteFallback".to_owned()));
        }
        Ok(())
    }
}

fn replace(decoder: &Value) -> Result<Step, Error> {
    let from = decoder["pattern"]["String"]
        .as_str()
        .filter(|from| !from.is_empty());
    match (from, decoder["content"].as_str()) {
        (Some(from), Some(to)) => Ok(Step::Replace {
            from: from.to_owned(),
            to: to.to_owned(),
        }),
        _ => Err(Error::Decoder("Replace by a regular expression".to_owned())),
    }
}

/// `prepend_scheme` decides; the older `add_prefix_space` stands in for it.
fn metaspace(decoder: &Value) -> Result<Step, Error> {
    let mark = one_char(&decoder["replacement"])
        .ok_or_else(|| Error::Decoder("Metaspace without a replacement character".to_owned()))?;
    let drops_first = match decoder["prepend_scheme"].as_str() {
        Some(scheme) => scheme != "never",
        None => decoder["add_prefix_space"].as_bool().unwrap_or(true),
    };
    Ok(Step::Metaspace { mark, drops_first })
}

fn one_char(value: &Value) -> Option<char> {
    let mut chars = value.as_str()?.chars();
    chars.next().filter(|_| chars.next().is_none())
}
