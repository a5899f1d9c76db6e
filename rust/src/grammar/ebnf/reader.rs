//! Reads GBNF: signs in, rules out.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use super::expression::Expression;
use crate::grammar::lark_text::escape_one;

const MAX_DEPTH: usize = 100;
/// Of `{n,m}`.
const MAX_TIMES: u32 = 10_000;

/// The rules by name. The reason, in one sentence, where the text is at fault.
pub(super) fn read(text: &str) -> Result<BTreeMap<String, Expression>, String> {
    let mut reader = Reader {
        signs: text.chars().peekable(),
        line: 1,
        depth: 0,
    };
    let mut rules = BTreeMap::new();
    reader.skip_space();
    while reader.signs.peek().is_some() {
        let name = reader.name();
        reader.skip_space();
        if name.is_empty() || !(0..3).all(|at| reader.take_if(|sign| sign == [':', ':', '='][at])) {
            return reader.wrong("expected 'name ::='");
        }
        let rule = reader.choice()?;
        if rules.insert(name.clone(), rule).is_some() {
            return reader.wrong(&format!("the rule '{name}' is there twice"));
        }
    }
    Ok(rules)
}

struct Reader<'a> {
    signs: Peekable<Chars<'a>>,
    line: usize,
    depth: usize,
}

impl Reader<'_> {
    fn choice(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.too_deep();
        }
        let mut options = vec![self.sequence()?];
        while self.take_if(|sign| sign == '|') {
            options.push(self.sequence()?);
        }
        self.depth -= 1;
        let only = if options.len() == 1 {
            options.pop()
        } else {
            None
        };
        Ok(only.unwrap_or(Expression::Choice(options)))
    }

    fn sequence(&mut self) -> Result<Expression, String> {
        let mut parts = Vec::new();
        loop {
            self.skip_space();
            if self.is_at_end_of_sequence() {
                break;
            }
            let part = self.part()?;
            parts.push(self.repeated(part)?);
        }
        let only = if parts.len() == 1 { parts.pop() } else { None };
        Ok(only.unwrap_or(Expression::Sequence(parts)))
    }

    /// Also where the next rule begins: rules are not ended by a sign of their own.
    fn is_at_end_of_sequence(&self) -> bool {
        let mut ahead = self.signs.clone();
        match ahead.peek() {
            None | Some('|') => true,
            Some(')') => self.depth > 1,
            Some(sign) if is_name_sign(*sign) => {
                let mut rest = ahead
                    .skip_while(|sign| is_name_sign(*sign))
                    .skip_while(|sign| sign.is_whitespace());
                rest.next() == Some(':')
            }
            Some(_) => false,
        }
    }

    fn part(&mut self) -> Result<Expression, String> {
        match self.signs.peek().copied() {
            Some('"') => self.text(),
            Some('[') => self.class(),
            Some('(') => {
                self.next();
                let inner = self.choice()?;
                self.skip_space();
                if self.take_if(|sign| sign == ')') {
                    Ok(grouped(inner))
                } else {
                    self.wrong("expected ')'")
                }
            }
            Some('.') => {
                self.next();
                Ok(Expression::Class("(?s:.)".to_owned()))
            }
            Some(sign) if is_name_sign(sign) => Ok(Expression::Name(self.name())),
            _ => self.wrong("expected a text, a class, a name or '('"),
        }
    }

    /// A part with the signs of repetition that may follow.
    fn repeated(&mut self, mut part: Expression) -> Result<Expression, String> {
        for _ in 0..MAX_DEPTH {
            let (min, max) = match self.signs.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => {
                    let (min, max) = self.times()?;
                    part = repeat(part, min, max);
                    continue;
                }
                _ => return Ok(part),
            };
            self.next();
            part = repeat(part, min, max);
        }
        self.too_deep()
    }

    /// The bounds in `{n}`, `{n,}` or `{n,m}`.
    fn times(&mut self) -> Result<(u32, Option<u32>), String> {
        self.next();
        let min = self.number()?;
        let max = if !self.take_if(|sign| sign == ',') {
            Some(min)
        } else if self.signs.peek() == Some(&'}') {
            None
        } else {
            Some(self.number()?)
        };
        if !self.take_if(|sign| sign == '}') {
            return self.wrong("expected '}'");
        }
        if let Some(max) = max.filter(|max| *max < min) {
            return self.wrong(&format!("{min} is more than {max}"));
        }
        Ok((min, max))
    }

    fn number(&mut self) -> Result<u32, String> {
        let mut digits = String::new();
        while let Some(digit) = self.signs.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        match digits.parse() {
            Ok(number) if number <= MAX_TIMES => Ok(number),
            _ => self.wrong(&format!("expected a number of at most {MAX_TIMES}")),
        }
    }

    fn text(&mut self) -> Result<Expression, String> {
        self.next();
        let mut text = String::new();
        while !self.take_if(|sign| sign == '"') {
            text.push(self.sign("the text")?);
        }
        Ok(Expression::Text(text))
    }

    fn class(&mut self) -> Result<Expression, String> {
        self.next();
        let mut class = String::from("[");
        if self.take_if(|sign| sign == '^') {
            class.push('^');
        }
        while !self.take_if(|sign| sign == ']') {
            let first = self.sign("the class")?;
            class.push_str(&escape_one(first));
            if self.signs.peek() == Some(&'-') && self.signs.clone().nth(1) != Some(']') {
                self.next();
                let last = self.sign("the class")?;
                if last < first {
                    return self.wrong("a range goes down");
                }
                class.push('-');
                class.push_str(&escape_one(last));
            }
        }
        if class.ends_with(['[', '^']) {
            return self.wrong("expected a sign in the class");
        }
        class.push(']');
        Ok(Expression::Class(class))
    }

    /// One sign of a text or class, escaped or not.
    fn sign(&mut self, what: &str) -> Result<char, String> {
        let ends = format!("{what} ends too early");
        let Some(sign) = self.next() else {
            return self.wrong(&ends);
        };
        if sign != '\\' {
            return Ok(sign);
        }
        match self.next() {
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('0') => Ok('\0'),
            Some('x') => self.code(2),
            Some('u') => self.code(4),
            Some('U') => self.code(8),
            Some(other) => Ok(other),
            None => self.wrong(&ends),
        }
    }

    fn code(&mut self, num_digits: usize) -> Result<char, String> {
        let digits: String = (0..num_digits).filter_map(|_| self.signs.next()).collect();
        match u32::from_str_radix(&digits, 16)
            .ok()
            .and_then(char::from_u32)
        {
            Some(sign) => Ok(sign),
            None => self.wrong(&format!("expected {num_digits} hex digits of a character")),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(sign) = self.signs.next_if(|sign| is_name_sign(*sign)) {
            name.push(sign);
        }
        name
    }

    fn skip_space(&mut self) {
        loop {
            if self.take_if(char::is_whitespace) {
                continue;
            }
            if self.signs.peek() != Some(&'#') {
                return;
            }
            while self.signs.peek().is_some_and(|sign| *sign != '\n') {
                self.next();
            }
        }
    }

    fn take_if(&mut self, is_wanted: impl Fn(char) -> bool) -> bool {
        let is_next = self.signs.peek().is_some_and(|sign| is_wanted(*sign));
        if is_next {
            self.next();
        }
        is_next
    }

    fn next(&mut self) -> Option<char> {
        let sign = self.signs.next();
        self.line += usize::from(sign == Some('\n'));
        sign
    }

    fn too_deep<T>(&self) -> Result<T, String> {
        self.wrong(&format!("it nests more than {MAX_DEPTH} deep"))
    }

    fn wrong<T>(&self, problem: &str) -> Result<T, String> {
        Err(format!("in line {} of the grammar: {problem}", self.line))
    }
}

fn is_name_sign(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || sign == '-' || sign == '_'
}

/// A choice in brackets stays one part where it stands among others.
fn grouped(inner: Expression) -> Expression {
    match inner {
        choice @ Expression::Choice(_) => Expression::Sequence(vec![choice]),
        other => other,
    }
}

fn repeat(what: Expression, min: u32, max: Option<u32>) -> Expression {
    Expression::Repeat {
        what: Box::new(what),
        min,
        max,
    }
}
