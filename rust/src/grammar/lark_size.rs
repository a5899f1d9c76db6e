//! How large a Lark grammar's terminals become: each is one regular expression, in which the terminals that it names
//! are written out. A few lines can so stand for more than any memory holds; llguidance would not notice in time.

use std::collections::HashMap;

/// Names and signs of one terminal, those that it names written out.
const MAX_SIZE: u64 = 100_000;

/// Refuses a grammar that would grow too large. What is no Lark is the compiler's to say.
pub(super) fn check(lark: &str) -> Result<(), String> {
    let mut definitions = Definitions::read(lark);
    let names: Vec<&str> = definitions.parts.keys().copied().collect();
    for name in names {
        if definitions.size_of(name) > MAX_SIZE {
            return Err(format!(
                "the terminal '{name:.64}' is too large: more than {MAX_SIZE} parts, when those that it names are \
                 written out"
            ));
        }
    }
    Ok(())
}

struct Definitions<'a> {
    /// By name: the terminals that it names, as often as it does.
    parts: HashMap<&'a str, Vec<&'a str>>,
    sizes: HashMap<&'a str, u64>,
}

impl<'a> Definitions<'a> {
    fn read(lark: &'a str) -> Self {
        let mut parts: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut words = words(lark).into_iter().peekable();
        let mut current = "";
        while let Some(word) = words.next() {
            if words.peek() == Some(&":") {
                current = word;
            } else if word.starts_with(|sign: char| sign.is_ascii_uppercase() || sign == '_') {
                parts.entry(current).or_default().push(word);
            }
        }
        Self {
            parts,
            sizes: HashMap::new(),
        }
    }

    fn size_of(&mut self, name: &'a str) -> u64 {
        if let Some(size) = self.sizes.get(name) {
            return *size;
        }
        self.sizes.insert(name, 1); // also of one that names itself, which the compiler refuses
        let parts = self.parts.remove(name).unwrap_or_default();
        let add = |size: u64, part| size.saturating_add(self.size_of(part));
        let size = parts.into_iter().fold(1, add);
        self.sizes.insert(name, size);
        size
    }
}

/// The names and colons of a grammar, without what stands in texts, expressions, options and comments.
fn words(lark: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = lark;
    while let Some(sign) = rest.chars().next() {
        let len = match sign {
            '"' => quoted(rest, '"'),
            '/' if rest.starts_with("//") => line(rest),
            '/' => quoted(rest, '/'),
            '#' => line(rest),
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            ':' => {
                words.push(&rest[..1]);
                1
            }
            _ if is_name_sign(sign) => {
                let end = rest.find(|sign| !is_name_sign(sign)).unwrap_or(rest.len());
                words.push(&rest[..end]);
                end
            }
            _ => sign.len_utf8(),
        };
        rest = &rest[len..];
    }
    words
}

fn is_name_sign(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || sign == '_' || sign == '-'
}

fn line(rest: &str) -> usize {
    rest.find('\n').unwrap_or(rest.len())
}

/// Up to the next `end` that no backslash is before.
fn quoted(rest: &str, end: char) -> usize {
    let mut is_escaped = false;
    for (place, sign) in rest.char_indices().skip(1) {
        match sign {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if sign == end => return place + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_grows_without_bound_is_refused() {
        let doubling: Vec<String> = (0..60)
            .map(|n| format!("A{n}: A{} A{}\n", n + 1, n + 1))
            .collect();
        let doubling = doubling.concat();
        let lark = format!("start: A0\n{doubling}A60: \"a\"\n");
        assert!(check(&lark).expect_err("too large").contains("too large"));
    }

    #[test]
    fn what_does_not_grow_passes() {
        for lark in [
            "start: A A A\nA: B | \"C D E\" /F G/ # H\nB[lazy]: /x/",
            "A: B\nB: A",
            "start: a\na: \"unclosed",
            "",
        ] {
            assert_eq!(check(lark), Ok(()), "{lark}");
        }
    }
}
