//! The one parser of all formats: text in, text and calls out.
//!
//! It is in one of three places: in text, where it looks for the start of a block; inside of a call; or behind one,
//! where another may follow. Whatever could still become the head of a call is held; a call is certain when the name of
//! a known tool is whole in its frame. What does not become one is text: nothing is lost. A name that no tool has is
//! text, too, as clients cannot run what they have not offered. A call that breaks off after its name was shown ends
//! there, and what follows is text.
//!
//! White space between two calls, and behind the last, is layout and dropped, as is white space before a first call
//! with nothing else before it. Other text stays as it is.

use std::sync::Arc;

use crate::held::read_held;

use super::head::{Arguments, Following, Head, HeadReader, Open};
use super::id;
use super::json_value::{JsonValue, Read};
use super::literals::LiteralsReader;
use super::malformed::{MalformedCalls, is_bare, marks_len};
use super::object::ObjectReader;
use super::output::Output;
use super::parameters::ParametersReader;
use super::scan::{Scanned, Stop, space_len};
use super::schemas::{Tool, ToolSchemas};
use super::syntax::{Body, ToolFormat};

/// Calls of one choice; what follows is text.
const MAX_CALLS: u32 = 256;

/// The parser of one choice.
#[derive(Debug)]
pub(super) struct Parser {
    format: &'static ToolFormat,
    tools: Arc<ToolSchemas>,
    first_bytes: [bool; 256],
    place: Place,
    /// What has come and is not yet decided.
    held: String,
    malformed: MalformedCalls,
}

#[derive(Debug)]
enum Place {
    /// In text. `is_blank`: with nothing but white space since the start, or since a call.
    Text { is_blank: bool },
    /// In the arguments of a call of that tool.
    Call(Open, usize, Box<Reader>),
    /// Behind a call.
    Behind(Open),
    /// Where a call has broken off; another may follow.
    Broken(Open),
}

#[derive(Debug)]
enum Reader {
    Object(ObjectReader),
    Json(JsonValue),
    Parameters(ParametersReader),
    Literals(LiteralsReader),
}

impl Parser {
    pub(super) fn new(format: &'static ToolFormat, tools: Arc<ToolSchemas>) -> Self {
        Self {
            first_bytes: format.first_bytes(),
            format,
            tools,
            place: Place::Text { is_blank: true },
            held: String::new(),
            malformed: MalformedCalls::default(),
        }
    }

    /// Calls that are none, of a text that has ended. `is_cut`: by the limit of new tokens.
    pub(super) fn num_malformed(&self, is_cut: bool) -> u32 {
        self.malformed.num(is_cut)
    }

    /// Takes text, gives what of all so far is certain.
    pub(super) fn push(&mut self, text: &str, out: &mut Output) {
        self.malformed.hear(text);
        let is_idle = matches!(self.place, Place::Text { is_blank: false }) && self.held.is_empty();
        if is_idle && self.next_beginning(text, 0).is_none() {
            out.text(text);
            return;
        }
        self.held.push_str(text);
        self.run(out);
    }

    /// The choice has ended: what is held is no head of a call.
    pub(super) fn finish(&mut self, out: &mut Output) {
        match &self.place {
            Place::Call(_, _, reader) => self.malformed.end_within(reader.is_checked()),
            Place::Text { .. } if marks_len(self.format, self.held.trim_start()).is_some() => {
                self.malformed.end_within(false);
            }
            _ => {}
        }
        self.flush(out);
    }

    /// No more of this text will come: what is held is no head of a call.
    pub(super) fn flush(&mut self, out: &mut Output) {
        while !self.held.is_empty() {
            match &mut self.place {
                Place::Call(_, _, reader) => {
                    reader.finish(&self.held, out);
                    self.held.clear();
                }
                Place::Behind(open) => {
                    let open = *open;
                    self.finish_behind(open);
                    self.run(out);
                }
                Place::Broken(_) => {
                    self.place = Place::Text { is_blank: false };
                    self.run(out);
                }
                Place::Text { is_blank } => {
                    let is_layout = *is_blank && out.num_calls() > 0;
                    if is_layout && self.held.trim().is_empty() {
                        self.held.clear();
                    }
                    // What waits is text up to its first character; a call may still begin behind it.
                    *is_blank = false;
                    let space = space_len(&self.held);
                    let first = self.held[space..].chars().next().map_or(0, char::len_utf8);
                    out.text(&self.held[..space + first]);
                    self.held.drain(..space + first);
                    self.run(out);
                }
            }
        }
    }

