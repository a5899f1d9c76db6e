//! All open streams of one engine: a step's ids in, frames out.
//!
//! No lock spans two streams, and none but a stream's own is held while it works. Knows no event and no token; times
//! are handed in, in seconds of one monotonic clock.

mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache_use::CacheUse;
use crate::dialect::Dialect;
use crate::error::ErrorKind;
use crate::finish_reason::FinishReason;
use crate::metrics::{Counter, Gauge, Histogram, ModelMetrics};
use crate::opening::Opening;
use crate::stream::{
    LogprobRows, PromptColumns, Receipt, Row, Sample, Step, Stream, Taken, count_ids,
};
use crate::vocabulary::Vocabulary;
pub use table::CHOICE_BITS;
use table::{OpenStream, ReadyList, Table, choice_of};

/// The rows of one engine step.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// `[B]`.
    pub row_keys: &'a [u64],
    /// Token ids `[B, N]`; a negative one is none.
    pub ids: &'a [i32],
    /// Why the engine ended the row after its ids, if it did, `[B]`.
    pub ends: &'a [Option<FinishReason>],
    /// The ids' log probabilities, `[B * N]`, where some row asked for them.
    pub logprobs: Option<LogprobRows<'a>>,
    /// Log probabilities of prompts whose tokens were computed in this step.
    pub prompt_columns: &'a [PromptColumns<'a>],
}

/// What the engine looks like after a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineGauges {
    /// Sequences with a slot.
    pub num_running: u32,
    /// Sequences without one.
    pub num_waiting: u32,
    /// Pages of the KV cache held by sequences.
    pub num_pages_in_use: u32,
}

/// All open streams.
#[derive(Debug)]
pub struct Hub {
    vocabulary: Arc<Vocabulary>,
    metrics: Arc<ModelMetrics>,
    max_pending_bytes: usize,
    num_opened: AtomicU64,
    table: Table,
    ready: ReadyList,
}

/// What came of one row.
struct Pushed {
    /// The engine must free it.
    is_freed: bool,
    /// Its stream has something to take.
    is_ready: bool,
}

impl Hub {
    /// No streams. One that holds more than `max_pending_bytes` unread will be ended.
    #[must_use]
    pub fn new(
        vocabulary: Arc<Vocabulary>,
        metrics: Arc<ModelMetrics>,
        max_pending_bytes: usize,
    ) -> Self {
        let table = Table::new(metrics.clone());
        let (num_opened, ready) = (AtomicU64::new(0), ReadyList::default());
        Self {
            vocabulary,
            metrics,
            max_pending_bytes,
            num_opened,
            table,
            ready,
        }
    }

    /// Opens a stream and gives its key; the low [`CHOICE_BITS`] of it are zero.
    pub fn open(&self, opening: Arc<Opening>, now: f64) -> u64 {
        let stream_key = (self.num_opened.fetch_add(1, Ordering::Relaxed) + 1) << CHOICE_BITS;
        let stream = Stream::open(opening, &self.vocabulary, now);
        self.table.insert(OpenStream::new(stream_key, stream));
        stream_key
    }

    /// A choice's prefill begins, of whose prompt a cache had some.
    pub fn mark_scheduled(&self, row_key: u64, found: CacheUse, now: f64) {
        let Some(open) = self.table.find(row_key) else {
            return;
        };
        let has_begun = open.lock().mark_scheduled(choice_of(row_key), found, now);
        if has_begun {
            let (queried, hit) = (found.num_queried_tokens, found.num_cached_tokens);
            self.metrics
                .add(Counter::PrefixCacheQueries, u64::from(queried));
            self.metrics.add(Counter::PrefixCacheHits, u64::from(hit));
        }
    }

    /// A sequence was stopped, to go on later.
    pub fn count_preemption(&self) {
        self.metrics.add(Counter::Preemptions, 1);
    }

