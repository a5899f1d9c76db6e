//! JSON that is still arriving: whether a place in it is inside of a string.

use serde_json::value::RawValue;

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Value { or_end: bool },
    Key { or_end: bool },
    Colon,
    CommaOrEnd,
    InString { is_key: bool },
    Escape { is_key: bool },
    Hex { num_left: u8, is_key: bool },
    InAtom { start: usize },
    Nothing,
}

/// An object or array, read byte by byte, each once. What breaks JSON off ends it.
#[derive(Debug)]
pub(super) struct JsonPrefix {
    next: Next,
    /// Brackets that are open, as the bytes that close them.
    closes: Vec<u8>,
    num_read: usize,
}

impl JsonPrefix {
    pub(super) const fn new() -> Self {
        Self {
            next: Next::Value { or_end: false },
            closes: Vec::new(),
            num_read: 0,
        }
    }

    /// Whether what follows `text` stands in a string. `text` begins with all that was read before.
    pub(super) fn ends_in_string(&mut self, text: &str) -> bool {
        let bytes = text.as_bytes();
        while self.num_read < bytes.len() && self.next != Next::Nothing {
            self.next = self.after(bytes[self.num_read], text);
            self.num_read += 1;
        }
        matches!(self.next, Next::InString { .. })
    }

    fn after(&mut self, byte: u8, text: &str) -> Next {
        let is_space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let is_close = self.closes.last() == Some(&byte);
        match self.next {
            Next::InAtom { start } if is_in_atom(byte) => Next::InAtom { start },
            Next::InAtom { start } => {
                if serde_json::from_str::<&RawValue>(&text[start..self.num_read]).is_err() {
                    return Next::Nothing;
                }
                self.next = Next::CommaOrEnd;
                self.after(byte, text)
            }
            Next::InString { is_key } => match byte {
                b'"' if is_key => Next::Colon,
                b'"' => Next::CommaOrEnd,
                b'\\' => Next::Escape { is_key },
                0..0x20 => Next::Nothing,
                _ => self.next,
            },
            Next::Escape { is_key } => match byte {
                b'u' => Next::Hex {
                    num_left: 4,
                    is_key,
                },
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Next::InString { is_key },
                _ => Next::Nothing,
            },
            Next::Hex { .. } if !byte.is_ascii_hexdigit() => Next::Nothing,
            Next::Hex {
                num_left: 1,
                is_key,
            } => Next::InString { is_key },
            Next::Hex { num_left, is_key } => Next::Hex {
                num_left: num_left - 1,
                is_key,
            },
            _ if is_space => self.next,
            Next::Key { or_end: true } | Next::Value { or_end: true } | Next::CommaOrEnd
                if is_close =>
            {
                self.closes.pop();
                if self.closes.is_empty() {
                    Next::Nothing
                } else {
                    Next::CommaOrEnd
                }
            }
            Next::Value { .. } => self.begin(byte),
            Next::Key { .. } if byte == b'"' => Next::InString { is_key: true },
            Next::Colon if byte == b':' => Next::Value { or_end: false },
            Next::CommaOrEnd if byte == b',' && self.closes.last() == Some(&b'}') => {
                Next::Key { or_end: false }
            }
            Next::CommaOrEnd if byte == b',' => Next::Value { or_end: false },
            _ => Next::Nothing,
        }
    }

    /// Behind the first byte of a value.
    fn begin(&mut self, byte: u8) -> Next {
        match byte {
            b'"' => Next::InString { is_key: false },
            b'{' => {
                self.closes.push(b'}');
                Next::Key { or_end: true }
            }
            b'[' => {
                self.closes.push(b']');
                Next::Value { or_end: true }
            }
            _ if is_in_atom(byte) => Next::InAtom {
                start: self.num_read,
            },
            _ => Next::Nothing,
        }
    }
}

/// Whether it may stand in a number or a word.
fn is_in_atom(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A naive twin: a parser that looks for more behind signs that stand in strings only.
    fn stands_in_string(text: &str) -> bool {
        serde_json::from_str::<&RawValue>(&format!("{text}<<<<")).is_err_and(|error| error.is_eof())
    }

    fn assert_as_the_twin(text: &str) {
        let mut prefix = JsonPrefix::new();
        for (at, _) in text.char_indices().skip(1) {
            let seen = prefix.ends_in_string(&text[..at]);
            assert_eq!(seen, stands_in_string(&text[..at]), "{:?}", &text[..at]);
        }
    }

    #[test]
    fn it_knows_strings_as_a_parser_does() {
        for text in [
            r#"{"a": "b</p>", "c\"": [1, -2.5e+3, true, {}, [], ["é\u00e9\n"]], "d": null} "x""#,
            r#"[1 "a"]"#,
            r#"["\x"]"#,
            r#"["\u12g4"]"#,
            "[\"a\nb\"]",
            r#"{"a" "b"}"#,
            r#"{a: "b"}"#,
            r#"{"a": 01, "b"}"#,
            r#"[tru, "b"]"#,
            r#"[1,, "b"]"#,
            r#"{"a": "b"]"#,
            r#"[{"a": 1}, "b"]"#,
        ] {
            assert_as_the_twin(text);
        }
    }

    proptest! {
        #[test]
        fn it_knows_strings_as_a_parser_does_in_any_text(text in r#"[\[{]([\[\]{},: "\\u<]|"a"|1|-0\.5e1|true|nul|\\n|\\u00e9|é){0,24}"#) {
            assert_as_the_twin(&text);
        }
    }
}