    /// Where in `text`, from `from` on, a block may begin.
    fn next_beginning(&self, text: &str, from: usize) -> Option<usize> {
        let is_first = |byte: &u8| self.first_bytes[usize::from(*byte)];
        let at = text.as_bytes()[from..].iter().position(is_first)?;
        Some(from + at)
    }

    /// Reads what is held, as far as it is certain.
    fn run(&mut self, out: &mut Output) {
        let mut held = std::mem::take(&mut self.held);
        read_held(&mut held, |rest| match self.place {
            Place::Text { is_blank } => self.read_text(rest, is_blank, out),
            Place::Call(..) => self.read_call(rest, out),
            Place::Behind(open) => self.read_behind(rest, open, out),
            Place::Broken(open) => self.read_broken(rest, open, out),
        });
        self.held = held;
    }

    /// Gives text up to a call's start. Each reading returns the bytes used, as an error where it waits for more.
    fn read_text(
        &mut self,
        text: &str,
        mut is_blank: bool,
        out: &mut Output,
    ) -> Result<usize, usize> {
        let tools = self.tools.clone();
        let heads = self.heads(&tools);
        let lead = if is_blank { space_len(text) } else { 0 };
        let (mut from, mut counted_to) = (lead, 0);
        while let Some(at) = self.next_beginning(text, from) {
            is_blank &= at == lead;
            let shown = if is_blank { "" } else { &text[..at] };
            let has_room = out.num_calls() < MAX_CALLS;
            match heads.first(&text[at..]) {
                Ok(head) if has_room => {
                    out.text(shown);
                    self.begin_call(&head, out);
                    return Ok(at + head.len);
                }
                Err(Stop::Wait) if has_room => {
                    out.text(shown);
                    self.place = Place::Text { is_blank };
                    return Err(shown.len());
                }
                _ => {
                    if at >= counted_to
                        && let Some(len) = self.note_failure(&text[at..], is_blank, out)
                    {
                        counted_to = at + len + 1;
                    }
                    is_blank = false;
                    from = at + 1;
                }
            }
        }
        if is_blank && lead == text.len() {
            return Err(0);
        }
        self.place = Place::Text { is_blank: false };
        out.text(text);
        Ok(text.len())
    }

    /// A text that is no call: counts it, where it was to be one. Returns the bytes of its marks, behind which the same
    /// call must not be counted again.
    fn note_failure(&mut self, text: &str, is_blank: bool, out: &Output) -> Option<usize> {
        let len = marks_len(self.format, text);
        if len.is_some() {
            self.malformed.add();
        } else if is_blank && out.num_calls() == 0 && is_bare(self.format) {
            self.malformed.suspect(text);
        }
        len
    }

