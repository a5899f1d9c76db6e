//! Calls as JSON objects: `{"name": "f", "arguments": {…}}`.
//!
//! A call is certain as soon as its name is: then the name is shown, and the arguments pass as they are written. Keys
//! may come in any order; what comes before the name is kept until then. Arguments in a string are read out of it.

use super::json_value::{JsonValue, Read, read_string};
use super::output::Output;
use super::scan::{Cursor, Scanned, Stop, head_of};
use super::schemas::ToolSchemas;

/// What formats call the arguments.
const ARGUMENT_KEYS: [&str; 2] = ["arguments", "parameters"];
/// What may stand in a call beside its name and arguments.
const OTHER_KEYS: [&str; 3] = ["type", "id", "index"];

/// Bytes of a key, and of a value beside the arguments: both are kept until they are whole.
const MAX_MEMBER_BYTES: usize = 16 * 1024;

/// An object up to its name.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) tool: usize,
    /// Arguments that stand before the name.
    arguments: Option<&'a str>,
    depth: u32,
}

/// Reads an object's start. Fails on one that is no call of a known tool.
pub(super) fn read_head<'a>(cursor: &mut Cursor<'a>, tools: &ToolSchemas) -> Scanned<Head<'a>> {
    cursor.literal("{")?;
    let (mut depth, mut arguments) = (1, None);
    loop {
        cursor.space();
        let key = cursor.json_string()?;
        cursor.space();
        cursor.literal(":")?;
        cursor.space();
        if key == "name" {
            cursor.literal("\"")?;
            let tool = tools.read_name(cursor)?;
            cursor.literal("\"")?;
            return Ok(Head {
                tool,
                arguments,
                depth,
            });
        } else if key == "function" {
            cursor.literal("{")?;
            depth += 1;
            continue;
        } else if ARGUMENT_KEYS.contains(&key) {
            arguments = Some(cursor.json_value()?);
        } else if OTHER_KEYS.contains(&key) {
            cursor.json_value()?;
        } else {
            return Err(Stop::Fail);
        }
        cursor.space();
        cursor.literal(",")?;
    }
}

#[derive(Debug)]
enum Expect {
    /// The next member, or the end.
    Member,
    /// More of the arguments.
    Arguments(JsonValue),
    /// More of the arguments, in a string.
    Encoded,
}

/// A call's object from behind its name on.
#[derive(Debug)]
pub(super) struct ObjectReader {
    expect: Expect,
    /// Objects that are open.
    depth: u32,
    has_arguments: bool,
}

impl ObjectReader {
    pub(super) fn new(head: &Head<'_>, out: &mut Output) -> Self {
        match head.arguments.map(str::trim) {
            None => {}
            Some("null" | "\"\"") => out.arguments("{}"),
            Some(text) if text.starts_with('"') => {
                read_string(&text[1..], out);
            }
            Some(text) => out.arguments(text),
        }
        Self {
            expect: Expect::Member,
            depth: head.depth,
            has_arguments: head.arguments.is_some(),
        }
    }

    /// Reads on. Returns the bytes used, and `Ok` when the object is whole.
    pub(super) fn read(&mut self, text: &str, out: &mut Output) -> (usize, Scanned<()>) {
        let mut at = 0;
        loop {
            let rest = &text[at..];
            match &mut self.expect {
                Expect::Member => {
                    let head = head_of(rest, MAX_MEMBER_BYTES);
                    let mut cursor = Cursor::new(head);
                    match self.read_member(&mut cursor, out) {
                        Ok(()) => at += cursor.at,
                        Err(Stop::Wait) if head.len() < rest.len() => return (at, Err(Stop::Fail)),
                        Err(stop) => return (at, Err(stop)),
                    }
                    if self.depth == 0 {
                        return (at, Ok(()));
                    }
                }
                Expect::Arguments(value) => {
                    let (len, read) = value.read(rest);
                    out.arguments(&rest[..len]);
                    at += len;
                    match read {
                        Read::Whole => self.expect = Expect::Member,
                        Read::More => return (at, Err(Stop::Wait)),
                        Read::Broken => return (at, Err(Stop::Fail)),
                    }
                }
                Expect::Encoded => {
                    let (len, is_done) = read_string(rest, out);
                    at += len;
                    if !is_done {
                        return (at, Err(Stop::Wait));
                    }
                    self.expect = Expect::Member;
                }
            }
        }
    }

    /// A key and its value, or, of the arguments, up to their first character; or an object's end.
    fn read_member(&mut self, cursor: &mut Cursor<'_>, out: &mut Output) -> Scanned<()> {
        cursor.space();
        if cursor.maybe("}")? {
            self.depth -= 1;
            if self.depth == 0 && !self.has_arguments {
                out.arguments("{}");
            }
            return Ok(());
        }
        cursor.literal(",")?;
        cursor.space();
        let key = cursor.json_string()?;
        cursor.space();
        cursor.literal(":")?;
        cursor.space();
        if !ARGUMENT_KEYS.contains(&key) || self.has_arguments {
            cursor.json_value()?;
            return Ok(());
        }
        match cursor.peek()? {
            b'{' | b'[' => self.expect = Expect::Arguments(JsonValue::default()),
            b'"' if cursor.maybe("\"\"")? => out.arguments("{}"),
            b'"' => {
                cursor.literal("\"")?;
                self.expect = Expect::Encoded;
            }
            _ => {
                cursor.literal("null")?;
                out.arguments("{}");
            }
        }
        self.has_arguments = true;
        Ok(())
    }
}
