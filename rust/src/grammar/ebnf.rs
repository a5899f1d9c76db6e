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

/// Those that come to themselves by no way.
fn regular_rules(rules: &BTreeMap<String, Expression>) -> BTreeSet<&str> {
    let mut regular = BTreeSet::new();
    loop {
        let num_known = regular.len();
        for (name, expression) in rules {
            if expression.names().all(|each| regular.contains(each)) {
                regular.insert(name.as_str());
            }
        }
        if regular.len() == num_known {
            return regular;
        }
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn nesting_is_bounded() {
        let text = format!("root ::= {}\"a\"{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(to_lark(&text).expect_err("too deep").contains("deep"));
    }
}
