//! Arguments as the literals of a language, `city="Paris", days=[1, 2]` or `city:<|"|>Paris<|"|>`, made into JSON as they
//! come.
//!
//! A machine with a stack of open brackets: it gives every character's JSON as soon as it is certain. What it cannot
//! read ends the call.

use super::json_value::{is_number, push_escaped};
use super::output::Output;
use super::scan::{Cursor, Scanned, Stop, partial_len, space_len};
use super::schemas::{Tool, Types};

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
        types: Types,
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
        tool: &Tool,
        out: &mut Output,
    ) -> (usize, Scanned<()>) {
        let mut at = 0;
        let stopped = loop {
            match self.step(&text[at..], tool, out) {
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

    fn step(&mut self, text: &str, tool: &Tool, out: &mut Output) -> Scanned<usize> {
        match self.expect {
            Expect::String { quote, is_key } => return self.read_string(text, quote, is_key, out),
            Expect::Typed { quote, types } => return self.read_typed(text, quote, types, out),
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
            Expect::Key | Expect::Value | Expect::Comma if self.closes(next) => {
                self.close(out);
                next.len_utf8()
            }
            Expect::Key => self.read_key(text, out)?,
            Expect::Value => self.read_value(text, next, tool, out)?,
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
        tool: &Tool,
        out: &mut Output,
    ) -> Scanned<usize> {
        if let Some(quote) = self.quote(text)? {
            self.separate_value(out);
            let types = tool.types(&self.parameter);
            let is_typed = self.syntax.are_strings_typed && self.open.len() == 1;
            self.expect = if is_typed && !types.is_text() && !types.has(Types::STRING) {
                Expect::Typed { quote, types }
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
        types: Types,
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
        out.arguments(&types.json(value));
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

/// A number, a constant, or else the word itself as a string.
fn word_as_json(word: &str) -> String {
    match word {
        "True" | "true" => return "true".to_owned(),
        "False" | "false" => return "false".to_owned(),
        "None" | "null" => return "null".to_owned(),
        _ => {}
    }
    let digits = word.strip_prefix('+').unwrap_or(word).replace('_', "");
    if is_number(&digits) {
        return digits;
    }
    // What JSON writes differently: `.5`, `1.`, `007`.
    let looks_numeric = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number = digits
        .parse::<f64>()
        .ok()
        .filter(|value| looks_numeric && value.is_finite());
    match number.and_then(serde_json::Number::from_f64) {
        Some(number) => number.to_string(),
        None => serde_json::Value::from(word).to_string(),
    }
}

/// The escape with which `text` begins: its length and its JSON. None: it is not whole yet.
fn escape(text: &str) -> Option<(usize, String)> {
    let kind = text.chars().nth(1)?;
    let num_hex = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => {
            let len = 1 + kind.len_utf8();
            return Some((len, simple_escape(kind)));
        }
    };
    let digits: String = text[2..]
        .chars()
        .take(num_hex)
        .take_while(char::is_ascii_hexdigit)
        .collect();
    if digits.len() < num_hex && text.len() < 2 + num_hex {
        return None;
    }
    if digits.len() < num_hex {
        return Some((2, format!("\\\\{kind}")));
    }
    if kind == 'u' {
        // JSON has the same escape, pairs of surrogates included.
        return Some((6, format!("\\u{digits}")));
    }
    let decoded = u32::from_str_radix(&digits, 16)
        .ok()
        .and_then(char::from_u32);
    let mut json = String::new();
    push_escaped(
        decoded.unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]),
        &mut json,
    );
    Some((2 + num_hex, json))
}

fn simple_escape(kind: char) -> String {
    let json = match kind {
        'n' => "\\n",
        't' => "\\t",
        'r' => "\\r",
        'b' => "\\b",
        'f' => "\\f",
        '0' => "\\u0000",
        'a' => "\\u0007",
        'v' => "\\u000b",
        '\\' => "\\\\",
        '"' => "\\\"",
        '\'' => "'",
        '/' => "/",
        '\n' => "",
        // Python keeps the backslash of an escape that it does not know.
        other => return format!("\\\\{other}"),
    };
    json.to_owned()
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
        at += reader.step(&list[at..], &Tool::unknown(), &mut out).ok()?;
    }
    let json = out.take_text();
    let json = json.strip_suffix(']').filter(|_| at == list.len())?;
    Some(json.to_owned())
}
