//! Grammars on a vocabulary of bytes, and a few words.

mod dates;
mod kinds;
mod limits;
mod random;
mod rows;
mod structural_tags;
mod thoughts;
mod twins;

use super::work::{Outcome, Work};
use super::{CompileLimits, Grammar, GrammarError, GrammarFactory, Kind};
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
