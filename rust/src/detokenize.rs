//! Token ids in, whole UTF-8 text out; what may still become a character is held back.
//!
//! Joined, the text is what `tokenizers` gives for all ids at once with `skip_special_tokens=True`. Knows nothing of
//! stop strings or of where the text goes.

use crate::vocabulary::{Piece, Vocabulary};

/// A run of byte-fallback tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Run {
    /// Not in one: what is held is the start of a byte-level character.
    None,
    /// All of it is held.
    Open,
    /// It can no longer become text, and nothing of it is held.
    Broken,
}

/// The text of one sequence of token ids.
#[derive(Debug)]
pub struct Detokenizer {
    /// Bytes without a text yet: the start of a character (byte level), or a whole run of byte tokens (byte fallback).
    held: Vec<u8>,
    /// How many of `held` are known to be whole characters.
    num_valid: usize,
    run: Run,
    is_first: bool,
    lead_left: usize,
}

impl Detokenizer {
    /// For a text that begins.
    #[must_use]
    pub fn new(vocabulary: &Vocabulary) -> Self {
        let lead_left = vocabulary.lead().count;
        Self {
            held: Vec::new(),
            num_valid: 0,
            run: Run::None,
            is_first: true,
            lead_left,
        }
    }

    /// Appends to `out` the text that `id` completes. Special tokens and ids that name no token give none.
    pub fn push(&mut self, vocabulary: &Vocabulary, id: u32, out: &mut String) {
        if !vocabulary.is_special(id) {
            self.push_shown(vocabulary, id, out);
        }
    }

    /// As [`push`](Self::push), special tokens included.
    pub fn push_shown(&mut self, vocabulary: &Vocabulary, id: u32, out: &mut String) {
        let start = out.len();
        match vocabulary.piece(id, self.is_first) {
            Piece::Absent => return,
            Piece::Text(text) => {
                self.flush(out);
                out.push_str(text);
            }
            Piece::Bytes(bytes) => self.push_bytes(bytes, out),
            Piece::Byte(byte) => self.push_byte(byte, out),
        }
        self.is_first = false;
        self.strip_lead(vocabulary, start, out);
    }

    /// Appends what is still held: the sequence has ended.
    pub fn finish(&mut self, vocabulary: &Vocabulary, out: &mut String) {
        let start = out.len();
        self.flush(out);
        self.strip_lead(vocabulary, start, out);
    }

    /// Byte level: whole characters go out, each maximal part of a broken one as one U+FFFD (as
    /// `String::from_utf8_lossy` does), and the start of a character stays.
    fn push_bytes(&mut self, bytes: &[u8], out: &mut String) {
        self.held.extend_from_slice(bytes);
        let mut rest = &self.held[..];
        while !rest.is_empty() {
            let Err(error) = std::str::from_utf8(rest) else {
                out.push_str(std::str::from_utf8(rest).unwrap_or_default());
                rest = &[];
                break;
            };
            let (valid, after) = rest.split_at(error.valid_up_to());
            out.push_str(std::str::from_utf8(valid).unwrap_or_default());
            rest = after;
            let Some(num_broken) = error.error_len() else {
                break;
            };
            out.push(char::REPLACEMENT_CHARACTER);
            rest = &rest[num_broken..];
        }
        let num_out = self.held.len() - rest.len();
        self.held.drain(..num_out);
    }

    /// Byte fallback: `tokenizers` shows a run of byte tokens as text only if all of it is UTF-8, else as one U+FFFD
    /// per byte. So a run is held until it ends or breaks.
    fn push_byte(&mut self, byte: u8, out: &mut String) {
        if self.run == Run::Broken {
            out.push(char::REPLACEMENT_CHARACTER);
            return;
        }
        self.run = Run::Open;
        self.held.push(byte);
        match std::str::from_utf8(&self.held[self.num_valid..]) {
            Ok(_) => self.num_valid = self.held.len(),
            Err(error) if error.error_len().is_none() => self.num_valid += error.valid_up_to(),
            Err(_) => {
                push_replacements(self.held.len(), out);
                self.held.clear();
                self.num_valid = 0;
                self.run = Run::Broken;
            }
        }
    }

