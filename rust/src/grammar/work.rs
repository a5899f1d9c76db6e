//! One row's part in a step: its last token in, its next mask out.

use std::sync::Arc;

use llguidance::Matcher;
use llguidance::api::StopReason;
use llguidance::toktrie::TokTrie;

use super::compiled::{Compiled, Grammar};
use super::mask_words::words_of;
use super::thought::Progress;
use super::twin::Twin;

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
    Answering(Box<Answer>),
    /// The thought is over and nothing constrains the answer.
    Free,
}

/// Where an answer is in its grammar.
struct Answer {
    matcher: Matcher,
    twin: Option<Twin>,
}

impl Answer {
    fn begin(compiled: &Compiled) -> Box<Self> {
        Box::new(Self {
            matcher: compiled.matcher(),
            twin: compiled.twin(),
        })
    }

    /// Takes a token that the mask allowed.
    fn consume(&mut self, token: u32, trie: &TokTrie) -> Result<(), String> {
        let consumed = self.matcher.consume_token(token);
        consumed.map_err(|error| sentence_of(&error.to_string()))?;
        self.twin = self.twin.take().and_then(|mut twin| {
            let is_of_use = twin.consume(token, trie.token(token));
            is_of_use.then_some(twin)
        });
        Ok(())
    }

    fn mask(&mut self, num_words: usize) -> Result<Arc<[u32]>, String> {
        let twin = self.twin.as_mut();
        if let Some(mask) = twin.and_then(|twin| twin.mask(&mut self.matcher, num_words)) {
            return Ok(mask);
        }
        match self.matcher.compute_mask() {
            Ok(set) => Ok(words_of(&set, num_words).into()),
            Err(_) if self.matcher.stop_reason() == StopReason::NoExtensionBias => {
                Err("the model has no token that it allows".to_owned())
            }
            Err(error) => Err(sentence_of(&error.to_string())),
        }
    }
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
            Stage::Answering(answer) => self.answer(token, answer),
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
            return self.answer(token, Answer::begin(compiled));
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
        self.stage = match self.grammar.compiled.as_deref() {
            Some(compiled) => Stage::Answering(Answer::begin(compiled)),
            None => Stage::Free,
        };
    }

    fn answer(&mut self, token: u32, mut answer: Box<Answer>) -> Outcome {
        if let Err(reason) = answer.consume(token, self.grammar.env.tok_trie()) {
            return Outcome::Failed(reason);
        }
        if answer.matcher.is_stopped() {
            return Outcome::Complete;
        }
        match answer.mask(self.grammar.num_mask_words()) {
            Ok(mask) => self.mask = mask,
            Err(reason) => return Outcome::Failed(reason),
        }
        self.stage = Stage::Answering(answer);
        if self.allows_only_stops() {
            Outcome::Complete
        } else {
            Outcome::Next
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
