//! The chunks of one share, and who takes them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(not(loom))]
use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

#[cfg(loom)]
use loom::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// How often the caller looks before it sleeps: a tenth of a millisecond, more than a chunk's end is usually away.
const SPINS: usize = if cfg!(loom) { 0 } else { 4000 };

pub(super) struct Job {
    num_chunks: usize,
    /// The next chunk that nobody has taken.
    next: AtomicUsize,
    /// Chunks that are not done.
    remaining: AtomicUsize,
    body: *const (dyn Fn(usize) + Sync),
    caller: thread::Thread,
    panic: Mutex<Option<String>>,
}

// SAFETY: `body` can be called from any thread, and is alive while there are chunks, as `new` asks.
unsafe impl Send for Job {}
// SAFETY: as above.
unsafe impl Sync for Job {}

impl Job {
    /// # Safety
    /// `body` outlives the return of `finish`, which the caller of `new` calls.
    pub(super) unsafe fn new(num_chunks: usize, body: &(dyn Fn(usize) + Sync)) -> Self {
        // SAFETY: only the lifetime changes; the caller promises that `body` is there as long as it is called.
        let body = unsafe {
            std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(body)
        };
        Self {
            num_chunks,
            next: AtomicUsize::new(0),
            remaining: AtomicUsize::new(num_chunks),
            body,
            caller: thread::current(),
            panic: Mutex::new(None),
        }
    }

    /// Takes chunks until none is left.
    pub(super) fn work(&self) {
        loop {
            let chunk = self.next.fetch_add(1, Ordering::Relaxed);
            if chunk >= self.num_chunks {
                return;
            }
            // SAFETY: this chunk is not done, so `finish` has not returned.
            let body = unsafe { &*self.body };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(chunk))) {
                self.note(panic.as_ref());
            }
            // Release: who sees that all is done sees what the chunk wrote.
            if self.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.caller.unpark();
            }
        }
    }

    /// Works, and waits for the chunks that others have begun. The text of a panic where a chunk had one.
    pub(super) fn finish(&self) -> Result<(), String> {
        self.work();
        for _ in 0..SPINS {
            if self.remaining.load(Ordering::Acquire) == 0 {
                break;
            }
            std::hint::spin_loop();
        }
        while self.remaining.load(Ordering::Acquire) != 0 {
            thread::park();
        }
        match self.panic.lock() {
            Ok(mut text) => text.take().map_or(Ok(()), Err),
            Err(_) => Err("while a panic was noted".to_owned()),
        }
    }

    fn note(&self, panic: &(dyn Any + Send)) {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        if let Ok(mut first) = self.panic.lock() {
            first.get_or_insert(text);
        }
    }
}

#[cfg(all(test, loom))]
mod tests {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    use super::*;

    /// Two places; loom fails the model where a read is not ordered behind the write that it sees.
    struct Places([UnsafeCell<usize>; 2]);

    // SAFETY: each chunk writes its own place, and all is read when all is done.
    unsafe impl Sync for Places {}

    #[test]
    fn all_is_done_and_seen_whoever_takes_it() {
        loom::model(|| {
            let places = Places([UnsafeCell::new(0), UnsafeCell::new(0)]);
            // SAFETY: nobody else writes that place.
            let body = |chunk: usize| (&places).0[chunk].with_mut(|place| unsafe { *place += 1 });
            // SAFETY: `finish` is called below.
            let job = Arc::new(unsafe { Job::new(2, &body) });
            let helper = Arc::clone(&job);
            let helps = loom::thread::spawn(move || helper.work());
            job.finish().unwrap();
            for place in &places.0 {
                // SAFETY: all is done.
                place.with(|place| assert_eq!(unsafe { *place }, 1));
            }
            helps.join().unwrap();
        });
    }
}
