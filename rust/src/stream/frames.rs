//! What a stream has written and its reader has not taken.

use crate::dialect::EventWriter;
use crate::opening::Opening;

/// A buffer above this goes back after it was taken.
const MAX_IDLE_CAPACITY: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Frames {
    pub(super) pending: Vec<u8>,
    writer: Box<dyn EventWriter>,
    pub(super) is_streamed: bool,
}

impl Frames {
    pub(super) fn new(opening: &Opening) -> Self {
        Self {
            pending: Vec::new(),
            writer: opening.dialect.writer(&opening.identity()),
            is_streamed: opening.is_streamed,
        }
    }

    /// Has the dialect write to what is pending.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut dyn EventWriter, &mut Vec<u8>)) {
        write(&mut *self.writer, &mut self.pending);
    }

    /// The same, of a stream only: a plain answer is written at its end.
    pub(super) fn write_event(&mut self, write: impl FnOnce(&mut dyn EventWriter, &mut Vec<u8>)) {
        if self.is_streamed {
            self.write(write);
        }
    }

    /// The answer that was written, where it is to be kept.
    pub(super) fn take_record(&mut self) -> Option<Vec<u8>> {
        self.writer.take_record()
    }

    /// A sign of life. False where the dialect has none.
    pub(super) fn ping(&mut self) -> bool {
        let ping = self.writer.ping();
        self.pending.extend_from_slice(ping);
        !ping.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.pending.clear();
        if self.pending.capacity() > MAX_IDLE_CAPACITY {
            self.pending = Vec::new();
        }
    }
}
