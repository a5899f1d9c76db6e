//! Compiles grammars for one model, within limits, and keeps those that were compiled last.
//!
//! A grammar comes from a client. It is compiled on a thread of its own with a large stack, because it may nest as
//! deep as its text is long, and nobody waits for it longer than a limit.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{InferenceCapabilities, TokEnv};
use llguidance::{Matcher, ParserFactory};

use super::compiled::{Compiled, Grammar, Unbounded};
use super::environment::{EnvironmentError, environment};
use super::kept::{Kept, Key};
use super::long_tokens::{LongToken, MIN_BYTES, long_tokens};
use super::mask_words::words_of;
use super::source::{Kind, read};
use super::thought::{Thought, spell, token_of};
use super::work::sentence_of;
use crate::vocabulary::Vocabulary;

/// Virtual memory only, until a grammar nests that deep.
const STACK_BYTES: usize = 256 << 20;

/// What a grammar may cost.
#[derive(Clone, Copy, Debug)]
pub struct CompileLimits {
    /// Of its text.
    pub max_bytes: usize,
    /// To compile it.
    pub timeout: Duration,
    /// Compiled at once; also those that nobody waits for any more.
    pub max_running: usize,
    /// Kept for the next request with the same text.
    pub max_kept: usize,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 10,
            timeout: Duration::from_secs(5),
            max_running: 4,
            max_kept: 64,
        }
    }
}

/// Why a grammar was not compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrammarError {
    /// The text is at fault, for a reason in one sentence.
    Invalid(String),
    /// As many as may be are being compiled already.
    Busy,
}

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason) => f.write_str(reason),
            Self::Busy => f.write_str("too many grammars are being compiled"),
        }
    }
}

impl std::error::Error for GrammarError {}

/// Of one model; for any thread.
#[derive(Clone)]
pub struct GrammarFactory {
    shared: Arc<Shared>,
}

struct Shared {
    env: TokEnv,
    parsers: ParserFactory,
    limits: CompileLimits,
    long_tokens: Arc<[LongToken]>,
    kept: Mutex<Kept>,
    num_running: AtomicUsize,
}

