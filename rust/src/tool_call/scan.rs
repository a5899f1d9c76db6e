//! A cursor over text that is still arriving.
//!
//! Every answer holds for every text that begins alike: what is found or refused stays so whatever comes, and what
//! more text could change is `Wait`. So a reading does not depend on how its text was cut.

use super::json_value::{JsonValue, Read};

/// Why a reading has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// More text is needed.
    Wait,
    /// This is something else.
    Fail,
}

pub(super) type Scanned<T> = Result<T, Stop>;

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next byte, which stays.
    pub(super) fn peek(&self) -> Scanned<u8> {
        self.rest().bytes().next().ok_or(Stop::Wait)
    }

    pub(super) fn literal(&mut self, literal: &str) -> Scanned<()> {
        if self.maybe(literal)? {
            Ok(())
        } else {
            Err(Stop::Fail)
        }
    }

    /// Passes `literal` if it is there.
    pub(super) fn maybe(&mut self, literal: &str) -> Scanned<bool> {
        let rest = self.rest();
        if rest.starts_with(literal) {
            self.at += literal.len();
            return Ok(true);
        }
        if literal.starts_with(rest) {
            return Err(Stop::Wait);
        }
        Ok(false)
    }

    /// Passes white space.
    pub(super) fn space(&mut self) {
        self.at += space_len(self.rest());
    }

    /// Passes what `is_part` takes, and needs to see what follows.
    pub(super) fn run(&mut self, is_part: impl Fn(char) -> bool) -> Scanned<&'a str> {
        let rest = self.rest();
        let len = rest.find(|c| !is_part(c)).ok_or(Stop::Wait)?;
        self.at += len;
        Ok(&rest[..len])
    }

    /// A whole JSON string, as it is written between its quotes.
    pub(super) fn json_string(&mut self) -> Scanned<&'a str> {
        self.literal("\"")?;
        let rest = self.rest();
        let mut is_escaped = false;
        for (at, byte) in rest.bytes().enumerate() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => {
                    self.at += at + 1;
                    return Ok(&rest[..at]);
                }
                _ => {}
            }
        }
        Err(Stop::Wait)
    }

    /// A whole JSON value of any kind, as it is written. Its brackets are balanced; no more is said of it.
    pub(super) fn json_value(&mut self) -> Scanned<&'a str> {
        let start = self.at;
        match self.peek()? {
            b'"' => {
                self.json_string()?;
            }
            b'{' | b'[' => {
                let (len, read) = JsonValue::default().read(self.rest());
                match read {
                    Read::Whole => self.at += len,
                    Read::More => return Err(Stop::Wait),
                    Read::Broken => return Err(Stop::Fail),
                }
            }
            _ => {
                let atom =
                    self.run(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-'))?;
                if atom.is_empty() {
                    return Err(Stop::Fail);
                }
            }
        }
        Ok(&self.text[start..self.at])
    }
}

/// Characters of tool names, all that the door takes: letters and digits of any script, and signs. `OpenAI` allows
/// fewer. What stands behind a name in any format is white space or another sign of ASCII.
pub(super) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '_' | '-' | '.' | ':' | '/')
        || !c.is_ascii() && !c.is_whitespace()
}

/// Bytes of white space at the start of `text`.
pub(super) fn space_len(text: &str) -> usize {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    text.bytes().take_while(is_space).count()
}

/// At most the first `limit` bytes of `text`, in whole characters.
pub(super) fn head_of(text: &str, limit: usize) -> &str {
    let mut len = text.len().min(limit);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    &text[..len]
}

/// Bytes at the end of `text` with which `literal` may begin.
pub(crate) fn partial_len(text: &str, literal: &str) -> usize {
    let longest = text.len().min(literal.len().saturating_sub(1));
    (1..=longest)
        .rev()
        .filter(|len| literal.is_char_boundary(*len))
        .find(|len| text.ends_with(&literal[..*len]))
        .unwrap_or(0)
}

/// The first of `literals` in `text`: where it begins, and which it is.
pub(crate) fn find_first<'l>(text: &str, literals: &[&'l str]) -> Option<(usize, &'l str)> {
    let found = literals
        .iter()
        .filter_map(|literal| Some((text.find(literal)?, *literal)));
    // Of two at one place the longer counts.
    found.min_by_key(|(at, literal)| (*at, usize::MAX - literal.len()))
}

/// Bytes at the end of `text` with which one of `literals` may begin.
pub(crate) fn longest_partial(text: &str, literals: &[&str]) -> usize {
    literals
        .iter()
        .map(|literal| partial_len(text, literal))
        .max()
        .unwrap_or(0)
}
