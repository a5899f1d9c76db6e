//! Any text as any kind of grammar is read, or refused in a sentence: nothing panics and nothing hangs.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::source::read;
use super::super::{Kind, schema};

/// Pieces of all notations.
const FRAGMENTS: [&str; 40] = [
    "root ::= ",
    "start: ",
    "x ",
    "A",
    "::=",
    ":",
    "|",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "\\",
    "/",
    "*",
    "+",
    "?",
    "{2,3}",
    "[^a-z]",
    "\n",
    "#",
    "%json ",
    "{\"type\": \"string\"}",
    "true",
    "null",
    "1e9",
    ",",
    "é",
    "水",
    "\"structures\"",
    "\"format\"",
    "\"triggers\"",
    "\"type\"",
    "\"any_text\"",
    "\\u00e9",
    "\\x41",
    "[lazy]",
];

fn texts() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(&FRAGMENTS[..]);
    let pieces = prop::collection::vec(fragment, 0..30).prop_map(|pieces| pieces.concat());
    prop_oneof![pieces, "\\PC{0,40}"]
}

/// Keywords of schemas with values of any kind, nested.
fn schemas() -> impl Strategy<Value = Value> {
    let keyword = prop::sample::select(vec![
        "type",
        "enum",
        "const",
        "properties",
        "items",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "$defs",
        "pattern",
        "format",
        "minLength",
        "maxLength",
        "required",
        "additionalProperties",
        "patternProperties",
        "propertyNames",
        "not",
        "x-y",
    ]);
    let leaf = prop_oneof![
        Just(json!("string")),
        Just(json!("#/$defs/a")),
        Just(json!("date")),
        Just(json!(3)),
        Just(json!(-1)),
        Just(json!(true)),
        Just(json!(null)),
        Just(json!([])),
        Just(json!({})),
        Just(json!(["a", 1, null])),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let members = prop::collection::vec((keyword.clone(), inner.clone()), 0..4);
        prop_oneof![
            members.prop_map(|members| Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            )),
            prop::collection::vec(inner, 0..3).prop_map(Value::Array),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in texts(), kind in prop::sample::select(&Kind::ALL[..])) {
        if let Err(reason) = read(kind, &text) {
            prop_assert!(!reason.is_empty() && !reason.contains('\n'), "{}", reason);
        }
    }

    #[test]
    fn any_schema_is_prepared_or_refused(schema in schemas()) {
        if let Err(reason) = schema::prepare(&schema) {
            prop_assert!(!reason.is_empty() && !reason.contains('\n'), "{}", reason);
        } else {
            prop_assert!(read(Kind::JsonSchema, &schema.to_string()).is_ok());
        }
    }

    #[test]
    fn any_structural_tag_is_read_or_refused(format in schemas()) {
        let tag = json!({"format": format}).to_string();
        let _ = read(Kind::StructuralTag, &tag);
    }
}
