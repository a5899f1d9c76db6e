//! Lets text through, holding back what may be the start of a stop string.
//!
//! A generation stops at the first character that completes a stop string; of several completed by the same character
//! the longest counts. So the cut does not depend on how the text was split. `StopStage` is the watch as a stage of a
//! choice: it stands before whatever splits the text, and sees all of it.

use std::sync::Arc;

use crate::delta::{Delta, Kind, Untold};
use crate::finish_reason::FinishReason;
use crate::stage::{End, Flow, Next, Stage};

/// Stop strings, prepared once per stream for all its choices.
#[derive(Debug, Default)]
pub struct StopStrings {
    patterns: Vec<Pattern>,
    /// Whether any stop string begins with this byte.
    begins: Vec<bool>,
}

#[derive(Debug)]
struct Pattern {
    text: String,
    /// By matched length - 1: the longest shorter match that is still possible (Knuth, Morris, Pratt 1977).
    fallback: Vec<usize>,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let mut pattern = Self {
            fallback: Vec::with_capacity(text.len()),
            text: text.to_owned(),
        };
        pattern.fallback.push(0);
        for (index, byte) in text.bytes().enumerate().skip(1) {
            let longest = pattern.advance(pattern.fallback[index - 1], byte);
            pattern.fallback.push(longest);
        }
        pattern
    }

    /// The matched length after one more byte; `matched` is less than the pattern's length.
    fn advance(&self, mut matched: usize, byte: u8) -> usize {
        while self.text.as_bytes()[matched] != byte {
            if matched == 0 {
                return 0;
            }
            matched = self.fallback[matched - 1];
        }
        matched + 1
    }
}

impl StopStrings {
    /// Empty strings stop nothing and are left out.
    #[must_use]
    pub fn new<S: AsRef<str>>(strings: &[S]) -> Self {
        let patterns: Vec<_> = strings
            .iter()
            .map(AsRef::as_ref)
            .filter(|s| !s.is_empty())
            .map(Pattern::new)
            .collect();
        let mut begins = if patterns.is_empty() {
            Vec::new()
        } else {
            vec![false; 256]
        };
        for pattern in &patterns {
            begins[usize::from(pattern.text.as_bytes()[0])] = true;
        }
        Self { patterns, begins }
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// One of them, by its place.
    #[must_use]
    pub fn get(&self, place: u32) -> Option<&str> {
        let pattern = self.patterns.get(place as usize)?;
        Some(&pattern.text)
    }
}

/// The watch over one choice's text.
#[derive(Debug, Default)]
pub struct StopWatch {
    /// Matched length of each stop string.
    matched: Vec<usize>,
    held: String,
}

impl StopWatch {
    /// For a text that begins.
    #[must_use]
    pub fn new(strings: &StopStrings) -> Self {
        Self {
            matched: vec![0; strings.patterns.len()],
            held: String::new(),
        }
    }

    /// Appends to `out` what of the text so far can be shown. Once a stop string is complete, gives its place; then
    /// `out` has got all that stands before it, and `held` the stop string. Nothing must be pushed any more.
    #[must_use]
    pub fn push(&mut self, strings: &StopStrings, text: &str, out: &mut String) -> Option<u32> {
        if strings.is_empty() {
            out.push_str(text);
            return None;
        }
        let end = self.scan(strings, text.as_bytes());
        let (scanned, num_back) = match end {
            Some((end, place)) => (&text[..end], strings.patterns[place].text.len()),
            None => (text, self.matched.iter().copied().max().unwrap_or(0)),
        };
        self.release(scanned, num_back, out);
        end.and_then(|(_, place)| u32::try_from(place).ok())
    }

    /// Gives what was held back: the text has ended without a stop string, or with one that is to be shown.
    pub fn finish(&mut self, out: &mut String) {
        out.push_str(&self.held);
        self.held.clear();
        self.matched.fill(0);
    }

    /// Where the first stop string ends in `text` and which it is.
    fn scan(&mut self, strings: &StopStrings, text: &[u8]) -> Option<(usize, usize)> {
        let mut index = 0;
        let mut is_idle = self.held.is_empty();
        while index < text.len() {
            if is_idle {
                index += text[index..]
                    .iter()
                    .position(|byte| strings.begins[usize::from(*byte)])?;
            }
            if let Some(place) = self.step(strings, text[index]) {
                return Some((index + 1, place));
            }
            index += 1;
            is_idle = self.matched.iter().all(|matched| *matched == 0);
        }
        None
    }

    /// The place of the longest stop string that this byte completes.
    fn step(&mut self, strings: &StopStrings, byte: u8) -> Option<usize> {
        let mut longest = None;
        for (place, pattern) in strings.patterns.iter().enumerate() {
            let matched = &mut self.matched[place];
            *matched = pattern.advance(*matched, byte);
            if *matched == pattern.text.len() {
                longest = longest.max(Some((*matched, place)));
                *matched = pattern.fallback[*matched - 1];
            }
        }
        longest.map(|(_, place)| place)
    }

