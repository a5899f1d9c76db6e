//! Cost of a mask: how long a row under a schema waits for its next one, and how many all rows get in a second.
//!
//! `cargo bench --no-default-features --bench masks`; on vocabularies of 128k and 256k tokens that are made as byte-pair
//! encodings come out: bytes, words of common syllables with and without a space before them, numbers, runs of
//! punctuation and of white space, and other scripts.

#![expect(clippy::print_stdout, reason = "the bench's own table")]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use _core::grammar::{CompileLimits, Grammar, GrammarFactory, GrammarRows, Kind};
use _core::vocabulary::Vocabulary;

const NUM_ROWS: u64 = 8;
const NUM_TIMES: usize = 20;
const WAIT: Duration = Duration::from_secs(10);

const SCHEMAS: [(&str, &str, &str); 4] = [
    (
        "function call",
        r#"{"type": "object", "properties": {"location": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 14}}, "required": ["location", "unit", "days"],
            "additionalProperties": false}"#,
        r#"{"location": "San Francisco, California, and what lies around it", "unit": "celsius", "days": 12}"#,
    ),
    (
        "any object",
        r#"{"type": "object"}"#,
        r#"{"name": "a river", "length": 1233.5, "towns": ["Basel", "Köln", {"x": null}], "is long": true, "y": {"z": []}}"#,
    ),
    (
        "list of records",
        r##"{"type": "object", "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
            "required": ["items"], "$defs": {"item": {"type": "object", "properties": {
                "id": {"type": "string", "pattern": "^[a-z]{2}-[0-9]{4}$"}, "when": {"type": "string", "format": "date-time"},
                "tags": {"type": "array", "items": {"enum": ["new", "old", "blue", "green"]}},
                "parent": {"anyOf": [{"$ref": "#/$defs/item"}, {"type": "null"}]}},
                "required": ["id", "when", "tags", "parent"], "additionalProperties": false}}}"##,
        r#"{"items": [{"id": "ab-1234", "when": "2026-11-24T23:10:00Z", "tags": ["new", "blue"], "parent": {"id": "cd-5678",
            "when": "2026-11-24T23:10:00Z", "tags": [], "parent": null}}]}"#,
    ),
    (
        "bounded text",
        r#"{"type": "object", "properties": {"text": {"type": "string", "minLength": 10, "maxLength": 400}}, "required": ["text"]}"#,
        r#"{"text": "The water runs down the pipe and turns the wheel, and the wheel turns the stone, all day long."}"#,
    ),
];

/// Numbers that look random and are the same every time (Steele, Lea and Flood's `SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((word ^ (word >> 31)) % bound as u64).expect("a small number")
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const SYLLABLES: [&str; 40] = [
    "the", "ing", "er", "ter", "al", "ed", "es", "re", "tion", "re", "o", "in", "com", "de", "to",
    "at", "con", "ver", "ment", "un", "pro", "an", "ly", "is", "en", "st", "ar", "ma", "ri", "ne",
    "li", "ca", "si", "ta", "ra", "lo", "mo", "vi", "ke", "un",
];
const MARKS: [&str; 16] = [
    "\"", "{", "}", "[", "]", ":", ",", ".", "\\", "/", "-", "_", "(", ")", "=", "\n",
];
const SCRIPTS: [&str; 12] = [
    "水", "車", "日", "本", "語", "ж", "и", "в", "ö", "é", "ع", "न",
];

fn word(random: &mut Random) -> String {
    let space = if random.below(3) > 0 { " " } else { "" };
    let body: String = match random.below(20) {
        0 => (0..=random.below(3))
            .map(|_| char::from(b'0' + random.below(10).to_le_bytes()[0]))
            .collect(),
        1 | 2 => (0..=random.below(5)).map(|_| random.pick(&MARKS)).collect(),
        3 => " ".repeat(random.below(60) + 1),
        4..=7 => (0..=random.below(4))
            .map(|_| random.pick(&SCRIPTS))
            .collect(),
        _ => (0..=random.below(4))
            .map(|_| random.pick(&SYLLABLES))
            .collect(),
    };
    let body = if random.below(6) == 0 {
        body.to_uppercase()
    } else {
        body
    };
    format!("{space}{body}")
}

/// In the byte-level alphabet.
fn spell(bytes: &[u8]) -> String {
    let is_itself = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let others: Vec<u8> = (0..=255).filter(|byte| !is_itself(*byte)).collect();
    let spell_one = |byte: &u8| match others.iter().position(|other| other == byte) {
        None => char::from(*byte),
        Some(place) => {
            char::from_u32(256 + u32::try_from(place).expect("a byte")).expect("a letter")
        }
    };
    bytes.iter().map(spell_one).collect()
}

