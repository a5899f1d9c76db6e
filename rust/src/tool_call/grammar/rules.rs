//! Rules of a Lark grammar, as they are written down one by one.

use std::fmt::Write as _;

use crate::grammar::lark_text::{escape_text, quote};

/// Bytes of a grammar: as much as is compiled by default. References make a few lines stand for more than any memory
/// holds.
const MAX_BYTES: usize = 256 << 10;

/// A grammar that grows.
pub(super) struct Rules<'s> {
    lines: String,
    num_named: usize,
    markers: &'static [&'static str],
    special: &'s dyn Fn(&str) -> Option<u32>,
}

impl<'s> Rules<'s> {
    pub(super) fn new(
        markers: &'static [&'static str],
        special: &'s dyn Fn(&str) -> Option<u32>,
    ) -> Self {
        Self {
            lines: String::new(),
            num_named: 0,
            markers,
            special,
        }
    }

    /// Whether more may be written; the reason, in one sentence, where not. To be asked before each part of a schema.
    pub(super) fn check_size(&self) -> Result<(), String> {
        if self.lines.len() <= MAX_BYTES {
            return Ok(());
        }
        Err(format!(
            "spelt out they take more than {MAX_BYTES} bytes, with those of the tools before"
        ))
    }

    pub(super) fn lark(self) -> String {
        self.lines
    }

    /// Adds a rule of this name.
    pub(super) fn add(&mut self, name: &str, body: &str) {
        let _ = writeln!(self.lines, "{name}: {body}");
    }

    /// Adds a rule under a new name, which it returns. Options in brackets go with the name: `lead[lazy]`.
    pub(super) fn rule(&mut self, stem: &str, body: &str) -> String {
        let (stem, options) = stem.split_at(stem.find('[').unwrap_or(stem.len()));
        let name = format!("{stem}_{}", self.num_named);
        self.num_named += 1;
        self.add(&format!("{name}{options}"), body);
        name
    }

    /// A text as the parts of a rule's body: literals, and the special tokens in it by their ids.
    pub(super) fn text(&self, text: &str) -> String {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((at, marker, id)) = self.next_special(rest) {
            if at > 0 {
                parts.push(quote(&rest[..at]));
            }
            parts.push(format!("<[{id}]>"));
            rest = &rest[at + marker.len()..];
        }
        if !rest.is_empty() {
            parts.push(quote(rest));
        }
        if parts.is_empty() {
            parts.push("\"\"".to_owned());
        }
        parts.join(" ")
    }

    /// The special token that `text` is, or with which it begins.
    pub(super) fn leading_token(&self, text: &str) -> Option<&'static str> {
        let (at, marker, _) = self.next_special(text)?;
        (at == 0).then_some(marker)
    }

    fn next_special(&self, text: &str) -> Option<(usize, &'static str, u32)> {
        let found = self.markers.iter().filter_map(|marker| {
            let at = text.find(marker)?;
            Some((at, *marker, (self.special)(marker)?))
        });
        found.min_by_key(|(at, marker, _)| (*at, usize::MAX - marker.len()))
    }

    /// Free text up to and with `end`. `length`: of the text, as a repetition in a regular expression.
    pub(super) fn text_until(&mut self, end: &str, length: &str) -> String {
        let free = format!("(?s:.{length})");
        if self.leading_token(end).is_some() {
            let text = self.rule("text", &format!("/{free}/"));
            return format!("{text} {}", self.text(end));
        }
        // Up to the first end in any case: no text can be read in two ways.
        self.rule("text[lazy]", &format!("/{free}{}/", escape_text(end)))
    }
}
