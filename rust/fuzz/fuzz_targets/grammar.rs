//! Any text as any kind of grammar: it is compiled within its limits, or refused in one sentence.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use _core::grammar::{CompileLimits, GrammarError, GrammarFactory, Kind};
use _core::vocabulary::Vocabulary;
use libfuzzer_sys::fuzz_target;

static FACTORY: LazyLock<GrammarFactory> = LazyLock::new(|| {
    let vocab: Vec<String> = (32..127_u8)
        .zip(0..)
        .map(|(byte, id)| {
            format!(
                "{}: {id}",
                serde_json::Value::from(char::from(byte).to_string())
            )
        })
        .collect();
    let json = format!(
        r#"{{"decoder": {{"type": "ByteLevel"}}, "model": {{"type": "BPE", "vocab": {{{}}}, "merges": []}}}}"#,
        vocab.join(", ")
    );
    let vocabulary = Vocabulary::from_json(json.as_bytes()).expect("the target's own tokenizer");
    let limits = CompileLimits {
        max_bytes: 4096,
        timeout: Duration::from_secs(20),
        ..CompileLimits::default()
    };
    GrammarFactory::new(&vocabulary, 96, &[], limits).expect("the target's own vocabulary")
});

fuzz_target!(|input: (u8, &str)| {
    let kind = Kind::ALL[usize::from(input.0) % Kind::ALL.len()];
    if let Err(GrammarError::Invalid(reason)) = FACTORY.compile(kind, input.1) {
        assert!(!reason.is_empty() && reason.len() < 2000, "{reason}");
        assert!(
            !reason.contains("cannot be compiled"),
            "a compiling thread has panicked: {input:?}"
        );
    }
});
