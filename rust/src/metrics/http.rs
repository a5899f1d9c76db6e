//! `http_requests_total` and `http_request_duration_seconds`, by handler and method.
//!
//! Labels come from the closed list of path templates and of methods, so a client cannot make
//! new series.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use super::distribution::Distribution;
use super::exposition::{self, escape};
use super::names::HTTP_S;

/// Probes and scrapes: not counted, as with vLLM, so that rates are the clients' own.
const UNCOUNTED: [&str; 4] = ["/health", "/ready", "/version", "/metrics"];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// More handlers than any table of endpoints has; the rest is counted as "other".
const MAX_SERIES: usize = 256;

/// All series of the two HTTP families.
#[derive(Debug, Default)]
pub(super) struct Http {
    series: RwLock<Vec<Arc<Series>>>,
}

#[derive(Debug)]
struct Series {
    handler: String,
    method: &'static str,
    by_class: [AtomicU64; 5],
    seconds: Distribution,
}

/// Requests for work, for the seed's counters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) total: u64,
    pub(super) successful: u64,
}

impl Http {
    pub(super) fn count(&self, handler: &str, method: &str, status: u16, seconds: f64) {
        if UNCOUNTED.contains(&handler) {
            return;
        }
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
    }

    /// What asked for work: a POST on a path under /v1/. Success is a final status below 400.
    pub(super) fn work(&self) -> Work {
        let mut work = Work::default();
        for series in self.snapshot() {
            if series.method == "POST" && series.handler.starts_with("/v1/") {
                let counts = series.by_class.each_ref().map(|count| count.load(Relaxed));
                work.total += counts.iter().sum::<u64>();
                work.successful += counts[..3].iter().sum::<u64>();
            }
        }
        work
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
        let seconds = Distribution::new(HTTP_S.to_vec());
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
            http.count(&format!("/{number}"), "GET", 200, 0.1);
            http.count("/v1/models", &format!("M{number}"), 200, 0.1);
        }
        assert_eq!(http.snapshot().len(), MAX_SERIES + 1);
    }

    #[test]
    fn probes_are_not_counted_and_only_work_is_work() {
        let http = Http::default();
        for (handler, method, status) in [
            ("/health", "GET", 200),
            ("/metrics", "GET", 200),
            ("/v1/models", "GET", 200),
            ("", "POST", 404),
            ("/v1/completions", "POST", 200),
            ("/v1/chat/completions", "POST", 200),
            ("/v1/chat/completions", "POST", 499),
            ("/v1/chat/completions", "POST", 503),
        ] {
            http.count(handler, method, status, 0.1);
        }
        assert_eq!(
            http.work(),
            Work {
                total: 4,
                successful: 2
            }
        );
        let mut text = String::new();
        http.render(&mut text);
        assert!(!text.contains("/health") && !text.contains("\"/metrics\""));
    }
}
