//! What a stream has written and its reader has not taken, and how events are put into it.

use crate::event::{EventWriter, FinishReason, Identity, Usage};
use crate::sse;

use super::Opening;

/// A buffer above this goes back after it was taken.
const MAX_IDLE_CAPACITY: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Frames {
    pub(super) pending: Vec<u8>,
    events: EventWriter,
    pub(super) is_streamed: bool,
    /// Text on its way through a choice, between calls empty.
    pub(super) text: String,
    /// The same, after stop strings.
    pub(super) shown: String,
}

impl Frames {
    pub(super) fn new(opening: &Opening) -> Self {
        let events = EventWriter::new(&Identity {
            response_id: &opening.response_id,
            model: &opening.model,
            created: opening.created,
            is_chat: opening.is_chat,
            include_usage: opening.include_usage,
        });
        let is_streamed = opening.is_streamed;
        Self {
            pending: Vec::new(),
            events,
            is_streamed,
            text: String::new(),
            shown: String::new(),
        }
    }

    pub(super) fn role(&mut self, index: usize) {
        if self.is_streamed {
            self.events.push_role(index, &mut self.pending);
        }
    }

    /// A piece of a choice's text: an event, or `whole` grows.
    pub(super) fn text(&mut self, index: usize, text: &str, whole: &mut String) {
        if self.is_streamed {
            self.events.push_text(index, text, &mut self.pending);
        } else {
            whole.push_str(text);
        }
    }

    pub(super) fn finish(&mut self, index: usize, reason: FinishReason) {
        if self.is_streamed {
            self.events.push_finish(index, reason, &mut self.pending);
        }
    }

    /// All choices have ended.
    pub(super) fn end<'a>(
        &mut self,
        texts: impl IntoIterator<Item = (&'a str, FinishReason)>,
        usage: Usage,
        include_usage: bool,
    ) {
        if !self.is_streamed {
            return self.events.push_body(texts, usage, &mut self.pending);
        }
        if include_usage {
            self.events.push_usage(usage, &mut self.pending);
        }
        self.pending.extend_from_slice(sse::DONE);
    }

    pub(super) fn clear(&mut self) {
        self.pending.clear();
        if self.pending.capacity() > MAX_IDLE_CAPACITY {
            self.pending = Vec::new();
        }
    }
}
