//! Work shared over XLA's own threads.
//!
//! The caller works, too, so that a step waits for nobody who has not begun: a thread that comes late finds no chunk
//! left and leaves without looking at what the work was.

mod job;

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

use crate::c_api::{
    Api, ErrorDestroyArgs, ExecutionContext, NumThreadsArgs, OpaqueError, ScheduleArgs,
};
use crate::error::Error;
use job::Job;

/// Threads that may help.
pub struct Pool(Threads);

enum Threads {
    Xla {
        api: *const Api,
        context: *mut ExecutionContext,
    },
    Own(usize),
}

impl Pool {
    /// Of a call's context.
    pub(crate) fn of_xla(api: &Api, context: *mut ExecutionContext) -> Self {
        Self(Threads::Xla { api, context })
    }

    /// So many threads, the caller's among them, started for each share: for tests.
    #[must_use]
    pub fn of_threads(num_threads: usize) -> Self {
        Self(Threads::Own(num_threads))
    }

    /// How many threads may work at once, the caller's among them.
    #[must_use]
    pub fn num_threads(&self) -> usize {
        let Threads::Xla { api, context } = self.0 else {
            let Threads::Own(num_threads) = self.0 else {
                return 1;
            };
            return num_threads.max(1);
        };
        let mut num_threads = 1_i64;
        let mut args = NumThreadsArgs {
            struct_size: size_of::<NumThreadsArgs>(),
            extension_start: null_mut(),
            context,
            num_threads: &raw mut num_threads,
        };
        // SAFETY: table and context are XLA's, of the call that we are in.
        unsafe { destroy(api, ((*api).thread_pool_num_threads)(&raw mut args)) };
        usize::try_from(num_threads).unwrap_or(1).max(1)
    }

    /// Asks a thread to help with `job`. Where none will, the caller does it all.
    fn ask(&self, job: &Arc<Job>) {
        let job = Arc::clone(job);
        let Threads::Xla { api, context } = self.0 else {
            std::thread::spawn(move || job.work());
            return;
        };
        let data = Arc::into_raw(job).cast_mut().cast::<c_void>();
        let mut args = ScheduleArgs {
            struct_size: size_of::<ScheduleArgs>(),
            extension_start: null_mut(),
            context,
            task: help,
            data,
        };
        // SAFETY: table and context are XLA's, of the call that we are in; the task owns its share of the job.
        let is_refused = unsafe { destroy(api, ((*api).thread_pool_schedule)(&raw mut args)) };
        if is_refused {
            // SAFETY: a task that was refused is never run, so its share is still ours.
            drop(unsafe { Arc::from_raw(data.cast_const().cast::<Job>()) });
        }
    }
}

/// What a thread of XLA's runs.
unsafe extern "C" fn help(data: *mut c_void) {
    // SAFETY: `data` is the share of a job that `ask` gave to this task alone.
    let job = unsafe { Arc::from_raw(data.cast_const().cast::<Job>()) };
    job.work();
}

/// Destroys an error of XLA's. Whether there was one.
///
/// # Safety
/// Both are XLA's.
unsafe fn destroy(api: *const Api, error: *mut OpaqueError) -> bool {
    if error.is_null() {
        return false;
    }
    let mut args = ErrorDestroyArgs {
        struct_size: size_of::<ErrorDestroyArgs>(),
        extension_start: null_mut(),
        error,
    };
    // SAFETY: the caller's promise; an error that a call of ours returned is ours to destroy.
    unsafe { ((*api).error_destroy)(&raw mut args) };
    true
}

/// Runs `body` for every chunk below `num_chunks`, each once, on the caller's thread and those of the pool, and returns
/// when all are done.
///
/// # Errors
/// A chunk panicked; the others are done all the same.
pub fn share(pool: &Pool, num_chunks: usize, body: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
    let num_helpers = if num_chunks < 2 {
        0
    } else {
        pool.num_threads().min(num_chunks) - 1
    };
    // SAFETY: `finish` returns when every chunk is done, and the job touches `body` in a chunk only.
    let job = Arc::new(unsafe { Job::new(num_chunks, body) });
    for _ in 0..num_helpers {
        pool.ask(&job);
    }
    job.finish()
        .map_err(|panic| Error::internal(format!("a kernel panicked: {panic}")))
}

/// A place that the chunks of a share write parts of.
#[derive(Clone, Copy)]
pub struct Shared<T> {
    start: *mut T,
    len: usize,
}

// SAFETY: what is written from several threads is apart, as `part` asks of its callers.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    /// Of a place that stays borrowed as long as parts of it are written.
    pub fn new(place: &mut [T]) -> Self {
        Self {
            start: place.as_mut_ptr(),
            len: place.len(),
        }
    }

    /// `len` numbers from `first` on.
    ///
    /// # Panics
    /// The place has no such part.
    ///
    /// # Safety
    /// The place outlives the part, and nobody else reads or writes the part meanwhile.
    #[must_use]
    pub unsafe fn part<'a>(self, first: usize, len: usize) -> &'a mut [T] {
        assert!(
            first <= self.len && len <= self.len - first,
            "a part outside of its place"
        );
        // SAFETY: the part lies within the place, which is the caller's alone as it promises.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(first), len) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_chunk_runs_once() {
        for num_threads in [1, 2, 5] {
            for num_chunks in [0, 1, 2, 7, 100] {
                let counts: Vec<_> = (0..num_chunks).map(|_| AtomicUsize::new(0)).collect();
                let body = |chunk: usize| {
                    counts[chunk].fetch_add(1, Ordering::Relaxed);
                };
                share(&Pool::of_threads(num_threads), num_chunks, &body).unwrap();
                assert!(
                    counts
                        .iter()
                        .all(|count| count.load(Ordering::Relaxed) == 1)
                );
            }
        }
    }

    #[test]
    fn a_panic_is_an_error_and_the_others_are_done() {
        let done = AtomicUsize::new(0);
        let body = |chunk: usize| {
            assert!(chunk != 3, "chunk three");
            done.fetch_add(1, Ordering::Relaxed);
        };
        let error = share(&Pool::of_threads(3), 8, &body).unwrap_err();
        assert!(error.to_string().contains("chunk three"), "{error}");
        assert_eq!(done.load(Ordering::Relaxed), 7);
    }
}
