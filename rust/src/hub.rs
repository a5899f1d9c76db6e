//! All open streams of one engine: a step's ids in, frames out.
//!
//! The table is locked only to look a stream up, each stream only while it works, never two at once. Knows no event
//! and no token; times are handed in, in seconds of one monotonic clock.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::error::ErrorKind;
use crate::metrics::{Counter, Gauge, Histogram, Metrics};
use crate::stream::{End, Opening, Step, Stream};
use crate::vocabulary::Vocabulary;

/// A row key is a stream's key with the choice in this many low bits.
pub const CHOICE_BITS: u32 = 12;
const CHOICE_MASK: u64 = (1 << CHOICE_BITS) - 1;

/// What `take` says of a stream that is not there.
const GONE: u16 = ErrorKind::ClientClosed.status();

/// The rows of one engine step.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Row keys `[B]`.
    pub keys: &'a [u64],
    /// Token ids `[B, N]`; a negative one is none.
    pub ids: &'a [i32],
    /// Ends `[B]`, each after its row's ids.
    pub ends: &'a [End],
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
    metrics: Arc<Metrics>,
    max_pending_bytes: usize,
    num_opened: AtomicU64,
    table: RwLock<Table>,
    ready: Mutex<Vec<Arc<Slot>>>,
}

type Table = HashMap<u64, Arc<Slot>, BuildHasherDefault<KeyHasher>>;

#[derive(Debug)]
struct Slot {
    key: u64,
    /// Whether the slot is in the ready list.
    is_queued: AtomicBool,
    stream: Mutex<Stream>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// No streams. One that holds more than `max_pending_bytes` unread is ended.
    #[must_use]
    pub fn new(vocabulary: Arc<Vocabulary>, metrics: Arc<Metrics>, max_pending_bytes: usize) -> Self {
        Self {
            vocabulary,
            metrics,
            max_pending_bytes,
            num_opened: AtomicU64::new(0),
            table: RwLock::default(),
            ready: Mutex::default(),
        }
    }

    /// Opens a stream and gives its key; the low [`CHOICE_BITS`] of it are zero.
    pub fn open(&self, opening: Opening, now: f64) -> u64 {
        let key = (self.num_opened.fetch_add(1, Ordering::Relaxed) + 1) << CHOICE_BITS;
        let stream = Mutex::new(Stream::open(opening, &self.vocabulary, now));
        let slot = Arc::new(Slot { key, is_queued: AtomicBool::new(false), stream });
        self.change_table(|table| table.insert(key, slot));
        key
    }

    /// A choice's prefill begins.
    pub fn mark_scheduled(&self, row_key: u64, now: f64) {
        if let Some(slot) = self.find(row_key) {
            slot.lock().mark_scheduled(choice_of(row_key), now);
        }
    }

    /// One engine step. Gives the keys of the rows that the engine must free: ended by a stop string or a slow
    /// reader, or without a stream.
    pub fn push_step(&self, rows: Rows<'_>, gauges: EngineGauges, now: f64) -> Vec<u64> {
        let mut step = Step::new(&self.vocabulary, &self.metrics, now);
        let (mut freed, mut ready) = (Vec::new(), Vec::new());
        let width = rows.ids.len().checked_div(rows.keys.len()).unwrap_or(0);
        let slots = self.find_all(rows.keys);
        for (row, (slot, (key, end))) in slots.into_iter().zip(rows.keys.iter().zip(rows.ends)).enumerate() {
            let ids = &rows.ids[row * width..(row + 1) * width];
            if self.push_row(slot, *key, ids, *end, &mut step, &mut ready) {
                freed.push(*key);
            }
        }
        self.queue(ready);
        let num_tokens = rows.ids.iter().filter(|id| **id >= 0).count();
        self.count_step(&step, num_tokens as u64, gauges);
        freed
    }

    /// Text of a foreign engine. True if the engine must stop: ended by a stop string or a slow reader, or nobody is
    /// there to take it.
    pub fn push_text(&self, row_key: u64, text: &str, num_tokens: u32, end: End, now: f64) -> bool {
        let mut step = Step::new(&self.vocabulary, &self.metrics, now);
        let is_freed = match self.find(row_key) {
            None => {
                step.num_wasted += u64::from(num_tokens);
                true
            }
            Some(slot) => {
                let mut stream = slot.lock();
                let is_freed = stream.push_text(choice_of(row_key), text, num_tokens, end, &mut step)
                    | stream.end_if_unread(self.max_pending_bytes, &self.metrics, now);
                drop(stream);
                self.queue_one(slot);
                is_freed
            }
        };
        self.count_tokens(&step, u64::from(num_tokens));
        is_freed
    }

    /// Ends a stream with an error. False if it had ended.
    pub fn fail(&self, stream_key: u64, kind: ErrorKind, message: &str, param: Option<&str>, now: f64) -> bool {
        let Some(slot) = self.find(stream_key) else { return false };
        let has_failed = slot.lock().fail(kind, message, param, &self.metrics, now);
        if has_failed {
            self.queue_one(slot);
        }
        has_failed
    }

    /// Drops a stream whose client is gone. False if it was not there.
    pub fn cancel(&self, stream_key: u64, now: f64) -> bool {
        let Some(slot) = self.remove(stream_key) else { return false };
        slot.lock().cancel(&self.metrics, now);
        true
    }

