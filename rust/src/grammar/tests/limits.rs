//! What cannot be compiled, and what is kept.

use serde_json::json;

use super::super::{CompileLimits, Grammar, GrammarFactory, Kind};
use super::{byte_level, factory, refusal};

#[test]
fn what_cannot_be_compiled_is_refused_with_its_reason() {
    assert!(refusal(Kind::JsonSchema, r#"{"not": {}}"#).contains("'not' at #"));
    assert!(refusal(Kind::JsonSchema, "{").contains("not valid JSON"));
    assert!(refusal(Kind::JsonSchema, "3").contains("object"));
    assert!(refusal(Kind::JsonSchema, "false").len() > 5);
    assert!(refusal(Kind::JsonSchema, r##"{"$ref": "#/nowhere"}"##).len() > 5);
    assert!(refusal(Kind::JsonSchema, r#"{"$ref": "http://127.0.0.1:1/x"}"#).len() > 5);
    assert!(
        refusal(
            Kind::JsonSchema,
            r#"{"oneOf": [{"type": "number"}, {"type": "integer"}]}"#
        )
        .contains("oneOf")
    );
    assert!(refusal(Kind::Regex, "(a").len() > 5);
    assert!(refusal(Kind::Regex, "").contains("no text"));
    assert!(refusal(Kind::Regex, "(?=a)a").len() > 5);
    assert!(refusal(Kind::Choice, "[]").contains("empty"));
    assert!(refusal(Kind::Choice, r#"["a", ""]"#).contains("empty"));
    assert!(refusal(Kind::Choice, "[1]").contains("strings"));
    assert!(refusal(Kind::Lark, "start: nothing").contains("nothing"));
    assert!(refusal(Kind::Lark, r#"start: %json {"not": {}}"#).contains("'not'"));
    assert!(refusal(Kind::Ebnf, "root ::= x").contains("'x'"));
    assert!(refusal(Kind::Lark, &"a".repeat(1 << 20)).contains("bytes"));
}

/// Each would take the process with it, or keep it for long, were there no limits.
#[test]
fn hostile_grammars_are_harmless_or_refused() {
    let deep = 20_000;
    let nested_rule = format!("start: {}\"a\"{}", "(".repeat(deep), ")".repeat(deep));
    let chain: Vec<String> = (0..deep / 4)
        .map(|n| format!("A{n}: A{}\n", n + 1))
        .collect();
    let chain = chain.concat();
    let chain = format!("start: A0\n{chain}A{}: \"a\"\n", deep / 4);
    let doubling: Vec<String> = (0..60)
        .map(|n| format!("A{n}: A{} A{}\n", n + 1, n + 1))
        .collect();
    let doubling = doubling.concat();
    let doubling = format!("start: A0\n{doubling}A60: \"a\"\n");
    let nested_regex = format!("{}a{}", "(".repeat(deep), ")".repeat(deep));
    for (is_harmless, kind, text) in [
        (false, Kind::Lark, nested_rule),
        (true, Kind::Lark, chain),
        (false, Kind::Lark, doubling),
        (false, Kind::Regex, nested_regex),
        (
            true,
            Kind::Regex,
            "((a{1,1000}){1,1000}){1,1000}b".to_owned(),
        ),
        (true, Kind::Regex, "(x+x+)+y".to_owned()),
        (
            true,
            Kind::Regex,
            format!(
                "({})*",
                (0..2000)
                    .map(|n| format!("a.{{{n}}}b"))
                    .collect::<Vec<_>>()
                    .join("|")
            ),
        ),
        (
            true,
            Kind::JsonSchema,
            json!({"type": "array", "minItems": 1_000_000_000, "items": {"type": "string"}})
                .to_string(),
        ),
        (
            true,
            Kind::JsonSchema,
            json!({"type": "string", "pattern": "(a|b)*a(a|b){200}"}).to_string(),
        ),
        (
            true,
            Kind::JsonSchema,
            format!(
                "{}{}",
                r#"{"items":"#.repeat(120),
                "true".to_owned() + &"}".repeat(120)
            ),
        ),
    ] {
        let compiled = factory().compile(kind, &text);
        assert_eq!(compiled.is_ok(), is_harmless, "{text:.60}");
    }
}

#[test]
fn a_grammar_is_compiled_once() {
    let factory = factory();
    let first = factory.compile(Kind::Regex, "a+").expect("grammar");
    let second = factory.compile(Kind::Regex, "a+").expect("grammar");
    let same = |one: &Grammar, other: &Grammar| match (&one.compiled, &other.compiled) {
        (Some(one), Some(other)) => std::sync::Arc::ptr_eq(one, other),
        _ => false,
    };
    assert!(same(&first, &second));
    let other = factory.compile(Kind::Lark, "a+");
    assert!(other.is_err(), "the kind is part of what is looked up");
}

#[test]
fn grammars_used_longest_ago_are_forgotten() {
    let limits = CompileLimits {
        max_kept: 2,
        ..CompileLimits::default()
    };
    let factory = GrammarFactory::new(&byte_level(&[]), 257, &[256], limits).expect("factory");
    let compiled = |text: &str| {
        factory
            .compile(Kind::Regex, text)
            .expect("grammar")
            .compiled
            .expect("one")
    };
    let (a, b) = (compiled("a"), compiled("b"));
    assert!(std::sync::Arc::ptr_eq(&a, &compiled("a")));
    compiled("c");
    assert!(std::sync::Arc::ptr_eq(&a, &compiled("a")));
    assert!(!std::sync::Arc::ptr_eq(&b, &compiled("b")));
}
