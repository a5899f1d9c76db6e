//! A compiled grammar: what rows are begun from.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use llguidance::Matcher;
use llguidance::toktrie::TokEnv;

use super::long_tokens::LongToken;
use super::thought::Thought;
use super::twin::Twin;

/// Compiled for one model's tokens, immutable, shared by all rows that write under it.
pub(super) struct Compiled {
    /// At the grammar's start. Locked only while it is copied.
    start: Mutex<Matcher>,
    /// What it allows there.
    pub(super) first_mask: Arc<[u32]>,
    unbounded: Option<Unbounded>,
}

/// The same without the greatest lengths of strings, at its start.
pub(super) struct Unbounded {
    pub(super) start: Mutex<Matcher>,
    pub(super) least_max_length: usize,
    pub(super) long_tokens: Arc<[LongToken]>,
}

impl Compiled {
    pub(super) fn new(
        start: Matcher,
        first_mask: Arc<[u32]>,
        unbounded: Option<Unbounded>,
    ) -> Self {
        Self {
            start: Mutex::new(start),
            first_mask,
            unbounded,
        }
    }

    /// A matcher at the start, with lexer tables of its own: rows of one grammar do not wait for one another, and what
    /// one of them makes of it is gone with it.
    pub(super) fn matcher(&self) -> Matcher {
        lock(&self.start).deep_clone()
    }

    /// The twin of such a matcher, where there is one.
    pub(super) fn twin(&self) -> Option<Twin> {
        let of = self.unbounded.as_ref()?;
        let matcher = lock(&of.start).deep_clone();
        Some(Twin::new(
            matcher,
            of.least_max_length,
            of.long_tokens.clone(),
        ))
    }
}

fn lock(matcher: &Mutex<Matcher>) -> MutexGuard<'_, Matcher> {
    matcher
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What a row's output is held to: a grammar, a thought before it, or both. Cheap to clone.
#[derive(Clone)]
pub struct Grammar {
    pub(super) env: TokEnv,
    pub(super) compiled: Option<Arc<Compiled>>,
    pub(super) thought: Option<Arc<Thought>>,
}

impl Grammar {
    /// The same behind a thought, in place of the one it had.
    #[must_use]
    pub fn after_thought(&self, thought: Thought) -> Self {
        Self {
            thought: Some(Arc::new(thought)),
            ..self.clone()
        }
    }

    /// Words of a mask: 32 tokens each.
    #[must_use]
    pub fn num_mask_words(&self) -> usize {
        self.env.tok_trie().vocab_size().div_ceil(32)
    }
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammar")
            .field("is_free", &self.compiled.is_none())
            .field("thought", &self.thought)
            .finish_non_exhaustive()
    }
}