    /// Hands what is ready to `read`, with 0 while more will come, else the final status; then the stream is closed.
    /// For an unknown key: nothing, 499.
    pub fn take<R>(&self, stream_key: u64, read: impl FnOnce(&[u8]) -> R) -> (R, u16) {
        let Some(slot) = self.find(stream_key) else { return (read(b""), GONE) };
        let taken = slot.lock().take(read);
        if taken.1 != 0 {
            self.remove(stream_key);
        }
        taken
    }

    /// Keys of the streams that got something to take since the last call, each once.
    pub fn take_ready(&self) -> Vec<u64> {
        let slots = std::mem::take(&mut *self.ready());
        // The flag falls before the stream is read: a push in between queues it again, and that read is empty.
        let unqueue = |slot: Arc<Slot>| {
            slot.is_queued.store(false, Ordering::Release);
            slot.key
        };
        slots.into_iter().map(unqueue).collect()
    }

    /// Keep-alive comments for the streams that wrote nothing for `idle_s`. True if there was one.
    pub fn ping_idle(&self, idle_s: f64, now: f64) -> bool {
        let slots: Vec<_> = self.table.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let pinged: Vec<_> = slots.into_iter().filter(|slot| slot.lock().ping_if_idle(idle_s, now)).collect();
        let has_pinged = !pinged.is_empty();
        self.queue(pinged);
        has_pinged
    }

    /// By row: whether its stream is open and holds at most `max_pending_bytes` unread.
    pub fn rows_with_room(&self, keys: &[u64], max_pending_bytes: usize) -> Vec<bool> {
        let has_room = |stream: &Stream| stream.is_open() && stream.num_unread() <= max_pending_bytes;
        self.find_all(keys).into_iter().map(|slot| slot.is_some_and(|slot| has_room(&slot.lock()))).collect()
    }

    /// Streams open now.
    pub fn num_open(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// True if the engine must free the row.
    fn push_row(
        &self,
        slot: Option<Arc<Slot>>,
        key: u64,
        ids: &[i32],
        end: End,
        step: &mut Step<'_>,
        ready: &mut Vec<Arc<Slot>>,
    ) -> bool {
        let Some(slot) = slot else {
            step.num_wasted += ids.iter().filter(|id| **id >= 0).count() as u64;
            return true;
        };
        let mut stream = slot.lock();
        let is_freed = stream.push(choice_of(key), ids, end, step)
            | stream.end_if_unread(self.max_pending_bytes, &self.metrics, step.now);
        let is_ready = stream.num_unread() > 0;
        drop(stream);
        if is_ready {
            ready.push(slot);
        }
        is_freed
    }

    fn count_step(&self, step: &Step<'_>, num_tokens: u64, gauges: EngineGauges) {
        self.count_tokens(step, num_tokens);
        #[expect(clippy::cast_precision_loss, reason = "a step's tokens are few")]
        let num_in_step = (num_tokens + step.num_prompt_tokens) as f64;
        if num_in_step > 0.0 {
            self.metrics.observe(Histogram::IterationTokens, num_in_step);
        }
        self.metrics.set(Gauge::Running, f64::from(gauges.num_running));
        self.metrics.set(Gauge::Waiting, f64::from(gauges.num_waiting));
        self.metrics.set(Gauge::PagesInUse, f64::from(gauges.num_pages_in_use));
    }

    fn count_tokens(&self, step: &Step<'_>, num_tokens: u64) {
        self.metrics.add(Counter::GenerationTokens, num_tokens);
        self.metrics.add(Counter::PromptTokens, step.num_prompt_tokens);
        self.metrics.add(Counter::TokensWasted, step.num_wasted);
    }

    fn find(&self, key: u64) -> Option<Arc<Slot>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(&stream_of(key)).cloned()
    }

    fn find_all(&self, keys: &[u64]) -> Vec<Option<Arc<Slot>>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().map(|key| table.get(&stream_of(*key)).cloned()).collect()
    }

    fn remove(&self, stream_key: u64) -> Option<Arc<Slot>> {
        self.change_table(|table| table.remove(&stream_of(stream_key)))
    }

    fn change_table<R>(&self, change: impl FnOnce(&mut Table) -> R) -> R {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut table);
        #[expect(clippy::cast_precision_loss, reason = "open streams are few")]
        self.metrics.set(Gauge::StreamsOpen, table.len() as f64);
        changed
    }

    fn queue_one(&self, slot: Arc<Slot>) {
        if slot.lock().num_unread() > 0 {
            self.queue(vec![slot]);
        }
    }

    /// Puts slots that have something to take into the ready list, unless they are in it.
    fn queue(&self, slots: Vec<Arc<Slot>>) {
        if !slots.is_empty() {
            let is_new = |slot: &Arc<Slot>| !slot.is_queued.swap(true, Ordering::AcqRel);
            self.ready().extend(slots.into_iter().filter(is_new));
        }
    }

    fn ready(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stream_of(row_key: u64) -> u64 {
    row_key & !CHOICE_MASK
}

fn choice_of(row_key: u64) -> usize {
    usize::try_from(row_key & CHOICE_MASK).unwrap_or(usize::MAX)
}

/// Stream keys are a counter of ours, so one multiplication (by 2^64 over the golden ratio) spreads them enough.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = (key >> CHOICE_BITS).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests;
