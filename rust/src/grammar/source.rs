//! The kinds of grammar that the wire knows, as what llguidance compiles: Lark or a JSON schema.

use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

use super::json_options::with_options;
use super::lark_text::quote;
use super::regex_classes::spelt_out;
use super::{ebnf, inline_json, lark_size, schema, structural_tag};

/// How a grammar's text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A JSON schema, as JSON.
    JsonSchema,
    /// Any JSON object; no text.
    JsonObject,
    /// A regular expression, of Rust's syntax, that the whole output matches.
    Regex,
    /// A JSON array of strings, of which the output is one.
    Choice,
    /// A Lark grammar, of llguidance's syntax.
    Lark,
    /// A grammar in the notation of llama.cpp's GBNF and of xgrammar's EBNF.
    Ebnf,
    /// Free text with parts of a given form, of xgrammar's notation, as JSON.
    StructuralTag,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::JsonSchema,
        Self::JsonObject,
        Self::Regex,
        Self::Choice,
        Self::Lark,
        Self::Ebnf,
        Self::StructuralTag,
    ];

    /// By which Python names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::JsonSchema => "json_schema",
            Self::JsonObject => "json_object",
            Self::Regex => "regex",
            Self::Choice => "choice",
            Self::Lark => "lark",
            Self::Ebnf => "ebnf",
            Self::StructuralTag => "structural_tag",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As a sentence calls it.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::JsonSchema | Self::JsonObject => "schema",
            Self::Regex => "regular expression",
            Self::Choice => "list of choices",
            Self::Lark | Self::Ebnf => "grammar",
            Self::StructuralTag => "structural tag",
        }
    }
}

/// A grammar that was read.
pub(super) struct Source {
    pub(super) grammar: TopLevelGrammar,
    /// The same without the greatest lengths of strings, and the least of these; where it can be asked in its place.
    pub(super) unbounded: Option<(TopLevelGrammar, usize)>,
}

impl From<TopLevelGrammar> for Source {
    fn from(grammar: TopLevelGrammar) -> Self {
        Self {
            grammar,
            unbounded: None,
        }
    }
}

/// Reads a grammar's text. The reason, in one sentence, where it is at fault.
pub(super) fn read(kind: Kind, text: &str) -> Result<Source, String> {
    if kind != Kind::JsonSchema {
        return read_plain(kind, text).map(Source::from);
    }
    let schema = schema::prepare(&json_of(text)?)?;
    let unbounded = schema::without_bounds(&schema);
    Ok(Source {
        grammar: of_schema(schema),
        unbounded: unbounded.map(|found| (of_schema(found.schema), found.least_max_length)),
    })
}

fn read_plain(kind: Kind, text: &str) -> Result<TopLevelGrammar, String> {
    match kind {
        Kind::JsonSchema => Ok(of_schema(schema::prepare(&json_of(text)?)?)),
        Kind::JsonObject => Ok(of_schema(json!({"type": "object"}))),
        Kind::Regex => {
            let regex = spelt_out(without_anchors(text)?);
            Ok(TopLevelGrammar::from_regex(&regex))
        }
        Kind::Choice => of_lark(choice(text)?),
        Kind::Lark => of_lark(inline_json::prepare(text)?),
        Kind::Ebnf => of_lark(ebnf::to_lark(text)?),
        Kind::StructuralTag => of_lark(structural_tag::to_lark(&json_of(text)?)?),
    }
}

fn of_lark(lark: String) -> Result<TopLevelGrammar, String> {
    lark_size::check(&lark)?;
    Ok(TopLevelGrammar::from_lark(lark))
}

fn json_of(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it is not valid JSON: {error}"))
}

fn of_schema(schema: Value) -> TopLevelGrammar {
    TopLevelGrammar::from_json_schema(with_options(schema))
}

/// The whole output matches in any case, so anchors at both ends say nothing and are no syntax of llguidance.
fn without_anchors(regex: &str) -> Result<&str, String> {
    let begun = regex.strip_prefix('^').unwrap_or(regex);
    let is_escaped = |rest: &str| {
        let slashes = rest.bytes().rev().take_while(|byte| *byte == b'\\').count();
        slashes % 2 == 1
    };
    let body = begun.strip_suffix('$').filter(|rest| !is_escaped(rest));
    let body = body.unwrap_or(begun);
    if body.is_empty() {
        Err("the regular expression allows no text".to_owned())
    } else {
        Ok(body)
    }
}

fn choice(text: &str) -> Result<String, String> {
    let choices: Vec<String> =
        serde_json::from_str(text).map_err(|_| "it must be an array of strings".to_owned())?;
    if choices.is_empty() {
        return Err("the list of choices is empty".to_owned());
    }
    if choices.iter().any(String::is_empty) {
        return Err("an empty string cannot be chosen".to_owned());
    }
    let quoted: Vec<String> = choices.iter().map(|choice| quote(choice)).collect();
    Ok(format!("start: {}", quoted.join(" | ")))
}