/// The vocabulary and its texts by id; the last token ends a text.
fn vocabulary(size: usize) -> (Vocabulary, Vec<Vec<u8>>) {
    let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let mut seen: HashSet<Vec<u8>> = tokens.iter().cloned().collect();
    let mut random = Random(1);
    while tokens.len() < size - 1 {
        let token = word(&mut random).into_bytes();
        if seen.insert(token.clone()) {
            tokens.push(token);
        }
    }
    let rows: Vec<String> = (0..)
        .zip(&tokens)
        .map(|(id, token): (u32, _)| format!("{:?}: {id}", spell(token)))
        .collect();
    let json = format!(
        r#"{{"added_tokens": [{{"id": {}, "content": "<eos>", "special": true}}], "decoder": {{"type": "ByteLevel"}},
            "model": {{"type": "BPE", "vocab": {{{}}}, "merges": []}}}}"#,
        size - 1,
        rows.join(", ")
    );
    (
        Vocabulary::from_json(json.as_bytes()).expect("the bench's own tokenizer"),
        tokens,
    )
}

/// The longest token first, again and again.
fn encode(text: &str, tokens: &[Vec<u8>]) -> Vec<i32> {
    let ids: std::collections::HashMap<&[u8], i32> = (0..)
        .zip(tokens)
        .map(|(id, token)| (token.as_slice(), id))
        .collect();
    let mut rest = text.as_bytes();
    let mut encoded = Vec::new();
    while !rest.is_empty() {
        let len = (1..=rest.len().min(64))
            .rev()
            .find(|len| ids.contains_key(&rest[..*len]))
            .expect("a byte");
        encoded.push(ids[&rest[..len]]);
        rest = &rest[len..];
    }
    encoded
}

/// From a token to the next mask, for each token of a text.
fn waits(rows: &GrammarRows, row_key: u64, grammar: &Grammar, tokens: &[i32]) -> Vec<Duration> {
    rows.join(row_key, grammar.clone());
    let _ = rows.take_ready(&[row_key], WAIT);
    let wait = |token: &i32| {
        let started = Instant::now();
        rows.advance(&[row_key], &[*token], &[false]);
        let taken = rows.take_ready(&[row_key], WAIT);
        assert!(taken.failed.is_empty(), "{:?}", taken.failed);
        started.elapsed()
    };
    let waits = tokens.iter().map(wait).collect();
    rows.leave(row_key);
    waits
}

/// Masks per second of several rows at once, each in a step of all.
fn masks_per_second(rows: &GrammarRows, grammar: &Grammar, tokens: &[i32]) -> f64 {
    let keys: Vec<u64> = (0..NUM_ROWS).collect();
    for key in &keys {
        rows.join(*key, grammar.clone());
    }
    let started = Instant::now();
    let mut num_masks = 0.0;
    let _ = rows.take_ready(&keys, WAIT);
    for token in tokens {
        rows.advance(&keys, &vec![*token; keys.len()], &vec![false; keys.len()]);
        let mut num_ready = 0;
        while num_ready < keys.len() {
            let taken = rows.take_ready(&keys, WAIT);
            num_ready += taken.indices.len() + taken.complete.len();
        }
        num_masks += 8.0;
    }
    let per_second = num_masks / started.elapsed().as_secs_f64();
    for key in &keys {
        rows.leave(*key);
    }
    per_second
}

fn main() {
    println!(
        "| tokens | schema | compiled in ms | mean us | p50 | p99 | max | 8 rows, masks per s |"
    );
    println!("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for size in [131_072, 262_144] {
        let (vocabulary, tokens) = vocabulary(size);
        let num_ids = u32::try_from(size).expect("a vocabulary");
        let factory = GrammarFactory::new(
            &vocabulary,
            num_ids,
            &[num_ids - 1],
            CompileLimits::default(),
        );
        let factory = factory.expect("a factory");
        for (name, schema, text) in SCHEMAS {
            let started = Instant::now();
            let grammar = factory
                .compile(Kind::JsonSchema, schema)
                .expect("a grammar");
            let compiled_ms = started.elapsed().as_secs_f64() * 1e3;
            let encoded = encode(text, &tokens);
            let rows = GrammarRows::new(2);
            let mut all: Vec<Duration> = (0..NUM_TIMES)
                .flat_map(|time| waits(&rows, time as u64, &grammar, &encoded))
                .collect();
            all.sort();
            let us = |wait: Duration| wait.as_secs_f64() * 1e6;
            let at = |share: usize| us(all[(all.len() - 1) * share / 100]);
            let mean = us(all.iter().sum::<Duration>())
                / f64::from(u32::try_from(all.len()).expect("few"));
            let rate = masks_per_second(&rows, &grammar, &encoded);
            println!(
                "| {size} | {name} | {compiled_ms:.1} | {mean:.0} | {:.0} | {:.0} | {:.0} | {rate:.0} |",
                at(50),
                at(99),
                at(100)
            );
        }
    }
}
