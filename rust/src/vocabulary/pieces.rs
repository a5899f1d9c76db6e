//! Every token's text or bytes in two arenas, so that a look-up is two slices and no allocation.

use std::borrow::Cow;
use std::collections::HashSet;

use super::decoder::Plan;

/// What one token gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// No token has this id.
    Absent,
    /// Whole characters.
    Text(&'a str),
    /// Bytes of a byte-level token that are not whole characters by themselves.
    Bytes(&'a [u8]),
    /// One byte of a byte-fallback run.
    Byte(u8),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Absent,
    Text,
    Bytes,
    Byte,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u32,
    end: u32,
    kind: Kind,
    is_special: bool,
}

const ABSENT: Entry = Entry {
    start: 0,
    end: 0,
    kind: Kind::Absent,
    is_special: false,
};

#[derive(Debug, Default)]
pub(super) struct Pieces {
    entries: Vec<Entry>,
    text: String,
    bytes: Vec<u8>,
}

/// Ids above this are not taken: the table has a row for each id, and a file could name any.
const MAX_ID: u32 = 1 << 24;

impl Pieces {
    pub(super) fn build(
        tokens: &[(u32, Cow<'_, str>)],
        specials: &HashSet<&str>,
        plan: &Plan,
        is_first: bool,
    ) -> Self {
        let mut pieces = Self::default();
        let alphabet = Alphabet::new();
        for (id, token) in tokens.iter().filter(|(id, _)| *id < MAX_ID) {
            let index = *id as usize;
            if pieces.entries.len() <= index {
                pieces.entries.resize(index + 1, ABSENT);
            }
            let mut entry = if plan.is_byte_level {
                pieces.add_bytes(alphabet.bytes_of(token))
            } else {
                let text = plan
                    .steps
                    .iter()
                    .fold(token.to_string(), |text, step| step.apply(&text, is_first));
                match fallback_byte(&text).filter(|_| plan.has_byte_fallback) {
                    Some(byte) => Entry {
                        start: u32::from(byte),
                        kind: Kind::Byte,
                        ..ABSENT
                    },
                    None => pieces.add_text(&text),
                }
            };
            entry.is_special = specials.contains(&**token);
            pieces.entries[index] = entry;
        }
        pieces.text.shrink_to_fit();
        pieces
    }

    fn add_text(&mut self, text: &str) -> Entry {
        let start = self.text.len();
        self.text.push_str(text);
        Self::entry(start, self.text.len(), Kind::Text)
    }

    /// An empty token is bytes, too: it does not part those of a character around it.
    fn add_bytes(&mut self, bytes: Vec<u8>) -> Entry {
        match String::from_utf8(bytes) {
            Ok(text) if text.is_empty() => Self::entry(0, 0, Kind::Bytes),
            Ok(text) => self.add_text(&text),
            Err(partial) => {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(partial.as_bytes());
                Self::entry(start, self.bytes.len(), Kind::Bytes)
            }
        }
    }

    /// A vocabulary of 4 GiB of text does not get here; its tail would be absent.
    fn entry(start: usize, end: usize, kind: Kind) -> Entry {
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) => Entry {
                start,
                end,
                kind,
                is_special: false,
            },
            _ => ABSENT,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> Piece<'_> {
        let entry = self.entries.get(id as usize).copied().unwrap_or(ABSENT);
        let range = entry.start as usize..entry.end as usize;
        match entry.kind {
            Kind::Absent => Piece::Absent,
            Kind::Text => Piece::Text(&self.text[range]),
            Kind::Bytes => Piece::Bytes(&self.bytes[range]),
            Kind::Byte => Piece::Byte(entry.start.to_le_bytes()[0]),
        }
    }

    #[inline]
    pub(super) fn is_special(&self, id: u32) -> bool {
        self.entries
            .get(id as usize)
            .is_some_and(|entry| entry.is_special)
    }
}

/// `<0x41>` → 0x41, in either case of digits.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2)
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

/// GPT-2's byte-level alphabet: printable Latin-1 stands for itself, the other bytes are U+0100 and up, in order.
struct Alphabet {
    /// Byte by character, for U+0000 to U+0143.
    bytes: Vec<Option<u8>>,
}

impl Alphabet {
    fn new() -> Self {
        let mut bytes = vec![None; 0x100];
        for byte in u8::MIN..=u8::MAX {
            if matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF) {
                bytes[usize::from(byte)] = Some(byte);
            } else {
                bytes.push(Some(byte));
            }
        }
        Self { bytes }
    }

    /// The bytes that a token spells. A token with any character outside the alphabet is text as it stands.
    fn bytes_of(&self, token: &str) -> Vec<u8> {
        let byte_of = |c: char| self.bytes.get(c as usize).copied().flatten();
        token
            .chars()
            .map(byte_of)
            .collect::<Option<_>>()
            .unwrap_or_else(|| token.as_bytes().to_vec())
    }
}
