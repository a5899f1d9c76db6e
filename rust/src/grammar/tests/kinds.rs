//! What each kind of grammar allows.

use serde_json::json;

use super::super::Kind;
use super::check;

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
