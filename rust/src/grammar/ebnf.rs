//! Grammars in the notation of llama.cpp's GBNF, which xgrammar's EBNF shares, as Lark.
//!
//! Taken: rules `name ::= …` of which `root` is the first; `"text"`, `[a-z]`, `[^a-z]`, `.`, names, `( )`, `|`, and
//! `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}`; comments from `#` to the line's end. In texts and classes the escapes `\n`,
//! `\r`, `\t`, `\0`, `\xNN`, `\uNNNN`, `\UNNNNNNNN`, and `\` before any other sign. Not taken: look-ahead `(=…)`, tokens `<…>`.
//!
//! A rule that does not refer to itself, however far around, becomes one terminal, which is a regular expression and
//! means exactly the same. The others become rules, whose parts are found one by one, the longest first.

mod expression;
mod reader;

use std::collections::{BTreeMap, BTreeSet};

use expression::{Context, Expression};

/// The Lark grammar. The reason, in one sentence, where the text is at fault.
pub(super) fn to_lark(text: &str) -> Result<String, String> {
    let rules = reader::read(text)?;
    if !rules.contains_key("root") {
        return Err("the grammar has no rule 'root'".to_owned());
    }
    for (name, expression) in &rules {
        if let Some(unknown) = expression.names().find(|each| !rules.contains_key(*each)) {
            return Err(format!(
                "the rule '{name}' refers to '{unknown}', which is not there"
            ));
        }
    }
    let regular = regular_rules(&rules);
    let numbers: BTreeMap<&str, usize> = rules.keys().map(String::as_str).zip(0..).collect();
    let context = Context {
        numbers: &numbers,
        regular: &regular,
    };
    let mut lines = vec![format!("start: {}\n", context.reference("root"))];
    lines.extend(rules.iter().map(|(name, expression)| {
        let (name, body) = (context.reference(name), context.spell(expression));
        format!("{name}: {body}\n")
    }));
    Ok(lines.concat())
}

/// Those that come to themselves by no way: each is found when the last one that it refers to is.
fn regular_rules(rules: &BTreeMap<String, Expression>) -> BTreeSet<&str> {
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut num_unknown: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (name, expression) in rules {
        let names: Vec<&str> = expression.names().collect();
        if names.is_empty() {
            found.push(name.as_str());
        }
        num_unknown.insert(name, names.len());
        for each in names {
            users.entry(each).or_default().push(name);
        }
    }
    let mut regular = BTreeSet::new();
    while let Some(name) = found.pop() {
        regular.insert(name);
        for user in users.get(name).into_iter().flatten() {
            if let Some(num_left) = num_unknown.get_mut(user) {
                *num_left -= 1;
                if *num_left == 0 {
                    found.push(user);
                }
            }
        }
    }
    regular
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::to_lark;

    #[test]
    fn rules_without_recursion_become_terminals() {
        let lark = to_lark(
            "root ::= greeting \" \" name # one line\ngreeting ::= \"hi\" | \"hello\"\nname ::= [A-Z] [a-z]*\n",
        );
        let expected = "start: T2\nT0: (\"hi\") | (\"hello\")\nT1: /[\\x{41}-\\x{5a}]/ (/[\\x{61}-\\x{7a}]/)*\nT2: T0 \" \" T1\n";
        assert_eq!(lark.as_deref(), Ok(expected));
    }

    #[test]
    fn rules_with_recursion_stay_rules() {
        let lark =
            to_lark("root ::= \"(\" root? \")\" | digit\ndigit ::= [0-9]{1,3}").expect("Lark");
        assert!(lark.starts_with("start: r1\n"), "{lark}");
        assert!(lark.contains("r1: (\"(\" (r1)? \")\") | (T0)\n"), "{lark}");
        assert!(lark.contains("T0: (/[\\x{30}-\\x{39}]/){1,3}\n"), "{lark}");
    }

    #[test]
    fn a_rule_may_go_over_lines() {
        let lark = to_lark("root ::= (\n  \"a\" |\n  \"b\"\n)\n\n");
        assert_eq!(lark.as_deref(), Ok("start: T0\nT0: ((\"a\") | (\"b\"))\n"));
        let lark = to_lark("root ::= \"a\"\n  | \"b\"\nx ::= \"c\"");
        assert!(lark.is_ok(), "{lark:?}");
    }

    #[test]
    fn bad_grammars_are_refused() {
        for (text, word) in [
            ("", "root"),
            ("start ::= \"a\"", "root"),
            ("root ::= other", "'other'"),
            ("root ::= \"a", "ends"),
            ("root ::= [a", "ends"),
            ("root ::= (\"a\"", "expected"),
            ("root ::= \"a\" )", "expected"),
            ("root ::= (=\"a\")", "expected"),
            ("root ::= \"a\"{3,1}", "3"),
            ("root ::= *", "expected"),
            ("root ::= \"a\"\nroot ::= \"b\"", "twice"),
            ("root = \"a\"", "::="),
            ("root ::= [z-a]", "range"),
        ] {
            let reason = to_lark(text).expect_err(text);
            assert!(reason.contains(word), "{text}: {reason}");
        }
    }

    /// They were looked for anew for each that was found.
    #[test]
    fn a_long_chain_of_rules_is_read_once() {
        let mut text = "root ::= a00000\n".to_owned();
        for number in 0..12_000 {
            let _ = writeln!(text, "a{number:05} ::= a{:05}", number + 1);
        }
        text.push_str("a12000 ::= \"x\"\n");
        let lark = to_lark(&text).expect("Lark");
        assert!(lark.starts_with("start: T12001\n"), "all are terminals");
    }

    #[test]
    fn signs_of_repetition_are_bounded_where_they_nest() {
        assert!(to_lark("root ::= \"a\"{2}*?").is_ok());
        let text = format!("root ::= \"a\"{}", "?".repeat(100_000));
        assert!(to_lark(&text).expect_err("too deep").contains("deep"));
        let beside = format!("root ::= {}", "\"a\"? ".repeat(1000));
        assert!(to_lark(&beside).is_ok());
    }

    #[test]
    fn nesting_is_bounded() {
        let text = format!("root ::= {}\"a\"{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(to_lark(&text).expect_err("too deep").contains("deep"));
    }
}
