//! JSON values on their way through, without a parser: as they are, or out of a string.

use super::output::Output;

/// What comes behind a part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// More of it.
    More,
    /// It is whole.
    Whole,
    /// It has broken off: what follows is no JSON.
    Broken,
}

/// Where in an object or array a text is. Its brackets are counted, not paired: broken JSON passes as it is written, up to
/// a mark of its format.
#[derive(Debug, Default)]
pub(super) struct JsonValue {
    depth: u32,
    in_string: bool,
    is_escaped: bool,
}

impl JsonValue {
    /// How many bytes of `text` belong to the value, and what comes then.
    pub(super) fn read(&mut self, text: &str) -> (usize, Read) {
        for (at, byte) in text.bytes().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return (at + 1, Read::Whole);
                    }
                }
                // JSON has none outside of strings, and all marks begin with it.
                b'<' => return (at, Read::Broken),
                _ => {}
            }
        }
        (text.len(), Read::More)
    }
}

/// Gives what a JSON string says, from behind its first quote on. Returns the bytes used, and whether it has ended.
pub(super) fn read_string(text: &str, out: &mut Output) -> (usize, bool) {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let plain = rest.find(['"', '\\']).unwrap_or(rest.len());
        out.arguments(&rest[..plain]);
        at += plain;
        match text[at..].bytes().next() {
            Some(b'"') => return (at + 1, true),
            Some(_) => match escape_len(&text[at..]) {
                Some(len) => {
                    out.arguments(&unescaped(&text[at..at + len]));
                    at += len;
                }
                None => return (at, false),
            },
            None => {}
        }
    }
    (at, false)
}

/// Bytes of the escape with which `text` begins, a pair of surrogates taken as one. None: it is not whole yet.
fn escape_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let floor = |len: usize| (len..=text.len()).find(|at| text.is_char_boundary(*at));
    if bytes.get(1)? != &b'u' {
        return floor(2);
    }
    if bytes.len() < 6 {
        return None;
    }
    let is_high = matches!(bytes[2], b'd' | b'D')
        && matches!(bytes[3], b'8'..=b'9' | b'a'..=b'b' | b'A'..=b'B');
    if !is_high {
        return floor(6);
    }
    match (bytes.get(6), bytes.get(7)) {
        (None, _) | (Some(b'\\'), None) => None,
        (Some(b'\\'), Some(b'u')) => (bytes.len() >= 12).then_some(12).and_then(floor),
        _ => floor(6),
    }
}

/// What an escape stands for; itself, if for nothing.
fn unescaped(escape: &str) -> String {
    serde_json::from_str(&format!("\"{escape}\"")).unwrap_or_else(|_| escape.to_owned())
}