    fn heads<'t>(&self, tools: &'t ToolSchemas) -> HeadReader<'t> {
        let format = self.format;
        HeadReader { format, tools }
    }

    /// Shows a call's name. What is held begins with its arguments then.
    fn begin_call(&mut self, head: &Head<'_>, out: &mut Output) {
        let own_id = head.id.map(str::to_owned);
        let id = own_id.unwrap_or_else(|| id::mint(self.format.ids));
        out.call(&self.tools.tools()[head.tool].name, id);
        let num_before = out.len();
        self.malformed.begin();
        let reader = match &head.arguments {
            Arguments::Object(head) => Reader::Object(ObjectReader::new(head, out)),
            Arguments::Body(Body::Json) => Reader::Json(JsonValue::default()),
            Arguments::Body(Body::Parameters(syntax)) => {
                Reader::Parameters(ParametersReader::new(syntax))
            }
            Arguments::Body(Body::Literals(syntax)) => {
                let reader = LiteralsReader::new(syntax);
                reader.begin(out);
                Reader::Literals(reader)
            }
        };
        self.malformed.keep(out.since(num_before));
        self.place = Place::Call(head.open, head.tool, Box::new(reader));
    }

    fn read_call(&mut self, text: &str, out: &mut Output) -> Result<usize, usize> {
        let Place::Call(open, tool, reader) = &mut self.place else {
            return Ok(0);
        };
        let num_before = out.len();
        let (used, stop) = reader.read(text, &self.tools.tools()[*tool], out);
        let is_checked = reader.is_checked();
        if is_checked {
            self.malformed.keep(out.since(num_before));
        }
        match stop {
            Ok(()) => {
                if is_checked {
                    self.malformed.check();
                }
                self.place = Place::Behind(*open);
            }
            Err(Stop::Wait) => return Err(used),
            // The call has broken off. What follows is shown as it is.
            Err(Stop::Fail) => {
                self.malformed.add();
                self.place = Place::Broken(*open);
            }
        }
        Ok(used)
    }

    fn read_behind(&mut self, text: &str, open: Open, out: &mut Output) -> Result<usize, usize> {
        let tools = self.tools.clone();
        let mut num_used = 0;
        match self.heads(&tools).following(text, open, &mut num_used) {
            Ok(Following::Call(head)) if out.num_calls() < MAX_CALLS => {
                self.begin_call(&head, out);
                return Ok(head.len);
            }
            Ok(_) => {}
            Err(_) => return Err(0),
        }
        self.place = Place::Text { is_blank: true };
        Ok(num_used)
    }

    /// What follows a call that has broken off: its frame's end, another call, or text, which is shown as it is.
    fn read_broken(&mut self, text: &str, open: Open, out: &mut Output) -> Result<usize, usize> {
        let tools = self.tools.clone();
        let mut num_used = 0;
        match self.heads(&tools).following(text, open, &mut num_used) {
            Ok(Following::Call(head)) if out.num_calls() < MAX_CALLS => {
                self.begin_call(&head, out);
                return Ok(head.len);
            }
            Err(Stop::Wait) => return Err(0),
            _ => {}
        }
        self.place = Place::Text {
            is_blank: num_used > 0,
        };
        Ok(num_used)
    }

    /// The text has ended behind a call: what is held is the start of its frame's end, or text.
    fn finish_behind(&mut self, open: Open) {
        let tools = self.tools.clone();
        let mut num_used = 0;
        let _ = self
            .heads(&tools)
            .following(&self.held, open, &mut num_used);
        let rest = self.held[num_used..].trim_start();
        let mut ends = open.ends.iter().chain([&open.block.close]);
        if ends.any(|end| end.starts_with(rest)) {
            num_used = self.held.len();
        }
        self.held.drain(..num_used);
        self.place = Place::Text { is_blank: true };
    }
}

impl Reader {
    /// Whether arguments pass as the model has written them: others are JSON once they are whole.
    fn is_checked(&self) -> bool {
        matches!(self, Self::Object(_) | Self::Json(_))
    }

    fn read(&mut self, text: &str, tool: &Tool, out: &mut Output) -> (usize, Scanned<()>) {
        match self {
            Self::Object(reader) => reader.read(text, out),
            Self::Json(value) => {
                let (len, read) = value.read(text);
                out.arguments(&text[..len]);
                let scanned = match read {
                    Read::Whole => Ok(()),
                    Read::More => Err(Stop::Wait),
                    Read::Broken => Err(Stop::Fail),
                };
                (len, scanned)
            }
            Self::Parameters(reader) => reader.read(text, tool, out),
            Self::Literals(reader) => reader.read(text, tool, out),
        }
    }

    /// The text has ended inside of the call: what was kept of its arguments is given.
    fn finish(&mut self, rest: &str, out: &mut Output) {
        match self {
            Self::Object(_) | Self::Json(_) => {}
            Self::Parameters(reader) => reader.finish(rest, out),
            Self::Literals(reader) => reader.finish(rest, out),
        }
    }
}
