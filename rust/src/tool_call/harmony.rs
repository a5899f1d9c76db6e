//! gpt-oss's format, harmony, where all that a model says are messages: `<|channel|>analysis<|message|>…<|end|>`.
//!
//! A header names a channel and perhaps a recipient. `analysis` is reasoning; a message to a known tool is a call;
//! everything else is text, with a line break between two messages. A header that names an unknown recipient is shown
//! with its message. The prompt ends with `<|start|>assistant`, so an answer begins inside of a header.
//! Source: "`OpenAI` harmony response format".

use std::sync::Arc;

use crate::delta::{Delta, Untold};
use crate::held::read_held;
use crate::stage::{Flow, Next, Stage};

use super::id;
use super::malformed::MalformedCalls;
use super::output::Output;
use super::scan::{find_first, head_of, longest_partial};
use super::schemas::ToolSchemas;
use super::syntax::Ids;

/// Bytes of a header.
const MAX_HEADER_BYTES: usize = 1024;
const MESSAGE: &str = "<|message|>";
/// What ends a message. The last two begin the next one.
const ENDS: &[&str] = &[
    "<|end|>",
    "<|call|>",
    "<|return|>",
    "<|start|>",
    "<|channel|>",
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Header,
    Text,
    Reasoning,
    Call { has_arguments: bool },
}

/// Whether a text stands in a JSON string.
#[derive(Debug, Default)]
struct JsonString {
    is_open: bool,
    is_escaped: bool,
}

impl JsonString {
    /// The bytes of `text` up to and with the next quote that opens or closes a string; all where there is none.
    fn read(&mut self, text: &str) -> usize {
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = self.is_open,
                b'"' => {
                    self.is_open = !self.is_open;
                    return at + 1;
                }
                _ => {}
            }
        }
        text.len()
    }
}

#[derive(Debug)]
struct Harmony {
    tools: Arc<ToolSchemas>,
    place: Place,
    held: String,
    has_text: bool,
    has_reasoning: bool,
    /// Of a call's arguments: what looks like markup in there is what the model says.
    string: JsonString,
    malformed: MalformedCalls,
    out: Output,
    untold: Untold,
}

/// The stage that splits harmony's messages into reasoning, text and calls of `tools`.
#[must_use]
pub fn harmony_stage(tools: Arc<ToolSchemas>) -> Box<dyn Stage> {
    Box::new(Harmony {
        tools,
        place: Place::Header,
        held: String::new(),
        has_text: false,
        has_reasoning: false,
        string: JsonString::default(),
        malformed: MalformedCalls::default(),
        out: Output::default(),
        untold: Untold::default(),
    })
}

impl Stage for Harmony {
    fn push(&mut self, delta: &Delta<'_>, next: &mut Next<'_>) -> Flow {
        self.untold.take(delta);
        self.held.push_str(delta.text);
        self.run();
        self.out.give(&mut self.untold, next)
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Flow {
        let held = std::mem::take(&mut self.held);
        match self.place {
            // Markup of a message that did not come.
            Place::Header if header_text(&held).is_empty() => {}
            Place::Header => self.show(Place::Text, &held),
            place => self.show(place, &held),
        }
        if self.place
            == (Place::Call {
                has_arguments: false,
            })
        {
            self.out.arguments("{}");
        } else if matches!(self.place, Place::Call { .. }) {
            self.malformed.end_within(true);
        }
        self.out.give(&mut self.untold, next)
    }

    fn num_malformed_calls(&self, is_cut: bool) -> u32 {
        self.malformed.num(is_cut)
    }
}

impl Harmony {
    fn run(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        read_held(&mut held, |rest| match self.place {
            Place::Header => self.read_header(rest),
            place => self.read_message(rest, place),
        });
        self.held = held;
    }

