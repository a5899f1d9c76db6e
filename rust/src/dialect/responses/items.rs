//! The items of a response's output, as they open, grow and close.

use super::super::escape::push_escaped;
use super::super::runs::{Part, PartWriter};
use super::Events;
use super::item::{Body, Item};

/// The items of one response.
#[derive(Debug)]
pub(super) struct Items {
    /// The response's id without its prefix: those of its items begin with it, so that they lead back to it.
    stem: String,
    reasoning_as_summary: bool,
    item: Option<Item>,
    /// Items that are closed, with commas between them.
    output: Vec<u8>,
    num_closed: usize,
}

/// The items, and the events that tell of them.
pub(super) struct Told<'a> {
    items: &'a mut Items,
    events: &'a mut Events,
}

impl Items {
    pub(super) fn new(response_id: &str, reasoning_as_summary: bool) -> Self {
        Self {
            stem: response_id.trim_start_matches("resp_").to_owned(),
            reasoning_as_summary,
            item: None,
            output: Vec::new(),
            num_closed: 0,
        }
    }

    pub(super) fn with<'a>(&'a mut self, events: &'a mut Events) -> Told<'a> {
        Told {
            items: self,
            events,
        }
    }

    /// All that are closed, with commas between them.
    pub(super) fn output(&self) -> &[u8] {
        &self.output
    }
}

impl PartWriter for Told<'_> {
    fn open(&mut self, part: Part<'_>, out: &mut Vec<u8>) {
        let body = match part {
            Part::Text => Body::Message,
            Part::Reasoning if self.items.reasoning_as_summary => Body::Summary,
            Part::Reasoning => Body::Reasoning,
            Part::ToolCall { id, name } => Body::Call {
                id: id.to_owned(),
                name: name.to_owned(),
            },
        };
        let index = self.items.num_closed;
        let item = Item::new(body, &self.items.stem, index);
        self.events.begin("response.output_item.added", out);
        out.extend_from_slice(format!(",\"output_index\":{index},\"item\":").as_bytes());
        item.push("in_progress", false, out);
        Events::end(out);
        if let Some([added, _]) = item.form().part {
            self.events.begin(added, out);
            out.extend_from_slice(&item.place);
            out.extend_from_slice(b",\"part\":");
            item.push_part(false, out);
            Events::end(out);
        }
        self.items.item = Some(item);
    }

    fn extend(&mut self, text: &str, logprobs: &[u8], out: &mut Vec<u8>) {
        let Some(item) = self.items.item.as_mut() else {
            return;
        };
        item.text.push_str(text);
        if !item.logprobs.is_empty() && !logprobs.is_empty() {
            item.logprobs.push(b',');
        }
        item.logprobs.extend_from_slice(logprobs);
        self.events.begin(item.form().delta, out);
        out.extend_from_slice(&item.place);
        item.push_logprobs(logprobs, out);
        out.extend_from_slice(b",\"delta\":\"");
        push_escaped(text, out);
        out.push(b'"');
        Events::end(out);
    }

    fn close(&mut self, is_whole: bool, out: &mut Vec<u8>) {
        let Some(item) = self.items.item.take() else {
            return;
        };
        item.push_done(self.events, out);
        let start = self.items.output.len();
        if start > 0 {
            self.items.output.push(b',');
        }
        let start = self.items.output.len();
        let status = if is_whole { "completed" } else { "incomplete" };
        item.push(status, true, &mut self.items.output);
        self.events.begin("response.output_item.done", out);
        let index = self.items.num_closed;
        out.extend_from_slice(format!(",\"output_index\":{index},\"item\":").as_bytes());
        out.extend_from_slice(&self.items.output[start..]);
        Events::end(out);
        self.items.num_closed += 1;
    }
}
