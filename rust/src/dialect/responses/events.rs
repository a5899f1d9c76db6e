//! The frame of an event: its name, twice, and its number.

use crate::dialect::named_event;

/// Counts the events of one stream.
#[derive(Debug, Default)]
pub(super) struct Events {
    num_events: u64,
}

impl Events {
    /// An event up to its own members, of which each is to begin with a comma.
    pub(super) fn begin(&mut self, name: &str, out: &mut Vec<u8>) {
        named_event::begin(name, out);
        out.extend_from_slice(b",\"sequence_number\":");
        out.extend_from_slice(self.num_events.to_string().as_bytes());
        self.num_events += 1;
    }

    /// Its end.
    pub(super) fn end(out: &mut Vec<u8>) {
        named_event::end(out);
    }
}
