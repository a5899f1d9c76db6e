//! `http_requests_total` and `http_request_duration_seconds`, by handler and method.
//!
//! Labels come from the closed list of path templates and of methods, so a client cannot make
//! new series.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use super::atomic_histogram::AtomicHistogram;
use super::exposition::{self, escape};
use super::names::HTTP_S;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// More handlers than any table of endpoints has; the rest is counted as "other".
const MAX_SERIES: usize = 256;

/// All series of the two HTTP families.
#[derive(Debug, Default)]
pub(super) struct Http {
    series: RwLock<Vec<Arc<Series>>>,
    total: AtomicU64,
    successful: AtomicU64,
}

#[derive(Debug)]
struct Series {
    handler: String,
    method: &'static str,
    by_class: [AtomicU64; 5],
    seconds: AtomicHistogram,
}

/// Requests for work, for the seed's counters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) total: u64,
    pub(super) successful: u64,
}

impl Http {
    /// One answer. `is_work`: also for the seed's counters, where a final status below 400 is success.
    pub(super) fn count(
        &self,
        handler: &str,
        method: &str,
        status: u16,
        seconds: f64,
        is_work: bool,
    ) {
        let method = METHODS
            .iter()
            .find(|known| **known == method)
            .copied()
            .unwrap_or("other");
        let series = self
            .find(handler, method)
            .unwrap_or_else(|| self.add(handler, method));
        series.by_class[class_of(status)].fetch_add(1, Relaxed);
        series.seconds.observe(seconds, 1);
        if is_work {
            self.total.fetch_add(1, Relaxed);
            self.successful.fetch_add(u64::from(status < 400), Relaxed);
        }
    }

    /// What asked for work.
    pub(super) fn work(&self) -> Work {
        // In this order, a request that ends in between is never a success that was not asked for.
        let successful = self.successful.load(Relaxed);
        Work {
            total: self.total.load(Relaxed).max(successful),
            successful,
        }
    }

    pub(super) fn render(&self, out: &mut String) {
        let all = self.snapshot();
        exposition::head(
            out,
            "http_requests_total",
            "counter",
            "HTTP answers, by handler, method and status class.",
        );
        for series in &all {
            for (class, count) in CLASSES.iter().zip(&series.by_class) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let _ = writeln!(
                        out,
                        "http_requests_total{{{},status=\"{class}\"}} {count}",
                        series.labels()
                    );
                }
            }
        }
        let name = "http_request_duration_seconds";
        exposition::head(
            out,
            name,
            "histogram",
            "From a request's head to the end of its answer.",
        );
        for series in &all {
            exposition::histogram(out, name, &series.labels(), &series.seconds.read());
        }
    }

    fn find(&self, handler: &str, method: &str) -> Option<Arc<Series>> {
        let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .find(|series| series.is(handler, method))
            .cloned()
    }

    fn add(&self, handler: &str, method: &'static str) -> Arc<Series> {
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let (handler, method) = if all.len() < MAX_SERIES {
            (handler, method)
        } else {
            ("other", "other")
        };
        if let Some(series) = all.iter().find(|series| series.is(handler, method)) {
            return Arc::clone(series);
        }
        let series = Arc::new(Series::new(handler, method));
        all.push(Arc::clone(&series));
        series
    }

    fn snapshot(&self) -> Vec<Arc<Series>> {
        self.series
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Series {
    fn new(handler: &str, method: &'static str) -> Self {
        let seconds = AtomicHistogram::new(HTTP_S.to_vec());
        Self {
            handler: handler.to_owned(),
            method,
            by_class: Default::default(),
            seconds,
        }
    }

    fn is(&self, handler: &str, method: &str) -> bool {
        self.handler == handler && self.method == method
    }

    fn labels(&self) -> String {
        format!(
            "handler=\"{}\",method=\"{}\"",
            escape(&self.handler),
            self.method
        )
    }
}

fn class_of(status: u16) -> usize {
    usize::from(status / 100).clamp(1, 5) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_bounded() {
        let http = Http::default();
        for number in 0..2 * MAX_SERIES {
            http.count(&format!("/{number}"), "GET", 200, 0.1, false);
            http.count("/v1/models", &format!("M{number}"), 200, 0.1, false);
        }
        assert_eq!(http.snapshot().len(), MAX_SERIES + 1);
    }

    #[test]
    fn only_work_is_work() {
        let http = Http::default();
        for (handler, method, status, is_work) in [
            ("/v1/models", "GET", 200, false),
            ("", "POST", 404, false),
            ("/v1/completions", "POST", 200, true),
            ("/v1/chat/completions", "POST", 200, true),
            ("/v1/chat/completions", "POST", 499, true),
            ("/own", "PUT", 503, true),
        ] {
            http.count(handler, method, status, 0.1, is_work);
        }
        assert_eq!(
            http.work(),
            Work {
                total: 4,
                successful: 2
            }
        );
    }
}
