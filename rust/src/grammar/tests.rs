use std::time::Duration;

use serde_json::json;

use super::work::{Outcome, Work};
use super::{CompileLimits, Grammar, GrammarError, GrammarFactory, GrammarRows, Kind, Taken};
use crate::vocabulary::testing::byte_level;

const EOS: u32 = 258;

/// Bytes, "water", " the" and `<eos>`, and one id that is no token.
fn factory() -> GrammarFactory {
    let vocabulary = byte_level(&["water", " the"]);
    GrammarFactory::new(&vocabulary, 260, &[EOS], CompileLimits::default()).expect("factory")
}

fn compile(kind: Kind, text: &str) -> Grammar {
    let compiled = factory().compile(kind, text);
    compiled.unwrap_or_else(|reason| panic!("{text}: {reason}"))
}

fn refusal(kind: Kind, text: &str) -> String {
    match factory().compile(kind, text) {
        Err(GrammarError::Invalid(reason)) => reason,
        other => panic!("{text}: {other:?}"),
    }
}

fn allows(mask: &[u32], token: u32) -> bool {
    mask[token as usize / 32] & (1 << (token % 32)) != 0
}

/// Whether the grammar allows `text`, byte by byte, and lets it end there.
fn accepts(grammar: &Grammar, text: &str) -> bool {
    let mut work = Work::begin(grammar.clone());
    for (place, byte) in text.bytes().enumerate() {
        if !allows(&work.mask, u32::from(byte)) {
            return false;
        }
        match work.advance(u32::from(byte)) {
            Outcome::Next => {}
            Outcome::Complete => return place + 1 == text.len(),
            Outcome::Failed(reason) => panic!("{text}: {reason}"),
        }
    }
    allows(&work.mask, EOS)
}

#[track_caller]
fn check(kind: Kind, grammar: &str, good: &[&str], bad: &[&str]) {
    let compiled = compile(kind, grammar);
    for text in good {
        assert!(accepts(&compiled, text), "{grammar} should allow {text:?}");
    }
    for text in bad {
        assert!(
            !accepts(&compiled, text),
            "{grammar} should not allow {text:?}"
        );
    }
}

#[test]
fn each_kind_allows_what_it_says() {
    check(
        Kind::Regex,
        r"\d{3}-\d{4}",
        &["555-1234"],
        &["555-123", "x"],
    );
    check(
        Kind::Regex,
        r"^(yes|no)$",
        &["yes", "no"],
        &["", "maybe", "yesno"],
    );
    check(Kind::Regex, r"a\$", &["a$"], &["a"]);
    check(
        Kind::Regex,
        "[a-z]+/[a-z]*",
        &["a/b", "water/"],
        &["/", "a"],
    );
    check(
        Kind::Choice,
        r#"["ja", "jawohl", "\u007f\n\"é"]"#,
        &["ja", "jawohl", "\u{7f}\n\"é"],
        &["j", "jaw"],
    );
    check(
        Kind::Lark,
        "start: \"a\" b*\nb: \"b\" | \"c\"",
        &["a", "abcb"],
        &["b", ""],
    );
    check(
        Kind::JsonObject,
        "",
        &["{}", r#"{"a": [1, {"b": null}]}"#, "{\n  \"a\" : 1e3\n}"],
        &["[]", "{,}", r#"{"a" 1}"#],
    );
    check(
        Kind::Ebnf,
        "root ::= \"(\" root? \")\" | [0-9]+",
        &["((12))", "()"],
        &["((12)", ""],
    );
}

#[test]
fn the_choice_of_names_and_rules_does_not_change_what_ebnf_allows() {
    let text =
        "root ::= item (\", \" item)*\nitem ::= \"ab\" \"c\" | \"a\" \"bd\" | ws\nws ::= [ \\t]*";
    check(
        Kind::Ebnf,
        text,
        &["abc", "abd", "abc, abd", "", "  , abd"],
        &["ab", "abc,abd"],
    );
    let text = "root ::= \"[\" ws (root (\",\" ws root)*)? \"]\" ws\nws ::= [ ]*";
    check(
        Kind::Ebnf,
        text,
        &["[]", "[ [],[ ] ]", "[]  "],
        &["[", "[,]"],
    );
}

#[test]
fn a_schema_is_kept() {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 4},
            "kind": {"enum": ["a", "ü", 3, null]},
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}
        },
        "required": ["name", "kind"],
        "additionalProperties": false
    });
    let good = [
        r#"{"name": "日本", "kind": "ü"}"#,
        r#"{"name":"","kind":3,"next":{"name":"x","kind":null,"next":null}}"#,
    ];
    let bad = [
        "{}",
        r#"{"name": "12345", "kind": "a"}"#,
        r#"{"name": "", "kind": "b"}"#,
        r#"{"name": "", "kind": "a", "x": 1}"#,
    ];
    check(Kind::JsonSchema, &schema.to_string(), &good, &bad);
}