    /// Whatever is held can get no more bytes.
    #[inline]
    fn flush(&mut self, out: &mut String) {
        let run = std::mem::replace(&mut self.run, Run::None);
        if !self.held.is_empty() {
            self.flush_held(run, out);
        }
    }

    fn flush_held(&mut self, run: Run, out: &mut String) {
        match std::str::from_utf8(&self.held) {
            Ok(text) => out.push_str(text),
            Err(_) if run == Run::Open => push_replacements(self.held.len(), out),
            Err(_) => out.push(char::REPLACEMENT_CHARACTER),
        }
        self.held.clear();
        self.num_valid = 0;
    }

    #[inline]
    fn strip_lead(&mut self, vocabulary: &Vocabulary, start: usize, out: &mut String) {
        if self.lead_left > 0 {
            self.strip_what_is_left(vocabulary, start, out);
        }
    }

    fn strip_what_is_left(&mut self, vocabulary: &Vocabulary, start: usize, out: &mut String) {
        while self.lead_left > 0 && start < out.len() {
            if out[start..].starts_with(vocabulary.lead().content) {
                out.remove(start);
                self.lead_left -= 1;
            } else {
                self.lead_left = 0;
            }
        }
    }
}

fn push_replacements(count: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(char::REPLACEMENT_CHARACTER, count));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::testing::{byte_fallback, byte_level};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static BYTES: LazyLock<Vocabulary> = LazyLock::new(|| byte_level(&[]));

    /// What each push gives, and then the end.
    fn pieces(vocabulary: &Vocabulary, ids: impl IntoIterator<Item = u32>) -> Vec<String> {
        let mut detokenizer = Detokenizer::new(vocabulary);
        let mut pieces = Vec::new();
        for id in ids {
            pieces.push(String::new());
            detokenizer.push(vocabulary, id, pieces.last_mut().unwrap());
        }
        pieces.push(String::new());
        detokenizer.finish(vocabulary, pieces.last_mut().unwrap());
        pieces
    }

    #[test]
    fn a_split_character_waits_for_its_last_byte() {
        let vocabulary = byte_level(&[]);
        assert_eq!(
            pieces(&vocabulary, [0xf0, 0x9f, 0x99, 0x82, 0x41]),
            ["", "", "", "🙂", "A", ""]
        );
        assert_eq!(
            pieces(&vocabulary, [0xf0, 0x9f, 0x41, 0xe2]),
            ["", "", "\u{fffd}A", "", "\u{fffd}"]
        );
    }

    #[test]
    fn an_empty_token_does_not_part_a_character() {
        let vocabulary = byte_level(&[""]);
        assert_eq!(
            pieces(&vocabulary, [0xc2, 256, 0x80]),
            ["", "", "\u{80}", ""]
        );
    }

    #[test]
    fn a_run_of_byte_tokens_waits_for_its_end_or_its_break() {
        let vocabulary = byte_fallback(&["▁x"]);
        assert_eq!(
            pieces(&vocabulary, [256, 0xc3, 0xa9, 256]),
            ["x", "", "", "é x", ""]
        );
        let broken = ["x", "", "", "\u{fffd}\u{fffd}\u{fffd}", "\u{fffd}", ""];
        assert_eq!(pieces(&vocabulary, [256, 0xc3, 0xa9, 0xff, 0x41]), broken);
    }

    #[test]
    fn special_and_unknown_ids_leave_no_trace() {
        let vocabulary = byte_level(&["w"]);
        assert_eq!(
            pieces(&vocabulary, [0xc3, 257, 99_999, 0xa9]),
            ["", "", "", "é", ""]
        );
    }

    proptest! {
        #[test]
        fn byte_level_text_is_the_lossy_reading_of_all_bytes(bytes in any::<Vec<u8>>()) {
            let pieces = pieces(&BYTES, bytes.iter().map(|byte| u32::from(*byte)));
            prop_assert_eq!(pieces.concat(), String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn what_is_valid_never_shows_a_replacement(text in ".{0,16}") {
            let pieces = pieces(&BYTES, text.bytes().map(u32::from));
            prop_assert_eq!(pieces.concat(), text);
        }
    }
}