impl GrammarFactory {
    /// For a model with `num_ids` logits that ends its texts by one of `stop_ids`. Takes some 0.1 s.
    ///
    /// # Errors
    /// When the vocabulary cannot be used.
    pub fn new(
        vocabulary: &Vocabulary,
        num_ids: u32,
        stop_ids: &[u32],
        limits: CompileLimits,
    ) -> Result<Self, EnvironmentError> {
        let env = environment(vocabulary, num_ids, stop_ids)?;
        let mut parsers = ParserFactory::new(
            &env,
            InferenceCapabilities::default(),
            &llguidance::earley::SlicedBiasComputer::general_slices(),
        )
        .map_err(|_| EnvironmentError::TooLarge)?;
        parsers.quiet();
        *parsers.limits_mut() = parser_limits();
        let shared = Shared {
            long_tokens: long_tokens(env.tok_trie()).into(),
            env,
            parsers,
            limits,
            kept: Mutex::default(),
            num_running: AtomicUsize::new(0),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Compiles a grammar, or finds it among those that are kept. Blocks.
    ///
    /// # Errors
    /// When its text is at fault, or as many as may be are being compiled.
    pub fn compile(&self, kind: Kind, text: &str) -> Result<Grammar, GrammarError> {
        let shared = &self.shared;
        let max_bytes = shared.limits.max_bytes;
        if text.len() > max_bytes {
            let (len, name) = (text.len(), kind.noun());
            let reason = format!("the {name} has {len} bytes; at most {max_bytes} are compiled");
            return Err(GrammarError::Invalid(reason));
        }
        let key = Key::of(kind, text);
        let kept = shared.kept().find(&key);
        let compiled = match kept {
            Some(compiled) => compiled,
            None => self.compile_apart(key, kind, text)?,
        };
        Ok(Grammar {
            compiled: Some(compiled),
            ..self.free()
        })
    }

    /// No grammar: for a thought with a budget and an answer without a form.
    #[must_use]
    pub fn free(&self) -> Grammar {
        Grammar {
            env: self.shared.env.clone(),
            compiled: None,
            thought: None,
        }
    }

    /// A thought between two markers. `begin` is None where the prompt has opened it.
    ///
    /// # Errors
    /// When the model cannot spell a marker: `begin` in one token, `end` in some.
    pub fn thought(
        &self,
        begin: Option<&str>,
        end: &str,
        max_tokens: Option<u32>,
    ) -> Result<Thought, GrammarError> {
        let trie = self.shared.env.tok_trie();
        let cannot = |marker| {
            GrammarError::Invalid(format!("the model has no token for the marker {marker:?}"))
        };
        let one_token = |marker| token_of(marker, trie).ok_or_else(|| cannot(marker));
        Ok(Thought {
            begin: begin.map(one_token).transpose()?,
            end: end.as_bytes().to_vec(),
            close: spell(end, trie).ok_or_else(|| cannot(end))?,
            max_tokens,
        })
    }

    fn compile_apart(
        &self,
        key: Key,
        kind: Kind,
        text: &str,
    ) -> Result<Arc<Compiled>, GrammarError> {
        let running = Running::begin(&self.shared).ok_or(GrammarError::Busy)?;
        let (sender, receiver) = sync_channel(1);
        let text = text.to_owned();
        let job = move || {
            let compiled = running.shared.compile(kind, &text).map(Arc::new);
            if let Ok(compiled) = &compiled {
                let max_kept = running.shared.limits.max_kept;
                running.shared.kept().add(key, compiled.clone(), max_kept);
            }
            let _ = sender.send(compiled); // whoever waited may have gone
        };
        let thread = thread::Builder::new().stack_size(STACK_BYTES);
        thread.spawn(job).map_err(|_| GrammarError::Busy)?;
        let timeout = self.shared.limits.timeout;
        let name = kind.noun();
        match receiver.recv_timeout(timeout) {
            Ok(compiled) => compiled.map_err(GrammarError::Invalid),
            Err(RecvTimeoutError::Timeout) => Err(GrammarError::Invalid(format!(
                "the {name} is too complex: it was not compiled within {timeout:?}"
            ))),
            Err(RecvTimeoutError::Disconnected) => Err(GrammarError::Invalid(format!(
                "the {name} cannot be compiled"
            ))),
        }
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reason, in one sentence, where it is the text's fault.
    fn compile(&self, kind: Kind, text: &str) -> Result<Compiled, String> {
        let source = read(kind, text)?;
        let mut start = self.matcher(source.grammar)?;
        let set = start
            .compute_mask_or_eos()
            .map_err(|error| sentence_of(&error.to_string()))?;
        let stops = self.env.tok_trie().eos_token_set();
        let allows_text = set.iter().any(|token| !stops.is_allowed(token));
        if !allows_text {
            return Err(format!("the {} allows no text", kind.noun()));
        }
        let num_words = self.env.tok_trie().vocab_size().div_ceil(32);
        let mask = words_of(&set, num_words).into();
        let unbounded = source.unbounded.and_then(|it| self.unbounded(it.0, it.1));
        Ok(Compiled::new(start, mask, unbounded))
    }

    fn matcher(&self, grammar: TopLevelGrammar) -> Result<Matcher, String> {
        let parser = self.parsers.create_parser(grammar);
        let parser = parser.map_err(|error| sentence_of(&error.to_string()))?;
        Ok(Matcher::new(Ok(parser)))
    }

    /// None where it would be of no use.
    fn unbounded(&self, grammar: TopLevelGrammar, least_max_length: usize) -> Option<Unbounded> {
        if least_max_length < 2 * MIN_BYTES {
            return None;
        }
        Some(Unbounded {
            start: Mutex::new(self.matcher(grammar).ok()?),
            least_max_length,
            long_tokens: self.long_tokens.clone(),
        })
    }
}

/// A step's share is some 14 ms at most, a row's lexer some tens of megabytes.
fn parser_limits() -> ParserLimits {
    ParserLimits {
        max_lexer_states: 30_000,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// One compilation, counted as long as it takes.
struct Running {
    shared: Arc<Shared>,
}

impl Running {
    fn begin(shared: &Arc<Shared>) -> Option<Self> {
        let max = shared.limits.max_running;
        let add_one = |running| (running < max).then_some(running + 1);
        let counter = &shared.num_running;
        counter
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add_one)
            .ok()?;
        Some(Self {
            shared: shared.clone(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.num_running.fetch_sub(1, Ordering::Relaxed);
    }
}
