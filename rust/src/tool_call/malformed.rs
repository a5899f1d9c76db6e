//! What looked like a call and is none that a client could run: counted, so that it can be told.
//!
//! A call counts once it shows itself: by a mark that only calls have, or at an answer's start by the words of one. So
//! does a call whose name was shown and whose arguments break off or are no JSON object. One that the limit of new
//! tokens has cut is not malformed: the choice's end tells that.

use serde_json::value::RawValue;

use super::scan::{head_of, is_name_char, space_len};
use super::syntax::{Block, Call, Part, ToolFormat};

/// Bytes of arguments that are looked at; longer ones pass unseen.
const MAX_CHECKED_BYTES: usize = 1024 * 1024;
/// Bytes of an answer's start that are read for the words of a call.
const MAX_SUSPECT_BYTES: usize = 4 * 1024;

/// The calls of a choice that are none.
#[derive(Debug, Default)]
pub(super) struct MalformedCalls {
    num_seen: u32,
    /// Whether one was under way when the text ended.
    is_open_at_end: bool,
    /// Of the call under way, as they were shown.
    arguments: String,
    /// The answer's start, where it may read like a call and is none.
    suspect: Option<String>,
}

impl MalformedCalls {
    /// One is.
    pub(super) fn add(&mut self) {
        self.num_seen += 1;
    }

    /// The answer begins with `text`, which is no call and may read like one when more has come.
    pub(super) fn suspect(&mut self, text: &str) {
        if self.suspect.is_none() {
            self.suspect = Some(String::new());
            self.hear(text);
        }
    }

    /// More text has come.
    pub(super) fn hear(&mut self, text: &str) {
        if let Some(heard) = &mut self.suspect {
            let room = MAX_SUSPECT_BYTES.saturating_sub(heard.len());
            heard.push_str(head_of(text, room));
        }
    }

    /// A call begins.
    pub(super) fn begin(&mut self) {
        self.arguments.clear();
    }

    /// More of its arguments.
    pub(super) fn keep(&mut self, arguments: &str) {
        if self.arguments.len() <= MAX_CHECKED_BYTES {
            self.arguments.push_str(arguments);
        }
    }

    /// The arguments of a call are whole.
    pub(super) fn check(&mut self) {
        if !self.has_object() {
            self.add();
        }
    }

    /// The text has ended within a call. `is_checked`: its arguments may be whole all the same.
    pub(super) fn end_within(&mut self, is_checked: bool) {
        self.is_open_at_end |= !is_checked || !self.has_object();
    }

    /// How many there are, of a choice that has ended. `is_cut`: the limit of new tokens has ended it.
    pub(super) fn num(&self, is_cut: bool) -> u32 {
        let is_open = self.is_open_at_end && !is_cut;
        let is_suspect = self.suspect.as_deref().is_some_and(reads_like_a_call);
        self.num_seen + u32::from(is_open) + u32::from(is_suspect)
    }

    fn has_object(&self) -> bool {
        let arguments = self.arguments.trim();
        self.arguments.len() > MAX_CHECKED_BYTES
            || arguments.starts_with('{') && serde_json::from_str::<&RawValue>(arguments).is_ok()
    }
}

/// What of `text`, which was found to be no call, are the marks of one: so many bytes at its start.
pub(super) fn marks_len(format: &ToolFormat, text: &str) -> Option<usize> {
    for block in format.blocks {
        if is_mark(format, block) && text.starts_with(block.open) {
            let rest = &text[block.open.len()..];
            return Some(block.open.len() + space_len(rest));
        }
        if let Some(frame) = frames(format, block).find(|frame| text.starts_with(frame)) {
            return Some(frame.len());
        }
    }
    None
}

/// Whether calls may stand without a mark, so that what is no call can only be told by its words.
pub(super) fn is_bare(format: &ToolFormat) -> bool {
    format
        .blocks
        .iter()
        .any(|block| matches!(block.open, "" | "[") && frames(format, block).next().is_none())
}

/// Whether a block's start is one of the marks that models have for calls alone.
fn is_mark(format: &ToolFormat, block: &Block) -> bool {
    let mut markers = format.markers.iter();
    markers.any(|marker| block.open.contains(marker))
}

/// The fixed texts with which calls without a block begin.
fn frames<'f>(
    format: &'f ToolFormat,
    block: &'f Block,
) -> impl Iterator<Item = &'static str> + use<'f> {
    let calls = format.calls.iter().filter(|_| block.open.is_empty());
    calls.filter_map(|call| match call {
        Call::Named { head, .. } => match head.first() {
            Some(Part::Text(frame)) => Some(*frame),
            _ => None,
        },
        Call::Object => None,
    })
}

/// Whether a text has the words of a call: `{"name": "…"` and its arguments, or `[name(`.
fn reads_like_a_call(text: &str) -> bool {
    let has_arguments = || text.contains("\"arguments\"") || text.contains("\"parameters\"");
    let text = text.strip_prefix('[').unwrap_or(text).trim_start();
    if let Some(object) = text.strip_prefix('{') {
        return object.trim_start().starts_with("\"name\"") && has_arguments();
    }
    let behind = text.trim_start_matches(is_name_char);
    behind.len() < text.len() && behind.starts_with('(')
}
