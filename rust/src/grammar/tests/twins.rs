//! Masks of schemas with bounded strings, against a matcher that counts every character.

use llguidance::Matcher;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::mask_words::words_of;
use super::super::work::{Outcome, Work};
use super::super::{CompileLimits, Grammar, GrammarFactory, Kind};
use super::{allows, byte_level};

/// Long and short, plain and not: whatever a bound may have to do with.
const WORDS: [&str; 19] = [
    "water",
    " the",
    "\\\"",
    "\",\"",
    "\": \"",
    "{\"text\": \"",
    "\"}",
    "é水é水é水",
    "-----------------",
    "--------------------------------",
    "                                                                ",
    "水水水水水水水水水水水水水水水水水水水水",
    "a sentence of more than a few words",
    "\",\"aaaaaaaaaaaaaaaaaaaaaaaa",
    "\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n",
    "\"}}",
    "\"]",
    "[\"",
    "17",
];

fn schemas() -> Vec<Value> {
    let text = json!({"type": "string", "minLength": 3, "maxLength": 70});
    let short = json!({"type": "string", "maxLength": 40});
    let object = |properties: Value| json!({"type": "object", "properties": properties, "additionalProperties": false});
    vec![
        text.clone(),
        object(json!({"text": text, "other": {"type": "string"}})),
        object(
            json!({"text": short, "note": {"anyOf": [text, {"type": "null"}]}, "a": {"enum": ["a sentence"]}}),
        ),
        json!({"type": "array", "items": short}),
        json!({"type": "array", "items": {"$ref": "#/$defs/text"}, "$defs": {"text": text}}),
        json!({"type": ["string", "integer", "null"], "maxLength": 50}),
        object(
            json!({"text": text, "code": {"type": "string", "pattern": "^a{0,60}b$", "maxLength": 30}}),
        ),
    ]
}

fn grammar(schema: &Value) -> Grammar {
    let factory = GrammarFactory::new(&byte_level(&WORDS), 280, &[275], CompileLimits::default());
    let compiled = factory
        .unwrap()
        .compile(Kind::JsonSchema, &schema.to_string());
    compiled.unwrap()
}

/// The schema's own mask.
fn counted(matcher: &mut Matcher, num_words: usize) -> Vec<u32> {
    words_of(&matcher.compute_mask().unwrap(), num_words).to_vec()
}

/// Writes what `choices` say of what is allowed, and compares every mask.
fn write(grammar: &Grammar, choices: &[u16]) {
    let num_words = grammar.num_mask_words();
    let mut matcher = grammar.compiled.as_ref().unwrap().matcher();
    let mut work = Work::begin(grammar.clone());
    let mut text = String::new();
    for choice in choices {
        let counted = counted(&mut matcher, num_words);
        assert_eq!(&work.mask[..], &counted[..], "after {text:?}");
        // Long tokens more often than there are of them.
        let longest = (256..275).filter(|id| allows(&counted, *id));
        let all = (0..275).filter(|id| allows(&counted, *id));
        let tokens: Vec<u32> = if choice % 4 == 0 {
            all.collect()
        } else {
            longest.collect()
        };
        let Some(token) = tokens.get(usize::from(*choice) % tokens.len().max(1)) else {
            continue;
        };
        text += &String::from_utf8_lossy(&grammar.env.tok_trie().decode(&[*token]));
        matcher.consume_token(*token).unwrap();
        if work.advance(*token) != Outcome::Next {
            return;
        }
    }
}

#[test]
fn bounded_strings_have_a_twin_that_does_not_count() {
    for schema in schemas() {
        let grammar = grammar(&schema);
        assert!(grammar.compiled.unwrap().twin().is_some(), "{schema}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_twins_masks_are_the_schemas_own(
        schema in proptest::sample::select(schemas()),
        choices in proptest::collection::vec(any::<u16>(), 1..120),
    ) {
        write(&grammar(&schema), &choices);
    }
}

#[test]
fn the_bound_itself_is_kept() {
    let grammar = grammar(&json!({"type": "string", "maxLength": 70}));
    let mut work = Work::begin(grammar);
    for token in std::iter::once(u32::from(b'"')).chain(std::iter::repeat_n(u32::from(b'x'), 70)) {
        assert!(allows(&work.mask, token));
        assert_eq!(work.advance(token), Outcome::Next);
    }
    assert!(!allows(&work.mask, u32::from(b'x')));
    assert!(allows(&work.mask, u32::from(b'"')));
}
