//! `\d`, `\w` and their opposites in a client's expression, as sets that every reader of it agrees on.
//!
//! To JavaScript, and so to JSON Schema, they are about ASCII; to Python and to Rust they are about Unicode. What is
//! allowed here is what both allow, so that whoever checks an answer finds it good.

/// Letters, marks, numbers and connectors: all that any of them takes for part of a word.
const WORD: &str = r"\p{Alphabetic}\p{M}\p{N}\p{Pc}\x{200c}\x{200d}";

/// The expression in Rust's syntax, without the shorthands that differ.
pub(super) fn spelt_out(regex: &str) -> String {
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
            _ => spelt.push(sign),
        }
    }
    spelt
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
        _ => format!("\\{escaped}"),
    }
}

#[cfg(test)]
mod tests {
    use super::spelt_out;

    #[test]
    fn shorthands_become_what_all_agree_on() {
        assert_eq!(spelt_out(r"\d{3}-\w\s\\d"), r"[0-9]{3}-[0-9A-Za-z_]\s\\d");
        assert_eq!(spelt_out(r"[\d.]+[^\d\]]"), r"[[0-9].]+[^\p{Nd}\]]");
        assert_eq!(spelt_out(r"\D[\D]"), r"[^\p{Nd}][[^\p{Nd}]]");
        assert_eq!(spelt_out(r"[^\W\d_]"), r"[^[^0-9A-Za-z_]\p{Nd}_]");
        assert_eq!(spelt_out(r"[]\d]\d"), r"[][0-9]][0-9]");
        assert_eq!(spelt_out(r"a\"), r"a\");
    }
}
