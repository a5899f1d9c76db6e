//! One row's part in a step: its last token in, its next mask out.

use std::sync::Arc;

use llguidance::Matcher;
use llguidance::api::StopReason;

use super::compiled::{Compiled, Grammar, words_of};
use super::thought::Progress;

/// What a token brought a row to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It may go on, within `Work::mask`.
    Next,
    /// Nothing can follow.
    Complete,
    /// It can neither go on nor end, for a reason in one sentence.
    Failed(String),
}

enum Stage {
    /// Nothing was written; a thought may come first.
    Start,
    Thinking(Progress),
    /// The thought is over its budget: so many tokens of its end are written.
    Closing(usize),
    /// Boxed: it is large, and most rows of a thought never come to it.
    Answering(Box<Matcher>),
    /// The thought is over and nothing constrains the answer.
    Free,
}

/// A row under a grammar.
pub(super) struct Work {
    grammar: Grammar,
    stage: Stage,
    /// What may come next.
    pub(super) mask: Arc<[u32]>,
}

impl Work {
    /// At the start. Costs nothing: the first mask was computed when the grammar was compiled.
    pub(super) fn begin(grammar: Grammar) -> Self {
        let mut work = Self {
            stage: Stage::Start,
            mask: Arc::from([]),
            grammar,
        };
        let begin = work.grammar.thought.as_deref().map(|thought| thought.begin);
        match begin {
            None => work.mask = work.answer_mask(),
            Some(Some(token)) => work.mask = with_token(&work.answer_mask(), token),
            Some(None) => work.think(Progress::default()),
        }
        work
    }

    /// Moves on by a token.
    pub(super) fn advance(&mut self, token: u32) -> Outcome {
        match std::mem::replace(&mut self.stage, Stage::Start) {
            Stage::Start => self.start(token),
            Stage::Thinking(progress) => self.go_on_thinking(token, progress),
            Stage::Closing(num_closed) => {
                self.close(num_closed + 1);
                Outcome::Next
            }
            Stage::Answering(matcher) => self.answer(token, matcher),
            Stage::Free => {
                self.stage = Stage::Free;
                Outcome::Next
            }
        }
    }

    fn start(&mut self, token: u32) -> Outcome {
        let begin = self.grammar.thought.as_deref().and_then(|each| each.begin);
        if begin == Some(token) {
            self.think(Progress::default());
            return Outcome::Next;
        }
        if let Some(compiled) = self.grammar.compiled.as_deref() {
            return self.answer(token, Box::new(compiled.matcher()));
        }
        self.stage = Stage::Free;
        Outcome::Next
    }

    fn think(&mut self, progress: Progress) {
        let thought = self.grammar.thought.as_deref();
        if thought.is_some_and(|thought| progress.is_over_budget(thought)) {
            self.close(0);
        } else {
            self.mask = anything(&self.grammar);
            self.stage = Stage::Thinking(progress);
        }
    }

    fn go_on_thinking(&mut self, token: u32, mut progress: Progress) -> Outcome {
        let trie = self.grammar.env.tok_trie();
        let thought = self.grammar.thought.as_deref();
        if thought.is_none_or(|thought| progress.is_ended_by(token, thought, trie)) {
            self.end_thought();
        } else {
            self.think(progress);
        }
        Outcome::Next
    }

    /// Forces the next token of the thought's end.
    fn close(&mut self, num_closed: usize) {
        let thought = self.grammar.thought.as_deref();
        match thought.and_then(|thought| thought.close.get(num_closed)) {
            Some(token) => {
                let nothing = vec![0; self.grammar.num_mask_words()];
                self.mask = with_token(&nothing, *token);
                self.stage = Stage::Closing(num_closed);
            }
            None => self.end_thought(),
        }
    }

    fn end_thought(&mut self) {
        self.mask = self.answer_mask();
        self.stage = match self.grammar.compiled.as_deref().map(Compiled::matcher) {
            Some(matcher) => Stage::Answering(Box::new(matcher)),
            None => Stage::Free,
        };
    }

    fn answer(&mut self, token: u32, mut matcher: Box<Matcher>) -> Outcome {
        if let Err(error) = matcher.consume_token(token) {
            return Outcome::Failed(sentence_of(&error.to_string()));
        }
        if matcher.is_stopped() {
            return Outcome::Complete;
        }
        match matcher.compute_mask() {
            Ok(set) => {
                self.mask = words_of(&set, self.grammar.num_mask_words()).into();
                self.stage = Stage::Answering(matcher);
                if self.allows_only_stops() {
                    Outcome::Complete
                } else {
                    Outcome::Next
                }
            }
            Err(_) if matcher.stop_reason() == StopReason::NoExtensionBias => {
                Outcome::Failed("the model has no token that it allows".to_owned())
            }
            Err(error) => Outcome::Failed(sentence_of(&error.to_string())),
        }
    }

    fn allows_only_stops(&self) -> bool {
        let stops = self.grammar.env.tok_trie().eos_token_set();
        let mut pairs = self.mask.iter().zip(stops.as_slice());
        pairs.all(|(allowed, stops)| allowed & !stops == 0)
    }

    fn answer_mask(&self) -> Arc<[u32]> {
        let compiled = self.grammar.compiled.as_deref();
        compiled.map_or_else(
            || anything(&self.grammar),
            |compiled| compiled.first_mask.clone(),
        )
    }
}

/// Every token.
fn anything(grammar: &Grammar) -> Arc<[u32]> {
    vec![u32::MAX; grammar.num_mask_words()].into()
}

/// `mask` and one token more.
fn with_token(mask: &[u32], token: u32) -> Arc<[u32]> {
    let mut words = mask.to_vec();
    if let Some(word) = words.get_mut(token as usize / 32) {
        *word |= 1 << (token % 32);
    }
    words.into()
}

/// The first line of what went wrong: the rest is for who debugs a grammar engine.
pub(super) fn sentence_of(message: &str) -> String {
    const MAX_CHARS: usize = 300;
    let line = message.lines().next().unwrap_or_default().trim();
    line.chars().take(MAX_CHARS).collect()
}
