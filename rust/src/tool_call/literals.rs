//! Arguments as the literals of a language, `city="Paris", days=[1, 2]` or `city:<|"|>Paris<|"|>`, made into JSON as they
//! come.
//!
//! A machine with a stack of open brackets: it gives every character's JSON as soon as it is certain. What it cannot
//! read ends the call.

mod words;

use super::output::Output;
use super::scan::{Cursor, Scanned, Stop, partial_len, space_len};
use words::{escape, word_as_json};

/// Nesting that is read.
const MAX_DEPTH: usize = 64;
/// Bytes of a number, a word or a bare key.
const MAX_ATOM_BYTES: usize = 1024;
/// Bytes of a string that is kept, to become what its parameter's type says.
const MAX_TYPED_BYTES: usize = 64 * 1024;

/// How a language writes literals.
#[derive(Debug)]
pub struct Literals {
    /// What stands around a string; of two that fit, the first.
    pub quotes: &'static [&'static str],
    /// Whether strings have backslash escapes.
    pub has_escapes: bool,
    /// Stands between a parameter and its value.
    pub assign: char,
    /// Ends the call.
    pub close: char,
    /// Whether a string may stand for a value of another type, if the schema says so.
    pub are_strings_typed: bool,
}

/// What a reader must know of the tool that is called.
pub(super) trait ArgumentTypes {
    /// Whether a string may be the value of a parameter.
    fn is_string(&self, parameter: &str) -> bool;

    /// A string as JSON of what a parameter is, which is no string.
    fn json(&self, parameter: &str, text: &str) -> String;
}

/// A tool of which nothing is known.
struct Untyped;

impl ArgumentTypes for Untyped {
    fn is_string(&self, _: &str) -> bool {
        true
    }

    fn json(&self, _: &str, text: &str) -> String {
        serde_json::Value::from(text).to_string()
    }
}

