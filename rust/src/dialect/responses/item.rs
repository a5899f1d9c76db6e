//! One item of a response's output: its events' names, and the object that it is.

use super::super::escape::push_escaped;
use super::Events;
use crate::dialect::json::push_text;

/// What an item's events are called, and where its text stands.
#[derive(Debug)]
pub(super) struct Form {
    /// Of the item's id.
    prefix: &'static str,
    pub(super) delta: &'static str,
    done: &'static str,
    /// What the text is called in `done`.
    text: &'static str,
    /// The events of the part that the text stands in, and where that is.
    pub(super) part: Option<[&'static str; 2]>,
    place: &'static str,
}

const MESSAGE: Form = Form {
    prefix: "msg_",
    delta: "response.output_text.delta",
    done: "response.output_text.done",
    text: "text",
    part: Some(["response.content_part.added", "response.content_part.done"]),
    place: ",\"content_index\":0",
};
const REASONING: Form = Form {
    prefix: "rs_",
    delta: "response.reasoning_text.delta",
    done: "response.reasoning_text.done",
    ..MESSAGE
};
const SUMMARY: Form = Form {
    prefix: "rs_",
    delta: "response.reasoning_summary_text.delta",
    done: "response.reasoning_summary_text.done",
    text: "text",
    part: Some([
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
    ]),
    place: ",\"summary_index\":0",
};
const CALL: Form = Form {
    prefix: "fc_",
    delta: "response.function_call_arguments.delta",
    done: "response.function_call_arguments.done",
    text: "arguments",
    part: None,
    place: "",
};

#[derive(Debug)]
pub(super) enum Body {
    Message,
    Reasoning,
    Summary,
    Call { id: String, name: String },
}

/// The item that grows.
#[derive(Debug)]
pub(super) struct Item {
    body: Body,
    /// `,"item_id":…,"output_index":…` and the place: what its events begin with.
    pub(super) place: Vec<u8>,
    id: String,
    pub(super) text: String,
    pub(super) logprobs: Vec<u8>,
}

impl Item {
    pub(super) fn new(body: Body, stem: &str, index: usize) -> Self {
        let form = body.form();
        let mut id = Vec::new();
        push_escaped(&format!("{}{stem}_{index}", form.prefix), &mut id);
        let id = String::from_utf8_lossy(&id).into_owned();
        let place = format!(
            ",\"item_id\":\"{id}\",\"output_index\":{index}{}",
            form.place
        );
        Self {
            body,
            place: place.into_bytes(),
            id,
            text: String::new(),
            logprobs: Vec::new(),
        }
    }

    pub(super) fn form(&self) -> &'static Form {
        self.body.form()
    }

    /// The events that tell its text, whole, and close the part that it stands in.
    pub(super) fn push_done(&self, events: &mut Events, out: &mut Vec<u8>) {
        let form = self.form();
        events.begin(form.done, out);
        out.extend_from_slice(&self.place);
        self.push_logprobs(&self.logprobs, out);
        if let Body::Call { name, .. } = &self.body {
            push_text("name", name, out);
        }
        push_text(form.text, &self.text, out);
        Events::end(out);
        if let Some([_, done]) = form.part {
            events.begin(done, out);
            out.extend_from_slice(&self.place);
            out.extend_from_slice(b",\"part\":");
            self.push_part(true, out);
            Events::end(out);
        }
    }

    /// The item as an object; `has_text`: with what has come of it, else as it opens.
    pub(super) fn push(&self, status: &str, has_text: bool, out: &mut Vec<u8>) {
        let text = if has_text { self.text.as_str() } else { "" };
        out.extend_from_slice(
            format!(
                "{{\"id\":\"{}\",\"status\":\"{status}\",\"type\":\"",
                self.id
            )
            .as_bytes(),
        );
        let list: &[u8] = match &self.body {
            Body::Message => b"message\",\"role\":\"assistant\",\"content\":[",
            Body::Reasoning => b"reasoning\",\"summary\":[],\"content\":[",
            Body::Summary => b"reasoning\",\"summary\":[",
            Body::Call { id, name } => {
                out.extend_from_slice(b"function_call\"");
                push_text("call_id", id, out);
                push_text("name", name, out);
                push_text("arguments", text, out);
                return out.push(b'}');
            }
        };
        out.extend_from_slice(list);
        if has_text {
            self.push_part(true, out);
        }
        out.extend_from_slice(b"]}");
    }

    pub(super) fn push_part(&self, has_text: bool, out: &mut Vec<u8>) {
        let (kind, annotations): (&[u8], &[u8]) = match self.body {
            Body::Reasoning => (b"{\"type\":\"reasoning_text\"", b""),
            Body::Summary => (b"{\"type\":\"summary_text\"", b""),
            _ => (b"{\"type\":\"output_text\"", b",\"annotations\":[]"),
        };
        out.extend_from_slice(kind);
        out.extend_from_slice(annotations);
        let (text, logprobs): (&str, &[u8]) = if has_text {
            (&self.text, &self.logprobs)
        } else {
            ("", b"")
        };
        self.push_logprobs(logprobs, out);
        push_text("text", text, out);
        out.push(b'}');
    }

    /// Of a message only.
    pub(super) fn push_logprobs(&self, logprobs: &[u8], out: &mut Vec<u8>) {
        if matches!(self.body, Body::Message) {
            out.extend_from_slice(b",\"logprobs\":[");
            out.extend_from_slice(logprobs);
            out.push(b']');
        }
    }
}

impl Body {
    fn form(&self) -> &'static Form {
        match self {
            Self::Message => &MESSAGE,
            Self::Reasoning => &REASONING,
            Self::Summary => &SUMMARY,
            Self::Call { .. } => &CALL,
        }
    }
}
