//! What stands right of `::=`, and how Lark spells it.

use std::collections::{BTreeMap, BTreeSet};

use crate::grammar::lark_text::quote;

/// A part of a rule.
#[derive(Debug, PartialEq)]
pub(super) enum Expression {
    Text(String),
    /// A class of Rust's regular expressions, with its brackets.
    Class(String),
    Name(String),
    /// One after the other; with none, the empty text.
    Sequence(Vec<Expression>),
    Choice(Vec<Expression>),
    Repeat {
        what: Box<Expression>,
        min: u32,
        max: Option<u32>,
    },
}

impl Expression {
    /// The rules that it refers to.
    pub(super) fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Text(_) | Self::Class(_) => Box::new(std::iter::empty()),
            Self::Name(name) => Box::new(std::iter::once(name.as_str())),
            Self::Sequence(parts) | Self::Choice(parts) => {
                Box::new(parts.iter().flat_map(Self::names))
            }
            Self::Repeat { what, .. } => what.names(),
        }
    }
}

/// How references are spelt: Lark has terminals in capitals, which are regular expressions, and rules.
pub(super) struct Context<'a> {
    pub(super) numbers: &'a BTreeMap<&'a str, usize>,
    pub(super) regular: &'a BTreeSet<&'a str>,
}

impl Context<'_> {
    pub(super) fn reference(&self, name: &str) -> String {
        let number = self.numbers.get(name).copied().unwrap_or_default();
        let letter = if self.regular.contains(name) {
            'T'
        } else {
            'r'
        };
        format!("{letter}{number}")
    }

    pub(super) fn spell(&self, expression: &Expression) -> String {
        match expression {
            Expression::Text(text) => quote(text),
            Expression::Class(class) => format!("/{class}/"),
            Expression::Name(name) => self.reference(name),
            Expression::Sequence(parts) if parts.is_empty() => quote(""),
            Expression::Sequence(parts) => self.join(parts, " ", Self::spell_part),
            Expression::Choice(parts) => self.join(parts, " | ", |context, part| {
                format!("({})", context.spell(part))
            }),
            Expression::Repeat { what, min, max } => {
                let what = self.spell(what);
                let times = match (min, max) {
                    (0, None) => "*".to_owned(),
                    (1, None) => "+".to_owned(),
                    (0, Some(1)) => "?".to_owned(),
                    (min, None) => format!("{{{min},}}"),
                    (min, Some(max)) => format!("{{{min},{max}}}"),
                };
                format!("({what}){times}")
            }
        }
    }

    fn spell_part(&self, part: &Expression) -> String {
        match part {
            Expression::Choice(_) => format!("({})", self.spell(part)),
            _ => self.spell(part),
        }
    }

    fn join(
        &self,
        parts: &[Expression],
        between: &str,
        spell: impl Fn(&Self, &Expression) -> String,
    ) -> String {
        let parts: Vec<String> = parts.iter().map(|part| spell(self, part)).collect();
        parts.join(between)
    }
}