    /// One engine step. Gives the keys of the rows that the engine must free: ended by a stop string or a slow
    /// reader, or without a stream.
    pub fn push_step(&self, rows: Rows<'_>, gauges: EngineGauges, now: f64) -> Vec<u64> {
        let mut step = Step::new(&self.vocabulary, &self.metrics, now);
        for columns in rows.prompt_columns {
            if let Some(open) = self.table.find(columns.row_key) {
                open.lock()
                    .take_prompt_columns(choice_of(columns.row_key), columns);
            }
        }
        let (mut freed, mut ready) = (Vec::new(), Vec::new());
        let width = rows.ids.len().checked_div(rows.row_keys.len()).unwrap_or(0);
        let streams = self.table.find_all(rows.row_keys).into_iter();
        let keys_and_ends = rows.row_keys.iter().zip(rows.ends);
        for (row, (open, (row_key, end))) in streams.zip(keys_and_ends).enumerate() {
            let (from, to) = (row * width, (row + 1) * width);
            let ids = &rows.ids[from..to];
            let Some(open) = open else {
                step.waste(count_ids(ids));
                freed.push(*row_key);
                continue;
            };
            let push = |stream: &mut Stream, step: &mut Step<'_>| {
                let row = Row {
                    ids,
                    end: *end,
                    logprobs: rows.logprobs.as_ref(),
                    first: from,
                };
                stream.push(choice_of(*row_key), row, step)
            };
            let pushed = self.push_into(&open, &mut step, push);
            freed.extend(pushed.is_freed.then_some(*row_key));
            ready.extend(pushed.is_ready.then_some(open));
        }
        self.ready.add(ready);
        self.count_step(&step, gauges);
        freed
    }

    /// What a foreign engine gives. True if the engine must stop: ended by a stop string or a slow reader, or nobody is
    /// there to take it.
    pub fn push_sample(&self, row_key: u64, sample: &Sample, now: f64) -> bool {
        let mut step = Step::new(&self.vocabulary, &self.metrics, now);
        let is_freed = if let Some(open) = self.table.find(row_key) {
            let push = |stream: &mut Stream, step: &mut Step<'_>| {
                stream.push_sample(choice_of(row_key), sample, step)
            };
            let pushed = self.push_into(&open, &mut step, push);
            self.ready.add(pushed.is_ready.then_some(open));
            pushed.is_freed
        } else {
            step.waste(sample.num_tokens as usize);
            true
        };
        self.count_tokens(&step);
        is_freed
    }

    /// Ends a stream with an error. False if it had ended.
    pub fn fail(
        &self,
        stream_key: u64,
        kind: ErrorKind,
        message: &str,
        param: Option<&str>,
        now: f64,
    ) -> bool {
        let Some(open) = self.table.find(stream_key) else {
            return false;
        };
        let has_failed = open.lock().fail(kind, message, param, &self.metrics, now);
        self.ready.add(has_failed.then_some(open));
        has_failed
    }

    /// Drops a stream whose client is gone, and tells what it came to. None if it was not there.
    pub fn cancel(&self, stream_key: u64, now: f64) -> Option<Receipt> {
        let open = self.table.remove(stream_key)?;
        let mut stream = open.lock();
        stream.cancel(&self.metrics, now);
        Some(stream.receipt())
    }

    /// Forgets a stream whose work no engine has taken: nothing of it is counted. False if it was not there.
    pub fn withdraw(&self, stream_key: u64) -> bool {
        self.table.remove(stream_key).is_some()
    }

    /// Hands what is ready to `read`. A stream whose end was taken is closed. For an unknown key: nothing, 499.
    pub fn take<R>(&self, stream_key: u64, read: impl FnOnce(&[u8]) -> R) -> Taken<R> {
        let Some(open) = self.table.find(stream_key) else {
            return Taken {
                read: read(b""),
                status: ErrorKind::ClientClosed.status(),
                receipt: None,
            };
        };
        let taken = open.lock().take(read);
        if taken.status != 0 {
            self.table.remove(stream_key);
        }
        taken
    }

    /// The dialect of an open stream.
    pub fn dialect_of(&self, stream_key: u64) -> Option<Dialect> {
        let open = self.table.find(stream_key)?;
        let dialect = open.lock().dialect();
        Some(dialect)
    }

    /// Keys of the streams that got something to take since the last call, each once.
    pub fn take_ready(&self) -> Vec<u64> {
        self.ready.take()
    }

    /// Signs of life for the streams that were silent for as long as their openings allow. True if there was one.
    pub fn ping_idle(&self, now: f64) -> bool {
        let mut streams = self.table.all();
        streams.retain(|open| open.lock().ping_if_idle(now));
        let has_pinged = !streams.is_empty();
        self.ready.add(streams);
        has_pinged
    }

    /// By row: whether its stream is open and holds at most `max_pending_bytes` unread.
    pub fn rows_with_room(&self, row_keys: &[u64], max_pending_bytes: usize) -> Vec<bool> {
        let has_room =
            |stream: &Stream| stream.is_open() && stream.num_unread() <= max_pending_bytes;
        let streams = self.table.find_all(row_keys).into_iter();
        streams
            .map(|open| open.is_some_and(|open| has_room(&open.lock())))
            .collect()
    }

    /// Streams open now.
    pub fn num_open(&self) -> usize {
        self.table.len()
    }

    fn push_into(
        &self,
        open: &OpenStream,
        step: &mut Step<'_>,
        push: impl FnOnce(&mut Stream, &mut Step<'_>) -> bool,
    ) -> Pushed {
        let mut stream = open.lock();
        let is_freed = push(&mut stream, step)
            | stream.end_if_unread(self.max_pending_bytes, &self.metrics, step.now);
        Pushed {
            is_freed,
            is_ready: stream.num_unread() > 0 || !stream.is_open(),
        }
    }

    fn count_step(&self, step: &Step<'_>, gauges: EngineGauges) {
        self.count_tokens(step);
        #[expect(clippy::cast_precision_loss, reason = "a step's tokens are few")]
        let num_tokens = (step.num_tokens + step.num_prompt_tokens) as f64;
        if num_tokens > 0.0 {
            self.metrics.observe(Histogram::IterationTokens, num_tokens);
        }
        self.metrics
            .set(Gauge::Running, f64::from(gauges.num_running));
        self.metrics
            .set(Gauge::Waiting, f64::from(gauges.num_waiting));
        self.metrics
            .set(Gauge::PagesInUse, f64::from(gauges.num_pages_in_use));
    }

    fn count_tokens(&self, step: &Step<'_>) {
        self.metrics.add(Counter::GenerationTokens, step.num_tokens);
        self.metrics
            .add(Counter::PromptTokens, step.num_prompt_tokens);
        self.metrics.add(Counter::TokensWasted, step.num_wasted);
    }
}

#[cfg(test)]
mod tests;
