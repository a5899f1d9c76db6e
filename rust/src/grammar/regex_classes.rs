//! `\d`, `\w`, `\s`, their opposites and `.` in a client's expression, as sets that every reader of it agrees on.
//!
//! To JavaScript, and so to JSON Schema, digits and words are about ASCII; to Python and to Rust they are about Unicode.
//! Of white space and line ends each has its own idea. What is allowed here is what all allow, so that whoever checks an
//! answer finds it good.

/// Letters, marks, numbers and connectors: all that any of them takes for part of a word.
const WORD: &str = r"\p{Alphabetic}\p{M}\p{N}\p{Pc}\x{200c}\x{200d}";

/// What all of them take for white space.
const SPACE: &str =
    r"\t\n\x0b\x0c\r\x20\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}";
/// What one or another of them takes for white space, besides.
const MORE_SPACE: &str = r"\x1c-\x1f\x{85}\x{feff}";
/// What `.` matches to all of them: to JavaScript a carriage return ends a line, too.
const DOT: &str = r"[^\n\r\x{2028}\x{2029}]";

/// The expression in Rust's syntax, without the shorthands that differ. A dot stays one where flags, which JavaScript
/// does not know, may say what it means.
pub(super) fn spelt_out(regex: &str) -> String {
    let has_flags = has_flags(regex);
    let mut spelt = String::with_capacity(regex.len());
    let mut class = Class::None;
    let mut signs = regex.chars().peekable();
    while let Some(sign) = signs.next() {
        match (sign, class) {
            ('\\', _) => match signs.next() {
                Some(escaped) => spelt.push_str(&shorthand(escaped, class)),
                None => spelt.push('\\'),
            },
            ('[', Class::None) => {
                let is_negated = signs.peek() == Some(&'^');
                class = if is_negated {
                    Class::Negated
                } else {
                    Class::Plain
                };
                spelt.push('[');
            }
            (']', Class::Plain | Class::Negated) if !ends_with_opening(&spelt) => {
                class = Class::None;
                spelt.push(']');
            }
            ('.', Class::None) if !has_flags => spelt.push_str(DOT),
            _ => spelt.push(sign),
        }
    }
    spelt
}

/// Whether a group such as `(?s)` or `(?i-u:` says how its expression is read.
fn has_flags(regex: &str) -> bool {
    let after = regex.split("(?").skip(1);
    after
        .into_iter()
        .any(|rest| rest.starts_with(|sign: char| sign.is_ascii_lowercase() || sign == '-'))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    None,
    Plain,
    Negated,
}

/// A bracket that stands first in a class is one of its signs.
fn ends_with_opening(spelt: &str) -> bool {
    spelt.ends_with('[') || spelt.ends_with("[^")
}

/// In a negated class a larger set allows less.
fn shorthand(escaped: char, class: Class) -> String {
    match (escaped, class) {
        ('d', Class::None | Class::Plain) => "[0-9]".to_owned(),
        ('w', Class::None | Class::Plain) => "[0-9A-Za-z_]".to_owned(),
        ('d', Class::Negated) => r"\p{Nd}".to_owned(),
        ('w', Class::Negated) => WORD.to_owned(),
        ('D', Class::None | Class::Plain) => r"[^\p{Nd}]".to_owned(),
        ('W', Class::None | Class::Plain) => format!("[^{WORD}]"),
        ('D', Class::Negated) => "[^0-9]".to_owned(),
        ('W', Class::Negated) => "[^0-9A-Za-z_]".to_owned(),
        ('s', Class::None | Class::Plain) => format!("[{SPACE}]"),
        ('s', Class::Negated) => format!("{SPACE}{MORE_SPACE}"),
        ('S', Class::None | Class::Plain) => format!("[^{SPACE}{MORE_SPACE}]"),
        ('S', Class::Negated) => format!("[^{SPACE}]"),
        _ => format!("\\{escaped}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{DOT, spelt_out};

    #[test]
    fn shorthands_become_what_all_agree_on() {
        assert_eq!(spelt_out(r"\d{3}-\w\\d"), r"[0-9]{3}-[0-9A-Za-z_]\\d");
        assert_eq!(spelt_out(r"a.\."), format!(r"a{DOT}\."));
        assert_eq!(
            spelt_out(r"(?:.)(?P<n>.)"),
            format!(r"(?:{DOT})(?P<n>{DOT})")
        );
        assert_eq!(spelt_out(r"(?s).(?i:.)"), r"(?s).(?i:.)");
        assert_eq!(spelt_out(r"[\d.]+[^\d\]]"), r"[[0-9].]+[^\p{Nd}\]]");
        assert_eq!(spelt_out(r"\D[\D]"), r"[^\p{Nd}][[^\p{Nd}]]");
        assert_eq!(spelt_out(r"[^\W\d_]"), r"[^[^0-9A-Za-z_]\p{Nd}_]");
        assert_eq!(spelt_out(r"[]\d]\d"), r"[][0-9]][0-9]");
        assert_eq!(spelt_out(r"a\"), r"a\");
    }
}
