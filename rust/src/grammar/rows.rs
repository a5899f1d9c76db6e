//! All rows under a grammar: their last tokens in, their next masks out, computed by a few threads meanwhile.
//!
//! The engine's thread only hands over and takes: it never waits for a mask that is not ready, unless it has nothing
//! else to do and says so.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::compiled::Grammar;
use super::work::{Outcome, Work};

/// Rows by key, and the threads that compute their masks. They are started with the first row.
pub struct GrammarRows {
    num_threads: usize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    has_jobs: Condvar,
    has_news: Condvar,
}

#[derive(Default)]
struct State {
    rows: HashMap<u64, Row>,
    jobs: VecDeque<Job>,
    /// Jobs that wait or are under way.
    num_computing: usize,
    num_threads: usize,
    is_closed: bool,
}

/// Where a row stands.
enum Row {
    /// Its mask can be taken.
    Ready(Work),
    /// Its mask was taken, its next token is being made.
    Taken(Work),
    /// A thread has it.
    Computing,
    /// Told once, then only waiting to leave.
    Ended(Option<Result<(), String>>),
}

struct Job {
    row_key: u64,
    work: Work,
    token: u32,
}

/// What was ready.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Of the keys that were asked for: the places of those whose masks follow, in order.
    pub indices: Vec<i32>,
    /// Their masks, one after the other: bit `t % 32` of word `t / 32` is set where token `t` is allowed.
    pub masks: Vec<u32>,
    /// Keys of rows whose text is whole: nothing can follow it.
    pub complete: Vec<u64>,
    /// Keys of rows that can go no further, and why.
    pub failed: Vec<(u64, String)>,
}

impl Taken {
    fn is_empty(&self) -> bool {
        self.indices.is_empty() && self.complete.is_empty() && self.failed.is_empty()
    }
}

impl GrammarRows {
    /// No rows. `num_threads`: at least one.
    #[must_use]
    pub fn new(num_threads: usize) -> Self {
        Self {
            num_threads: num_threads.max(1),
            shared: Arc::default(),
        }
    }

    /// A new row, whose first mask is ready at once.
    pub fn join(&self, row_key: u64, grammar: Grammar) {
        let work = Work::begin(grammar);
        let mut state = self.shared.lock();
        while state.num_threads < self.num_threads {
            let shared = self.shared.clone();
            thread::spawn(move || shared.work());
            state.num_threads += 1;
        }
        state.rows.insert(row_key, Row::Ready(work));
    }

    /// The rows' new tokens. A row without one (a negative id) keeps its mask; one that has ended by its token waits
    /// to leave. Unknown rows are ignored.
    pub fn advance(&self, row_keys: &[u64], tokens: &[i32], has_ended: &[bool]) {
        let mut state = self.shared.lock();
        for ((row_key, token), has_ended) in row_keys.iter().zip(tokens).zip(has_ended) {
            state.advance(*row_key, *token, *has_ended);
        }
        drop(state);
        self.shared.has_jobs.notify_all();
    }

    /// Takes the masks of those rows that have theirs. Where nothing is ready but something is being computed, waits
    /// for it, at most `wait`.
    #[must_use]
    pub fn take_ready(&self, row_keys: &[u64], wait: Duration) -> Taken {
        let until = Instant::now() + wait;
        let mut state = self.shared.lock();
        loop {
            let taken = state.take_ready(row_keys);
            let left = until.saturating_duration_since(Instant::now());
            if !taken.is_empty() || state.num_computing == 0 || left.is_zero() {
                return taken;
            }
            let waited = self.shared.has_news.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Forgets a row. What is being computed for it is thrown away. Unknown rows are ignored.
    pub fn leave(&self, row_key: u64) {
        let row = self.shared.lock().rows.remove(&row_key);
        drop(row); // a matcher may hold megabytes: not under the lock
    }

    /// Rows that have joined and not left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.lock().rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for GrammarRows {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.has_jobs.notify_all();
    }
}

impl State {
    fn advance(&mut self, row_key: u64, token: i32, has_ended: bool) {
        let Some(row) = self.rows.get_mut(&row_key) else {
            return;
        };
        let Row::Taken(work) = std::mem::replace(row, Row::Ended(None)) else {
            return; // the scheduler advances only what it took
        };
        match u32::try_from(token) {
            _ if has_ended => {}
            Err(_) => *row = Row::Ready(work),
            Ok(token) => {
                *row = Row::Computing;
                self.num_computing += 1;
                self.jobs.push_back(Job {
                    row_key,
                    work,
                    token,
                });
            }
        }
    }

    fn take_ready(&mut self, row_keys: &[u64]) -> Taken {
        let mut taken = Taken::default();
        for (index, row_key) in (0..).zip(row_keys) {
            let Some(row) = self.rows.get_mut(row_key) else {
                continue;
            };
            match std::mem::replace(row, Row::Ended(None)) {
                Row::Ready(work) => {
                    taken.indices.push(index);
                    taken.masks.extend_from_slice(&work.mask);
                    *row = Row::Taken(work);
                }
                Row::Ended(Some(Ok(()))) => taken.complete.push(*row_key),
                Row::Ended(Some(Err(reason))) => taken.failed.push((*row_key, reason)),
                other => *row = other,
            }
        }
        taken
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life.
    fn work(&self) {
        while let Some(job) = self.next_job() {
            let row_key = job.row_key;
            let row = catch_unwind(AssertUnwindSafe(|| run(job)))
                .unwrap_or_else(|_| ended(Err("it failed".to_owned())));
            let mut state = self.lock();
            state.num_computing -= 1;
            let left_over = match state.rows.get_mut(&row_key) {
                Some(place) => std::mem::replace(place, row),
                None => row, // it has left meanwhile
            };
            drop(state);
            self.has_news.notify_all();
            drop(left_over);
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                if state.rows.contains_key(&job.row_key) {
                    return Some(job);
                }
                state.num_computing -= 1; // it has left before its turn
                continue;
            }
            state = self
                .has_jobs
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn run(job: Job) -> Row {
    let mut work = job.work;
    match work.advance(job.token) {
        Outcome::Next => Row::Ready(work),
        Outcome::Complete => ended(Ok(())),
        Outcome::Failed(reason) => ended(Err(reason)),
    }
}

const fn ended(how: Result<(), String>) -> Row {
    Row::Ended(Some(how))
}
