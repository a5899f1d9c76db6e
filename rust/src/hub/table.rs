//! The streams by key. The lock is held for a look-up or a change, never while a stream works.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use crate::metrics::{Gauge, Metrics};
use crate::stream::Stream;

/// A row key is a stream's key with the choice in this many low bits.
pub const CHOICE_BITS: u32 = 12;
const CHOICE_MASK: u64 = (1 << CHOICE_BITS) - 1;

fn stream_of(row_key: u64) -> u64 {
    row_key & !CHOICE_MASK
}

pub(super) fn choice_of(row_key: u64) -> usize {
    usize::try_from(row_key & CHOICE_MASK).unwrap_or(usize::MAX)
}

/// A stream behind its own lock.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) key: u64,
    is_ready: AtomicBool,
    stream: Mutex<Stream>,
}

impl Slot {
    pub(super) fn new(key: u64, stream: Stream) -> Arc<Self> {
        let (is_ready, stream) = (AtomicBool::new(false), Mutex::new(stream));
        Arc::new(Self {
            key,
            is_ready,
            stream,
        })
    }

    /// A panic under the lock leaves a stream that can still be read, failed and dropped.
    pub(super) fn lock(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Table {
    slots: RwLock<Slots>,
    /// Has the number of open streams.
    metrics: Arc<Metrics>,
}

type Slots = HashMap<u64, Arc<Slot>, BuildHasherDefault<KeyHasher>>;

impl Table {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            slots: RwLock::default(),
            metrics,
        }
    }

    pub(super) fn insert(&self, slot: Arc<Slot>) {
        self.change(|slots| slots.insert(slot.key, slot));
    }

    pub(super) fn remove(&self, key: u64) -> Option<Arc<Slot>> {
        self.change(|slots| slots.remove(&stream_of(key)))
    }

    pub(super) fn find(&self, key: u64) -> Option<Arc<Slot>> {
        self.read().get(&stream_of(key)).cloned()
    }

    pub(super) fn find_all(&self, keys: &[u64]) -> Vec<Option<Arc<Slot>>> {
        let slots = self.read();
        keys.iter()
            .map(|key| slots.get(&stream_of(*key)).cloned())
            .collect()
    }

    pub(super) fn all(&self) -> Vec<Arc<Slot>> {
        self.read().values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.read().len()
    }

    fn read(&self) -> RwLockReadGuard<'_, Slots> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, change: impl FnOnce(&mut Slots) -> R) -> R {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut slots);
        #[expect(clippy::cast_precision_loss, reason = "open streams are few")]
        self.metrics.set(Gauge::StreamsOpen, slots.len() as f64);
        changed
    }
}

/// Streams that got something to take, each once.
#[derive(Debug, Default)]
pub(super) struct ReadyList {
    slots: Mutex<Vec<Arc<Slot>>>,
}

impl ReadyList {
    pub(super) fn add(&self, slots: impl IntoIterator<Item = Arc<Slot>>) {
        let is_new = |slot: &Arc<Slot>| !slot.is_ready.swap(true, Ordering::AcqRel);
        self.lock().extend(slots.into_iter().filter(is_new));
    }

    pub(super) fn take(&self) -> Vec<u64> {
        let slots = std::mem::take(&mut *self.lock());
        // The flag falls before the stream is read: a push in between lists it again, for an empty read.
        let unlist = |slot: Arc<Slot>| {
            slot.is_ready.store(false, Ordering::Release);
            slot.key
        };
        slots.into_iter().map(unlist).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stream keys are a counter of ours, so one multiplication (by 2^64 over the golden ratio) spreads them enough.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = (key >> CHOICE_BITS).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
