//! Arguments as tagged texts, as `<parameter=city>Paris</parameter>`, made into a JSON object.
//!
//! A parameter whose type is string streams as it comes. One of another type is converted when it is whole; what cannot
//! be converted is a string. A parameter that the tool's schema does not know is one, too.

use super::json_prefix::JsonPrefix;
use super::output::Output;
use super::scan::{Cursor, Scanned, Stop, head_of, partial_len};
use super::schemas::Tool;
use super::types::Types;

/// Bytes of a value that are kept for its conversion; a longer one is a string.
const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// Bytes of a parameter's tag with its name, which is kept until it is whole.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// How the parameters of a format are tagged.
#[derive(Debug)]
pub struct Parameters {
    /// Any of these begins a parameter; its name follows.
    pub opens: &'static [&'static str],
    /// Ends the name, and attributes behind it: `string="false"` says that the value is JSON.
    pub name_close: &'static str,
    /// Stands before the value, perhaps after white space.
    pub value_open: &'static str,
    /// Ends the value.
    pub value_close: &'static str,
    /// Ends the call.
    pub close: &'static str,
    /// Whether a line break right after `value_open` and one right before `value_close` are no part of the value.
    pub is_padded: bool,
    /// What models write between a parameter's name and its value's start, as [`name_close`](Self::name_close) alone
    /// does not tell: an attribute, where there are some.
    pub has_attributes: bool,
    /// Whether models write the line breaks that `is_padded` allows.
    pub writes_padding: bool,
    /// What models write behind each tag.
    pub line: &'static str,
}

#[derive(Debug, PartialEq)]
enum Expect {
    Parameter,
    /// A value whose types are these; all of it, or the rest of a string.
    Value(Types),
    String {
        is_begun: bool,
    },
}

/// The arguments of one call.
#[derive(Debug)]
pub(super) struct ParametersReader {
    syntax: &'static Parameters,
    expect: Expect,
    has_any: bool,
    /// Bytes of an unfinished value in which its end was sought.
    num_sought: usize,
    /// The same value as JSON, up to the last tag that was found in it.
    json: JsonPrefix,
}

/// Where a value ends, and how long the tag there is.
struct End {
    len: usize,
    tag_len: usize,
}

/// A parameter's name, and what its attributes say of its value.
struct Header<'a> {
    name: &'a str,
    is_json: Option<bool>,
}

impl ParametersReader {
    pub(super) fn new(syntax: &'static Parameters) -> Self {
        Self {
            syntax,
            expect: Expect::Parameter,
            has_any: false,
            num_sought: 0,
            json: JsonPrefix::new(),
        }
    }

    /// Reads on. Returns the bytes used, and `Ok` when the call is whole.
    pub(super) fn read(
        &mut self,
        text: &str,
        tool: &Tool,
        out: &mut Output,
    ) -> (usize, Scanned<()>) {
        let mut at = 0;
        loop {
            let mut cursor = Cursor::new(&text[at..]);
            let step = match self.expect {
                Expect::Parameter => self.read_parameter(&mut cursor, tool, out),
                Expect::Value(types) => self.read_value(&mut cursor, types, out),
                Expect::String { is_begun } => self.read_string(&mut cursor, is_begun, out),
            };
            at += cursor.at;
            match step {
                Ok(true) => return (at, Ok(())),
                Ok(false) => {}
                Err(why) => return (at, Err(why)),
            }
        }
    }

    /// The text has ended: a value that was kept is given.
    pub(super) fn finish(&mut self, rest: &str, out: &mut Output) {
        match self.expect {
            Expect::Parameter => {}
            Expect::Value(types) => {
                let value = self.unpadded(rest);
                out.arguments(&types.json(value));
            }
            Expect::String { is_begun } => {
                let rest = if is_begun {
                    rest
                } else {
                    self.unpadded_start(rest)
                };
                out.escaped_arguments(rest);
            }
        }
    }

    /// Up to a parameter's value, or the call's end (true).
    fn read_parameter(
        &mut self,
        cursor: &mut Cursor<'_>,
        tool: &Tool,
        out: &mut Output,
    ) -> Scanned<bool> {
        let rest = cursor.rest();
        let head = head_of(rest, MAX_HEADER_BYTES);
        let mut ahead = Cursor::new(head);
        let header = match self.read_header(&mut ahead) {
            Ok(Some(header)) => header,
            Ok(None) => {
                out.arguments(if self.has_any { "}" } else { "{}" });
                cursor.at += ahead.at;
                return Ok(true);
            }
            Err(Stop::Wait) if head.len() < rest.len() => return Err(Stop::Fail),
            Err(stop) => return Err(stop),
        };
        let types = match header.is_json {
            Some(true) => Types::OTHERS,
            Some(false) => Types::STRING,
            None => tool.types(header.name),
        };
        out.arguments(if self.has_any { ", \"" } else { "{\"" });
        out.escaped_arguments(header.name);
        out.arguments("\": ");
        self.has_any = true;
        self.num_sought = 0;
        self.json = JsonPrefix::new();
        self.expect = if types.is_text() {
            out.arguments("\"");
            Expect::String { is_begun: false }
        } else {
            Expect::Value(types)
        };
        cursor.at += ahead.at;
        Ok(false)
    }

