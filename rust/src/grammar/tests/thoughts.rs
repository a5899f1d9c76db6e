//! Thoughts before the constraint.

use super::super::Kind;
use super::super::work::{Outcome, Work};
use super::{EOS, allows, factory};

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
