//! The streams by key. The lock is held for a look-up or a change, never while a stream works.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use crate::metrics::{Gauge, ModelMetrics};
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
pub(super) struct OpenStream {
    pub(super) stream_key: u64,
    is_ready: AtomicBool,
    stream: Mutex<Stream>,
}

impl OpenStream {
    pub(super) fn new(stream_key: u64, stream: Stream) -> Arc<Self> {
        let (is_ready, stream) = (AtomicBool::new(false), Mutex::new(stream));
        Arc::new(Self {
            stream_key,
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
    streams: RwLock<OpenStreams>,
    /// Has the number of open streams.
    metrics: Arc<ModelMetrics>,
}

type OpenStreams = HashMap<u64, Arc<OpenStream>, BuildHasherDefault<KeyHasher>>;

impl Table {
    pub(super) fn new(metrics: Arc<ModelMetrics>) -> Self {
        Self {
            streams: RwLock::default(),
            metrics,
        }
    }

    pub(super) fn insert(&self, opened: Arc<OpenStream>) {
        self.change(|streams| streams.insert(opened.stream_key, opened));
    }

    pub(super) fn remove(&self, stream_key: u64) -> Option<Arc<OpenStream>> {
        self.change(|streams| streams.remove(&stream_of(stream_key)))
    }

    /// The stream of a stream key or of one of its row keys.
    pub(super) fn find(&self, row_key: u64) -> Option<Arc<OpenStream>> {
        self.read().get(&stream_of(row_key)).cloned()
    }

    pub(super) fn find_all(&self, row_keys: &[u64]) -> Vec<Option<Arc<OpenStream>>> {
        let streams = self.read();
        row_keys
            .iter()
            .map(|row_key| streams.get(&stream_of(*row_key)).cloned())
            .collect()
    }

    pub(super) fn all(&self) -> Vec<Arc<OpenStream>> {
        self.read().values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.read().len()
    }

    fn read(&self) -> RwLockReadGuard<'_, OpenStreams> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, change: impl FnOnce(&mut OpenStreams) -> R) -> R {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut streams);
        #[expect(clippy::cast_precision_loss, reason = "open streams are few")]
        self.metrics.set(Gauge::StreamsOpen, streams.len() as f64);
        changed
    }
}

/// Streams that got something to take, each once.
#[derive(Debug, Default)]
pub(super) struct ReadyList {
    streams: Mutex<Vec<Arc<OpenStream>>>,
}

impl ReadyList {
    pub(super) fn add(&self, streams: impl IntoIterator<Item = Arc<OpenStream>>) {
        let is_new = |open: &Arc<OpenStream>| !open.is_ready.swap(true, Ordering::AcqRel);
        self.lock().extend(streams.into_iter().filter(is_new));
    }

    pub(super) fn take(&self) -> Vec<u64> {
        let streams = std::mem::take(&mut *self.lock());
        // The flag falls before the stream is read: a push in between lists it again, for an empty read.
        let unlist = |open: Arc<OpenStream>| {
            open.is_ready.store(false, Ordering::Release);
            open.stream_key
        };
        streams.into_iter().map(unlist).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<OpenStream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn write_u64(&mut self, stream_key: u64) {
        self.0 = (stream_key >> CHOICE_BITS).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