/// Python, as in `f(city="Paris")`.
pub(super) static PYTHON: Literals = Literals {
    quotes: &["\"\"\"", "'''", "\"", "'"],
    has_escapes: true,
    assign: '=',
    close: ')',
    are_strings_typed: false,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expect {
    /// A key, or the end of an object.
    Key,
    Assign,
    /// A value, or the end of a list.
    Value,
    /// A comma, or an end.
    Comma,
    /// The inside of a string; then, a key's value or a comma.
    String {
        quote: &'static str,
        is_key: bool,
    },
    /// A string that is to become something else.
    Typed {
        quote: &'static str,
    },
}

/// The arguments of one call.
#[derive(Debug)]
pub(super) struct LiteralsReader {
    syntax: &'static Literals,
    expect: Expect,
    /// The characters that end what is open, the call first.
    open: Vec<char>,
    /// Whether an item stands before the next one.
    is_later_item: bool,
    /// The parameter whose value is read.
    parameter: String,
}

impl LiteralsReader {
    pub(super) fn new(syntax: &'static Literals) -> Self {
        Self {
            syntax,
            expect: Expect::Key,
            open: vec![syntax.close],
            is_later_item: false,
            parameter: String::new(),
        }
    }

    /// Reads on. Returns the bytes used, and `Ok` when the call is whole.
    pub(super) fn read(
        &mut self,
        text: &str,
        types: &dyn ArgumentTypes,
        out: &mut Output,
    ) -> (usize, Scanned<()>) {
        let mut at = 0;
        let stopped = loop {
            match self.step(&text[at..], types, out) {
                Ok(used) => at += used,
                Err(stop) => break stop,
            }
            if self.open.is_empty() {
                return (at, Ok(()));
            }
        };
        (at, Err(stopped))
    }

    pub(super) fn begin(&self, out: &mut Output) {
        debug_assert!(self.open.len() == 1, "a call has begun");
        out.arguments("{");
    }

    /// The text has ended inside of a call: what was kept of a string is given.
    pub(super) fn finish(&mut self, rest: &str, out: &mut Output) {
        match self.expect {
            Expect::String { .. } => out.escaped_arguments(rest),
            Expect::Typed { .. } => {
                out.arguments("\"");
                out.escaped_arguments(rest);
            }
            _ => {}
        }
    }

    fn step(&mut self, text: &str, types: &dyn ArgumentTypes, out: &mut Output) -> Scanned<usize> {
        match self.expect {
            Expect::String { quote, is_key } => return self.read_string(text, quote, is_key, out),
            Expect::Typed { quote } => return self.read_typed(text, quote, types, out),
            _ => {}
        }
        let space = space_len(text);
        let text = &text[space..];
        let next = text.chars().next().ok_or(Stop::Wait)?;
        let used = match self.expect {
            Expect::Assign if next == ':' || next == self.syntax.assign => {
                out.arguments(": ");
                self.expect = Expect::Value;
                1
            }
            Expect::Comma if next == ',' => {
                self.expect = if self.is_in_object() {
                    Expect::Key
                } else {
                    Expect::Value
                };
                1
            }
            Expect::Value if self.has_no_value(next) => {
                out.arguments("\"\"");
                self.expect = Expect::Comma;
                0
            }
            // Between two parameters whose strings are marked, models leave the comma out.
            Expect::Comma if self.syntax.are_strings_typed && self.begins_key(next) => {
                self.expect = Expect::Key;
                0
            }
            Expect::Key | Expect::Value | Expect::Comma if self.closes(next) => {
                self.close(out);
                next.len_utf8()
            }
            Expect::Key => self.read_key(text, out)?,
            Expect::Value => self.read_value(text, next, types, out)?,
            _ => return Err(Stop::Fail),
        };
        Ok(space + used)
    }

    fn is_in_object(&self) -> bool {
        self.open.len() == 1 || self.open.last() == Some(&'}')
    }

    /// Whether `c` ends what is open here, where an end may stand.
    fn closes(&self, c: char) -> bool {
        let is_missing_value = self.expect == Expect::Value && self.is_in_object();
        !is_missing_value && self.open.last() == Some(&c)
    }

    /// Whether a parameter's value is left out, which means an empty text where texts are marked.
    fn has_no_value(&self, next: char) -> bool {
        let ends = next == ',' || self.open.last() == Some(&next);
        self.syntax.are_strings_typed && self.is_in_object() && ends
    }

    fn begins_key(&self, next: char) -> bool {
        self.is_in_object() && (next.is_alphabetic() || next == '_')
    }

    fn close(&mut self, out: &mut Output) {
        out.arguments(if self.is_in_object() { "}" } else { "]" });
        self.open.pop();
        self.is_later_item = true;
        self.expect = Expect::Comma;
    }

    /// What stands before an item.
    fn separate(&mut self, out: &mut Output) {
        if std::mem::replace(&mut self.is_later_item, true) {
            out.arguments(", ");
        }
    }

    /// The quote with which `text` begins.
    fn quote(&self, text: &str) -> Scanned<Option<&'static str>> {
        let mut cursor = Cursor::new(text);
        for quote in self.syntax.quotes {
            if cursor.maybe(quote)? {
                return Ok(Some(quote));
            }
        }
        Ok(None)
    }

    fn read_key(&mut self, text: &str, out: &mut Output) -> Scanned<usize> {
        if let Some(quote) = self.quote(text)? {
            self.separate(out);
            out.arguments("\"");
            self.expect = Expect::String {
                quote,
                is_key: true,
            };
            return Ok(quote.len());
        }
        let key = atom(text, &[':', self.syntax.assign])?;
        self.separate(out);
        out.arguments("\"");
        out.escaped_arguments(key);
        out.arguments("\"");
        if self.open.len() == 1 {
            key.clone_into(&mut self.parameter);
        }
        self.expect = Expect::Assign;
        Ok(key.len())
    }

    fn read_value(
        &mut self,
        text: &str,
        next: char,
        types: &dyn ArgumentTypes,
        out: &mut Output,
    ) -> Scanned<usize> {
        if let Some(quote) = self.quote(text)? {
            self.separate_value(out);
            let is_typed = self.syntax.are_strings_typed && self.open.len() == 1;
            self.expect = if is_typed && !types.is_string(&self.parameter) {
                Expect::Typed { quote }
            } else {
                out.arguments("\"");
                Expect::String {
                    quote,
                    is_key: false,
                }
            };
            return Ok(quote.len());
        }
        let (json_open, close) = match next {
            '{' => ("{", '}'),
            '[' => ("[", ']'),
            '(' => ("[", ')'),
            _ => {
                let word = atom(text, &[])?;
                self.separate_value(out);
                out.arguments(&word_as_json(word));
                self.expect = Expect::Comma;
                return Ok(word.len());
            }
        };
        if self.open.len() == MAX_DEPTH {
            return Err(Stop::Fail);
        }
        self.separate_value(out);
        out.arguments(json_open);
        self.open.push(close);
        self.is_later_item = false;
        self.expect = if close == '}' {
            Expect::Key
        } else {
            Expect::Value
        };
        Ok(1)
    }

    /// In lists; in objects the key has been separated.
    fn separate_value(&mut self, out: &mut Output) {
        if !self.is_in_object() {
            self.separate(out);
        }
    }

    fn read_string(
        &mut self,
        text: &str,
        quote: &'static str,
        is_key: bool,
        out: &mut Output,
    ) -> Scanned<usize> {
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            if rest.starts_with(quote) {
                out.arguments("\"");
                self.expect = if is_key {
                    Expect::Assign
                } else {
                    Expect::Comma
                };
                return Ok(at + quote.len());
            }
            if self.syntax.has_escapes && rest.starts_with('\\') {
                let Some((len, json)) = escape(rest) else {
                    break;
                };
                out.arguments(&json);
                at += len;
                continue;
            }
            let plain = self.plain_len(rest, quote);
            if plain == 0 {
                break;
            }
            out.escaped_arguments(&rest[..plain]);
            at += plain;
        }
        if at == 0 { Err(Stop::Wait) } else { Ok(at) }
    }

    /// Bytes of `text` that are as they look, whatever follows.
    fn plain_len(&self, text: &str, quote: &str) -> usize {
        let end = text
            .find(quote)
            .unwrap_or(text.len() - partial_len(text, quote));
        let escape = if self.syntax.has_escapes {
            text.find('\\')
        } else {
            None
        };
        end.min(escape.unwrap_or(end))
    }

    fn read_typed(
        &mut self,
        text: &str,
        quote: &'static str,
        types: &dyn ArgumentTypes,
        out: &mut Output,
    ) -> Scanned<usize> {
        let Some(len) = text.find(quote).filter(|len| *len <= MAX_TYPED_BYTES) else {
            if text.len() < MAX_TYPED_BYTES + quote.len() {
                return Err(Stop::Wait);
            }
            out.arguments("\"");
            self.expect = Expect::String {
                quote,
                is_key: false,
            };
            return Ok(0);
        };
        let value = &text[..len];
        out.arguments(&types.json(&self.parameter, value));
        self.expect = Expect::Comma;
        Ok(len + quote.len())
    }
}

/// A bare word, up to what ends one; `stops` end it, too.
fn atom<'a>(text: &'a str, stops: &[char]) -> Scanned<&'a str> {
    let is_end =
        |c: char| matches!(c, ',' | ')' | ']' | '}' | '(' | '[' | '{') || c.is_ascii_whitespace();
    match text.find(|c| is_end(c) || stops.contains(&c)) {
        Some(0) => Err(Stop::Fail),
        Some(len) if len <= MAX_ATOM_BYTES => Ok(&text[..len]),
        None if text.len() <= MAX_ATOM_BYTES => Err(Stop::Wait),
        _ => Err(Stop::Fail),
    }
}

/// One whole Python literal as JSON.
pub(super) fn python_value(text: &str) -> Option<String> {
    let mut out = Output::default();
    let mut reader = LiteralsReader::new(&PYTHON);
    // A list of one: its end is known without looking behind it.
    reader.open.push(']');
    reader.expect = Expect::Value;
    let list = format!("{text}]");
    let mut at = 0;
    while reader.open.len() > 1 {
        at += reader.step(&list[at..], &Untyped, &mut out).ok()?;
    }
    let json = out.take_text();
    let json = json.strip_suffix(']').filter(|_| at == list.len())?;
    Some(json.to_owned())
}