    /// Shows `held + text` but for its last `num_back` bytes, which stay held. These begin a stop string, so the cut
    /// is between characters.
    fn release(&mut self, text: &str, num_back: usize, out: &mut String) {
        let num_out = (self.held.len() + text.len()).saturating_sub(num_back);
        if let Some(num_of_text) = num_out.checked_sub(self.held.len()) {
            out.push_str(&self.held);
            out.push_str(&text[..num_of_text]);
            self.held.clear();
            self.held.push_str(&text[num_of_text..]);
        } else {
            out.push_str(&self.held[..num_out]);
            self.held.drain(..num_out);
            self.held.push_str(text);
        }
    }
}

/// Ends a choice at its first stop string.
#[derive(Debug)]
pub struct StopStage {
    strings: Arc<StopStrings>,
    /// Whether the stop string is shown.
    is_shown: bool,
    watch: StopWatch,
    /// What a delta lets out; between calls empty.
    shown: String,
    untold: Untold,
}

impl StopStage {
    /// For a text that begins. `is_shown`: whether the stop string that ends it is shown.
    #[must_use]
    pub fn new(strings: Arc<StopStrings>, is_shown: bool) -> Self {
        Self {
            watch: StopWatch::new(&strings),
            strings,
            is_shown,
            shown: String::new(),
            untold: Untold::default(),
        }
    }

    /// Gives `shown`, with all tokens since the last time.
    fn give(&mut self, next: &mut Next<'_>) -> Flow {
        if self.shown.is_empty() {
            return Flow::Continue(());
        }
        let tokens = self.untold.tell();
        let (kind, text) = (Kind::Text, self.shown.as_str());
        let flow = next.push(&Delta { kind, text, tokens });
        self.shown.clear();
        flow
    }
}

impl Stage for StopStage {
    /// Stop strings are looked for in text alone; what an engine gives as another kind ends a text.
    fn push(&mut self, delta: &Delta<'_>, next: &mut Next<'_>) -> Flow {
        if delta.kind != Kind::Text {
            self.finish(next)?;
            self.untold.take(delta);
            return next.push(&Delta {
                tokens: self.untold.tell(),
                ..delta.clone()
            });
        }
        self.untold.take(delta);
        let place = self.watch.push(&self.strings, delta.text, &mut self.shown);
        if place.is_some() && self.is_shown {
            self.watch.finish(&mut self.shown);
        }
        self.give(next)?;
        if place.is_none() {
            return Flow::Continue(());
        }
        next.end(End {
            reason: FinishReason::Stop,
            stop_string: place,
        })
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Flow {
        self.watch.finish(&mut self.shown);
        self.give(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The obvious way: grow the text by one character and look at its end.
    fn naive(stops: &[String], text: &str) -> (String, bool) {
        for (end, c) in text
            .char_indices()
            .map(|(start, c)| (start + c.len_utf8(), c))
        {
            let seen = &text[..end];
            debug_assert!(seen.ends_with(c));
            if let Some(stop) = stops
                .iter()
                .filter(|s| !s.is_empty() && seen.ends_with(*s))
                .max_by_key(|s| s.len())
            {
                return (seen[..end - stop.len()].to_owned(), true);
            }
        }
        (text.to_owned(), false)
    }

    fn watched(stops: &[String], chunks: &[&str]) -> (String, bool) {
        let strings = StopStrings::new(stops);
        let mut watch = StopWatch::new(&strings);
        let mut out = String::new();
        for chunk in chunks {
            if watch.push(&strings, chunk, &mut out).is_some() {
                return (out, true);
            }
        }
        watch.finish(&mut out);
        (out, false)
    }

    #[test]
    fn holds_back_only_what_can_begin_a_stop_string() {
        let strings = StopStrings::new(&["</end>"]);
        let mut watch = StopWatch::new(&strings);
        let mut out = String::new();
        assert_eq!(watch.push(&strings, "a <", &mut out), None);
        assert_eq!(out, "a ");
        assert_eq!(watch.push(&strings, "/b", &mut out), None);
        assert_eq!(out, "a </b");
    }

    #[test]
    fn the_first_completed_stop_string_wins() {
        let stops = ["abcd".to_owned(), "bc".to_owned()];
        assert_eq!(watched(&stops, &["xabcd"]), ("xa".to_owned(), true));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn every_chunking_equals_the_naive_twin(
            stops in prop::collection::vec("[abé\n]{0,4}", 0..4),
            text in "[abcé\n]{0,24}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let mut at: Vec<usize> = cuts.iter().map(|cut| bounds[cut.index(bounds.len())]).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let chunks: Vec<&str> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(watched(&stops, &chunks), naive(&stops, &text));
        }
    }
}
