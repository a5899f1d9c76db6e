//! Runs a chain in tests.

use std::ops::ControlFlow;

use super::Chain;
use crate::delta::{Delta, Fold, Kind};

/// What a choice of these pieces, a token each, shows, all added up.
pub(crate) fn fold_of(chain: &mut Chain, pieces: &[&str]) -> Fold {
    let mut fold = Fold::default();
    let mut num_told = 0;
    let mut show = |delta: &Delta<'_>| {
        assert!(!delta.text.is_empty(), "no delta is empty");
        assert_eq!(delta.tokens.start, num_told, "no token is left out");
        num_told = delta.tokens.end;
        fold.add(delta);
    };
    let pieces = pieces.iter().filter(|piece| !piece.is_empty());
    for (token, text) in (0..).zip(pieces) {
        let (kind, tokens) = (Kind::Text, token..token + 1);
        assert_eq!(
            chain.push(&Delta { kind, text, tokens }, &mut show),
            ControlFlow::Continue(())
        );
    }
    assert_eq!(chain.finish(&mut show), ControlFlow::Continue(()));
    for call in &mut fold.tool_calls {
        call.id.clear();
    }
    // Without what tells which tokens told what: that depends on the pieces.
    let mut sum = Fold::default();
    (sum.text, sum.reasoning, sum.tool_calls) = (fold.text, fold.reasoning, fold.tool_calls);
    sum
}