#[test]
fn an_old_draft_s_keywords_are_kept_too() {
    let schema = json!({"$schema": "http://json-schema.org/draft-04/schema#", "const": 3});
    check(Kind::JsonSchema, &schema.to_string(), &["3"], &["4", "{}"]);
    let schema = json!({"type": "array", "items": [{"const": 1}, {"const": 2}], "additionalItems": false, "minItems": 2});
    check(
        Kind::JsonSchema,
        &schema.to_string(),
        &["[1, 2]"],
        &["[1]", "[1,2,3]", "[2,1]"],
    );
    let schema = json!({"type": "integer", "minimum": 3, "exclusiveMinimum": true});
    check(Kind::JsonSchema, &schema.to_string(), &["4"], &["3"]);
}

#[test]
fn a_tagged_union_allows_each_of_its_members() {
    let member = |tag: &str| json!({"type": "object", "properties": {"kind": {"const": tag}}, "required": ["kind"], "additionalProperties": false});
    let schema = json!({"oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}], "$defs": {"cat": member("cat"), "dog": member("dog")}});
    check(
        Kind::JsonSchema,
        &schema.to_string(),
        &[r#"{"kind": "cat"}"#, r#"{"kind": "dog"}"#],
        &["{}", r#"{"kind": "cow"}"#],
    );
}

#[test]
fn a_structural_tag_binds_only_what_follows_its_trigger() {
    let tag = json!({
        "structures": [
            {"begin": "<f=a>", "schema": {"type": "integer"}, "end": "</f>"},
            {"begin": "<f=b>", "schema": {"const": true}, "end": "</f>"}
        ],
        "triggers": ["<f="]
    });
    let good = [
        "",
        "some text",
        "see <f=a>3</f> and <f=b>true</f>",
        "<f=a>1</f>\n.",
        "<f",
    ];
    let bad = ["<f=", "<f=c>", "x <f=b>3</f>", "<f=a>3</f><f="];
    check(Kind::StructuralTag, &tag.to_string(), &good, &bad);
}

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

const WAIT: Duration = Duration::from_secs(10);

/// Ready rows' keys.
fn ready(keys: &[u64], taken: &Taken) -> Vec<u64> {
    let place = |index: &i32| usize::try_from(*index).expect("a place");
    taken
        .indices
        .iter()
        .map(|index| keys[place(index)])
        .collect()
}

#[test]
fn rows_go_their_ways_by_themselves() {
    let rows = GrammarRows::new(2);
    rows.join(1, compile(Kind::Choice, r#"["ab"]"#));
    rows.join(2, compile(Kind::Regex, "[0-9]*"));
    let keys = [1, 2, 3];
    let first = rows.take_ready(&keys, WAIT);
    assert_eq!(ready(&keys, &first), [1, 2]);
    let (one, two) = first.masks.split_at(first.masks.len() / 2);
    assert!(allows(one, u32::from(b'a')) && !allows(one, EOS));
    assert!(allows(two, u32::from(b'7')) && allows(two, EOS));
    assert_eq!(
        rows.take_ready(&keys, Duration::ZERO),
        Taken::default(),
        "taken once"
    );
    rows.advance(&[1, 2], &[i32::from(b'a'), -1], &[false, false]);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(ready(&keys, &rows.take_ready(&keys, WAIT)));
    }
    rows.advance(
        &[1, 2],
        &[i32::from(b'b'), i32::from(b'x')],
        &[false, false],
    );
    let (mut complete, mut failed) = (Vec::new(), Vec::new());
    while complete.len() + failed.len() < 2 {
        let taken = rows.take_ready(&keys, WAIT);
        complete.extend(taken.complete);
        failed.extend(taken.failed.into_iter().map(|(key, _)| key));
    }
    assert_eq!((complete, failed), (vec![1], vec![2]));
    assert_eq!(
        rows.take_ready(&keys, Duration::ZERO),
        Taken::default(),
        "told once"
    );
    rows.leave(1);
    rows.leave(2);
    rows.leave(3);
    assert!(rows.is_empty());
}

#[test]
fn a_row_that_left_meanwhile_is_forgotten() {
    let rows = GrammarRows::new(1);
    for key in 0..50 {
        rows.join(key, compile(Kind::JsonObject, ""));
        let _ = rows.take_ready(&[key], WAIT);
        rows.advance(&[key], &[i32::from(b'{')], &[false]);
        rows.leave(key);
    }
    assert_eq!(
        rows.take_ready(&(0..50).collect::<Vec<_>>(), WAIT),
        Taken::default()
    );
    assert!(rows.is_empty());
}

#[test]
fn a_row_that_ended_by_its_token_waits_to_leave() {
    let rows = GrammarRows::new(1);
    rows.join(1, compile(Kind::Regex, "a*"));
    let _ = rows.take_ready(&[1], WAIT);
    rows.advance(&[1], &[EOS.cast_signed()], &[true]);
    assert_eq!(rows.take_ready(&[1], Duration::ZERO), Taken::default());
    rows.leave(1);
}

fn bytes(text: &str) -> impl Iterator<Item = u32> {
    text.bytes().map(u32::from)
}

#[test]
fn the_constraint_begins_after_the_thought() {
    let factory = factory();
    let thought = factory.thought(None, "</t>", None).expect("thought");
    let grammar = factory
        .compile(Kind::Choice, r#"["ok"]"#)
        .expect("grammar")
        .after_thought(thought);
    let mut work = Work::begin(grammar);
    for token in bytes("free < text </t") {
        assert!(allows(&work.mask, token) && allows(&work.mask, EOS));
        assert_eq!(work.advance(token), Outcome::Next);
    }
    work.advance(u32::from(b'>'));
    assert!(allows(&work.mask, u32::from(b'o')) && !allows(&work.mask, u32::from(b'x')));
    work.advance(u32::from(b'o'));
    assert_eq!(work.advance(u32::from(b'k')), Outcome::Complete);
}

#[test]
fn a_thought_may_be_left_out_where_the_prompt_did_not_open_it() {
    let factory = factory();
    let thought = factory
        .thought(Some("water"), "</t>", None)
        .expect("thought");
    let grammar = factory
        .compile(Kind::Choice, r#"["ok"]"#)
        .expect("grammar")
        .after_thought(thought);
    let mut work = Work::begin(grammar.clone());
    assert!(
        allows(&work.mask, 256) && allows(&work.mask, u32::from(b'o')) && !allows(&work.mask, 257)
    );
    work.advance(u32::from(b'o'));
    assert!(allows(&work.mask, u32::from(b'k')) && !allows(&work.mask, 256));
    let mut work = Work::begin(grammar);
    work.advance(256);
    assert!(allows(&work.mask, 257));
    bytes("</t>").for_each(|token| drop(work.advance(token)));
    assert!(!allows(&work.mask, 257) && allows(&work.mask, u32::from(b'o')));
}

#[test]
fn a_thought_over_its_budget_is_closed() {
    let factory = factory();
    let thought = factory.thought(None, "</t>", Some(2)).expect("thought");
    let mut work = Work::begin(factory.free().after_thought(thought));
    work.advance(256);
    assert!(allows(&work.mask, 257));
    work.advance(257);
    for token in bytes("</t>") {
        assert!(allows(&work.mask, token));
        assert_eq!(
            work.mask.iter().map(|word| word.count_ones()).sum::<u32>(),
            1
        );
        work.advance(token);
    }
    assert!(
        allows(&work.mask, 257) && allows(&work.mask, EOS),
        "free afterwards"
    );
    let none_left = factory.thought(None, "</t>", Some(0)).expect("thought");
    let work = Work::begin(factory.free().after_thought(none_left));
    assert!(allows(&work.mask, u32::from(b'<')) && !allows(&work.mask, 257));
}

#[test]
fn a_marker_that_the_model_cannot_spell_is_refused() {
    assert!(factory().thought(Some("<think>"), "</t>", None).is_err());
}

#[test]
fn dates_and_times_are_what_every_parser_takes() {
    let check_format = |format: &str, good: &[&str], bad: &[&str]| {
        let schema = json!({"type": "string", "format": format}).to_string();
        let quoted = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|each| format!("\"{each}\"")).collect()
        };
        let (good, bad) = (quoted(good), quoted(bad));
        let good: Vec<&str> = good.iter().map(String::as_str).collect();
        let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
        check(Kind::JsonSchema, &schema, &good, &bad);
    };
    check_format(
        "date",
        &["2024-02-29", "2000-02-29", "1999-12-31", "0001-01-01"],
        &["2023-02-29", "1900-02-29", "0000-01-01", "2024-04-31"],
    );
    check_format(
        "time",
        &["23:59:59Z", "00:00:00.5+01:30"],
        &["24:00:00Z", "23:59:60Z", "12:00:00"],
    );
    check_format(
        "date-time",
        &["2024-02-29T12:00:00Z"],
        &["2023-02-29T12:00:00Z", "2024-02-29 12:00:00Z"],
    );
}

#[test]
fn a_shorthand_allows_what_all_readers_of_it_allow() {
    check(Kind::Regex, r"\d\w", &["1a", "2_"], &["\u{0663}a", "1é"]);
    check(
        Kind::Regex,
        r"\D\W",
        &["a-", "é!"],
        &["1-", "\u{0663}-", "aé"],
    );
    check(Kind::Regex, r"[^\W\d]", &["a", "_"], &["é", "1", "-"]);
}
