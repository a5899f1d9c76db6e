//! Structural tags in both notations.

use serde_json::{Value, json};

use super::super::Kind;
use super::{check, refusal};

fn check_format(format: &Value, good: &[&str], bad: &[&str]) {
    let tag = json!({"type": "structural_tag", "format": format});
    check(Kind::StructuralTag, &tag.to_string(), good, bad);
}

fn tag(begin: &str, content: &Value) -> Value {
    json!({"type": "tag", "begin": begin, "content": content, "end": "</f>"})
}

#[test]
fn a_structural_tag_binds_only_what_follows_its_trigger() {
    let structures = json!({
        "structures": [
            {"begin": "<f=a>", "schema": {"type": "integer"}, "end": "</f>"},
            {"begin": "<f=b>", "schema": {"const": true}, "end": "</f>"}
        ],
        "triggers": ["<f="]
    });
    let format = json!({
        "type": "triggered_tags",
        "triggers": ["<f="],
        "tags": [
            tag("<f=a>", &json!({"type": "json_schema", "json_schema": {"type": "integer"}})),
            tag("<f=b>", &json!({"type": "json_schema", "json_schema": {"const": true}})),
        ],
        "at_least_one": false,
    });
    let good = [
        "",
        "some text",
        "see <f=a>3</f> and <f=b>true</f>",
        "<f=a>1</f>\n.",
        "<f",
    ];
    let bad = ["<f=", "<f=c>", "x <f=b>3</f>", "<f=a>3</f><f="];
    check(Kind::StructuralTag, &structures.to_string(), &good, &bad);
    check_format(&format, &good, &bad);
}

#[test]
fn a_format_is_put_together_of_its_parts() {
    let number = json!({"type": "regex", "pattern": "[0-9]+/[0-9]+"});
    let word = json!({"type": "const_string", "value": "so"});
    let either = json!({"type": "or", "elements": [number, word]});
    check_format(
        &json!({"type": "sequence", "elements": [word, either, {"type": "any_text"}]}),
        &["so1/2", "soso", "soso and\nmore"],
        &["so", "1/2", "so1"],
    );
    check_format(
        &tag("<think>", &json!({"type": "any_text", "excludes": []})),
        &["<think>a < b</f>", "<think></f>"],
        &["<think>a", "a</f>", "<think>a</f>b"],
    );
    let ends = json!({"type": "tag", "begin": "(", "content": number, "end": [")", "]"]});
    check_format(&ends, &["(1/2)", "(1/2]"], &["(1/2", "1/2)"]);
    let separated = json!({
        "type": "tags_with_separator", "tags": [tag("<a>", &number), tag("<b>", &word)], "separator": ", ",
    });
    check_format(
        &separated,
        &["", "<a>1/2</f>", "<b>so</f>, <a>3/4</f>"],
        &[", ", "<a>so</f>"],
    );
    let mut one = separated.clone();
    one["at_least_one"] = json!(true);
    one["stop_after_first"] = json!(true);
    check_format(&one, &["<b>so</f>"], &["", "<b>so</f>, <b>so</f>"]);
}

#[test]
fn a_format_that_is_not_taken_is_refused_by_its_name() {
    let free = json!({"type": "any_text"});
    let tags = json!([tag("<f>", &free)]);
    for (format, word) in [
        (
            json!({"type": "grammar", "grammar": "root ::= \"a\""}),
            "'grammar'",
        ),
        (
            json!({"type": "qwen_xml_parameter", "json_schema": {}}),
            "'qwen_xml_parameter'",
        ),
        (
            json!({"type": "sequence", "elements": [free, free]}),
            "stand last",
        ),
        (json!({"type": "any_text", "excludes": ["x"]}), "'excludes'"),
        (json!({"type": "sequence", "elements": []}), "'elements'"),
        (json!({"type": "const_string", "value": ""}), "'value'"),
        (
            json!({"type": "triggered_tags", "triggers": ["<"], "tags": tags, "at_least_one": true}),
            "'at_least_one'",
        ),
        (
            json!({"type": "triggered_tags", "triggers": ["("], "tags": tags}),
            "no trigger",
        ),
        (
            json!({"type": "tag", "begin": "a", "content": {"type": "any_text"}, "end": ""}),
            "needs an end",
        ),
        (
            json!({"type": "json_schema", "json_schema": {"not": {}}}),
            "'not'",
        ),
        (json!("text"), "object"),
        (json!({}), "'type'"),
    ] {
        let reason = refusal(Kind::StructuralTag, &json!({"format": format}).to_string());
        assert!(reason.contains(word), "{format}: {reason}");
    }
}

#[test]
fn tags_in_tags_do_not_grow_without_bound() {
    let separated = |inner: &Value| {
        let tags = [json!({"type": "tag", "begin": "(", "content": inner, "end": ")"})];
        json!({"type": "tags_with_separator", "separator": ",", "tags": tags})
    };
    let word = json!({"type": "const_string", "value": "so"});
    check_format(
        &separated(&separated(&word)),
        &["", "()", "((so),(so)),()"],
        &["(", "(so)"],
    );
    let nested = (0..12).fold(word, |inner, _| separated(&inner));
    let lark = super::super::structural_tag::to_lark(&json!({"format": nested})).unwrap();
    assert!(lark.len() < 2_000, "{} bytes", lark.len());
}