    /// Returns the bytes used, as an error where more text is needed.
    fn read_header(&mut self, text: &str) -> Result<usize, usize> {
        if !could_be_header(text) {
            self.begin(Place::Text);
            return Ok(0);
        }
        let limited = head_of(text, MAX_HEADER_BYTES);
        let Some(len) = limited.find(MESSAGE) else {
            if limited.len() == text.len() {
                return Err(0);
            }
            self.begin(Place::Text);
            return Ok(0);
        };
        let header = &text[..len];
        let whole = len + MESSAGE.len();
        let recipient = field(header, "to=");
        let tool = recipient.map(|name| {
            self.tools
                .get(name.strip_prefix("functions.").unwrap_or(name))
        });
        match tool {
            Some(Some(tool)) => {
                self.out.call(&tool.name, id::mint(Ids::Call));
                self.string = JsonString::default();
                self.malformed.begin();
                self.place = Place::Call {
                    has_arguments: false,
                };
            }
            Some(None) => {
                self.malformed.add();
                self.begin(Place::Text);
                self.show(Place::Text, &text[..whole]);
            }
            None if field(header, "<|channel|>") == Some("analysis") => {
                self.begin(Place::Reasoning);
            }
            None if field(header, "<|channel|>").is_some() => self.begin(Place::Text),
            None => {
                self.begin(Place::Text);
                self.show(Place::Text, header_text(header));
            }
        }
        Ok(whole)
    }

    /// A message of text or reasoning begins.
    fn begin(&mut self, place: Place) {
        let is_later = match place {
            Place::Reasoning => self.has_reasoning,
            _ => self.has_text,
        };
        if is_later {
            self.show(place, "\n");
        }
        self.place = place;
    }

    fn read_message(&mut self, text: &str, place: Place) -> Result<usize, usize> {
        let found = find_first(text, ENDS);
        if matches!(place, Place::Call { .. }) {
            let before = &text[..found.map_or(text.len(), |(len, _)| len)];
            if self.string.is_open || before.contains('"') {
                let len = self.string.read(text);
                self.show(place, &text[..len]);
                return Ok(len);
            }
        }
        let Some((len, end)) = found else {
            let len = text.len() - longest_partial(text, ENDS);
            self.show(place, &text[..len]);
            return Err(len);
        };
        self.show(place, &text[..len]);
        if self.place
            == (Place::Call {
                has_arguments: false,
            })
        {
            self.out.arguments("{}");
        } else if matches!(self.place, Place::Call { .. }) {
            self.malformed.check();
        }
        self.place = Place::Header;
        let begins_next = matches!(end, "<|start|>" | "<|channel|>");
        Ok(if begins_next { len } else { len + end.len() })
    }

    fn show(&mut self, place: Place, text: &str) {
        if text.is_empty() {
            return;
        }
        match place {
            Place::Text | Place::Header => {
                self.has_text = true;
                self.out.text(text);
            }
            Place::Reasoning => {
                self.has_reasoning = true;
                self.out.reasoning(text);
            }
            Place::Call { has_arguments } => {
                let text = if has_arguments {
                    text
                } else {
                    text.trim_start()
                };
                let has_arguments = has_arguments || !text.is_empty();
                self.place = Place::Call { has_arguments };
                self.malformed.keep(text);
                self.out.arguments(text);
            }
        }
    }
}

/// Whether `text` may be the start of a header, the rest of one, or white space between two.
fn could_be_header(text: &str) -> bool {
    let text = text.trim_start();
    let starts = ["<|start|>", "<|channel|>", "<|constrain|>", MESSAGE, "to="];
    starts
        .iter()
        .any(|start| text.starts_with(start) || start.starts_with(text))
}

/// What a header says behind `label`.
fn field<'a>(header: &'a str, label: &str) -> Option<&'a str> {
    let value = &header[header.find(label)? + label.len()..];
    let end = value
        .find(|c: char| c.is_whitespace() || c == '<')
        .unwrap_or(value.len());
    Some(&value[..end]).filter(|value| !value.is_empty())
}

/// What of a header without a channel is not markup.
fn header_text(header: &str) -> &str {
    let header = header.trim();
    header
        .strip_prefix("<|start|>")
        .map_or(header, |rest| {
            rest.strip_prefix("assistant").unwrap_or(rest)
        })
        .trim()
}