    /// A parameter's name; none where the call ends.
    fn read_header<'a>(&self, cursor: &mut Cursor<'a>) -> Scanned<Option<Header<'a>>> {
        cursor.space();
        if cursor.maybe(self.syntax.close)? {
            return Ok(None);
        }
        let mut is_open = false;
        for open in self.syntax.opens {
            if cursor.maybe(open)? {
                is_open = true;
                break;
            }
        }
        if !is_open {
            return Err(Stop::Fail);
        }
        let rest = cursor.rest();
        let close = self.syntax.name_close;
        let is_end = |c: char| c == '<' || close.starts_with(c);
        let len = rest.find(is_end).ok_or(Stop::Wait)?;
        cursor.at += len;
        cursor.literal(close)?;
        if !self.syntax.value_open.is_empty() {
            cursor.space();
            cursor.literal(self.syntax.value_open)?;
        }
        let header = &rest[..len];
        let (name, attributes) = header
            .trim()
            .trim_start_matches('"')
            .split_once('"')
            .unwrap_or((header, ""));
        let is_json = attributes
            .contains("string=")
            .then(|| attributes.contains("\"false\""));
        let name = name.trim();
        Ok(Some(Header { name, is_json }))
    }

    /// A value that is not only a string: whole, or not at all.
    fn read_value(
        &mut self,
        cursor: &mut Cursor<'_>,
        types: Types,
        out: &mut Output,
    ) -> Scanned<bool> {
        let rest = cursor.rest();
        let Some(End { len, tag_len }) = self.seek_close(rest, types, MAX_VALUE_BYTES) else {
            if rest.len() < MAX_VALUE_BYTES {
                return Err(Stop::Wait);
            }
            out.arguments("\"");
            self.expect = Expect::String { is_begun: false };
            return Ok(false);
        };
        out.arguments(&types.json(self.unpadded(&rest[..len])));
        cursor.at += len + tag_len;
        self.expect = Expect::Parameter;
        Ok(false)
    }

    /// What of a string has come, but for what may be its end.
    fn read_string(
        &mut self,
        cursor: &mut Cursor<'_>,
        is_begun: bool,
        out: &mut Output,
    ) -> Scanned<bool> {
        let rest = cursor.rest();
        let start = if is_begun {
            rest
        } else {
            self.unpadded_start(rest)
        };
        if start.is_empty() {
            return Err(Stop::Wait);
        }
        if let Some(End { len, tag_len }) = self.find_end(start, 0) {
            let value = &start[..len];
            let value = value
                .strip_suffix('\n')
                .filter(|_| self.syntax.is_padded)
                .unwrap_or(value);
            out.escaped_arguments(value);
            out.arguments("\"");
            cursor.at += rest.len() - start.len() + len + tag_len;
            self.expect = Expect::Parameter;
            return Ok(false);
        }
        let mut safe = &start[..start.len() - self.partial_end_len(start)];
        if self.syntax.is_padded {
            safe = safe.strip_suffix('\n').unwrap_or(safe);
        }
        if !safe.is_empty() {
            out.escaped_arguments(safe);
            cursor.at += rest.len() - start.len() + safe.len();
            self.expect = Expect::String { is_begun: true };
        }
        Err(Stop::Wait)
    }

    /// Where a value ends, within `limit` bytes; a tag inside of a JSON string is no end. What was sought in vain is not
    /// sought again.
    fn seek_close(&mut self, text: &str, types: Types, limit: usize) -> Option<End> {
        let close = self.syntax.value_close;
        let is_nested = types.is_nested(text);
        let mut from = head_of(text, self.num_sought).len();
        while let Some(end) = self.find_end(text, from) {
            let at = end.len;
            if at + close.len() > limit {
                return None;
            }
            if !is_nested || !self.json.ends_in_string(text[..at].trim_start()) {
                return Some(end);
            }
            from = at + end.tag_len.max(1);
        }
        let num_open = self.syntax.opens.iter().map(|open| open.len() + 1);
        let longest = num_open.chain([close.len()]).max().unwrap_or(0);
        self.num_sought = from.max(text.len().saturating_sub(longest));
        None
    }

    /// The first end of a value, from `from` on: its tag; or the next parameter on a line of its own, for models forget
    /// the tag before one.
    fn find_end(&self, text: &str, from: usize) -> Option<End> {
        let tag = self.syntax.value_close;
        let close = text[from..].find(tag).map(|len| End {
            len: from + len,
            tag_len: tag.len(),
        });
        let before = &text[from..close.as_ref().map_or(text.len(), |end| end.len)];
        if !self.syntax.is_padded {
            return close;
        }
        let next = self.syntax.opens.iter().filter_map(|open| {
            let mut lines = before.match_indices('\n');
            lines.find_map(|(at, _)| before[at + 1..].starts_with(open).then_some(at))
        });
        let next = next.min().map(|at| End {
            len: from + at,
            tag_len: 0,
        });
        next.or(close)
    }

    /// Bytes at the end of `text` that may be the start of a value's end.
    fn partial_end_len(&self, text: &str) -> usize {
        let close = partial_len(text, self.syntax.value_close);
        if !self.syntax.is_padded {
            return close;
        }
        let of_line = |at: usize| {
            let line = &text[at + 1..];
            let could_open = self.syntax.opens.iter().any(|open| open.starts_with(line));
            could_open.then_some(text.len() - at)
        };
        let next = text.rfind('\n').and_then(of_line).unwrap_or(0);
        close.max(next)
    }

    fn unpadded_start<'a>(&self, text: &'a str) -> &'a str {
        text.strip_prefix('\n')
            .filter(|_| self.syntax.is_padded)
            .unwrap_or(text)
    }

    fn unpadded<'a>(&self, text: &'a str) -> &'a str {
        let text = self.unpadded_start(text);
        text.strip_suffix('\n')
            .filter(|_| self.syntax.is_padded)
            .unwrap_or(text)
    }
}
