//! Counters, gauges and histograms in atomics; Prometheus text and the seed's counters.
//!
//! HTTP answers are counted for the process, all else for each model. Shared by `Arc` and written from any thread
//! without a lock. It knows no clock but its own uptime: times are handed in, in seconds.

mod atomic_histogram;
mod exposition;
mod http;
mod model;
mod names;
mod render;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use http::Http;
pub use model::{ModelMetrics, RequestSizes, Timeline};
pub use names::{Counter, Gauge, Histogram};

/// All metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    started: Instant,
    models: RwLock<Vec<Arc<ModelMetrics>>>,
    http: Http,
}

/// The seed's `ServerMetrics`, where only requests for work count: a POST under /v1/, at the end
/// of its answer and by its final status.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// Answered requests for work.
    pub total_requests: u64,
    /// Those with a final status below 400.
    pub successful_requests: u64,
    /// The others: refused, failed or left by the client.
    pub failed_requests: u64,
    /// All tokens that the engine gave.
    pub total_tokens_generated: u64,
    /// Tokens of the ended choices per second of their end-to-end time: one client's mean speed.
    pub average_tokens_per_second: f64,
    /// Since this value was made.
    pub uptime_seconds: f64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            models: RwLock::default(),
            http: Http::default(),
        }
    }
}

impl Metrics {
    /// The metrics of the model that is served under `name`, all at 0 the first time. Then `max_model_len` bounds the
    /// token-count buckets; later it is not looked at.
    pub fn model(&self, name: &str, max_model_len: u32) -> Arc<ModelMetrics> {
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = models.iter().find(|model| model.model_name == name) {
            return Arc::clone(known);
        }
        let model = Arc::new(ModelMetrics::new(name, max_model_len));
        models.push(Arc::clone(&model));
        model
    }

    /// One HTTP answer at its end, by its final status (499: the client left). `handler` is a
    /// path template; `is_work` counts it for the seed's counters, too.
    pub fn count_request(
        &self,
        handler: &str,
        method: &str,
        status: u16,
        seconds: f64,
        is_work: bool,
    ) {
        self.http.count(handler, method, status, seconds, is_work);
    }

    /// The seed's counters, of all models together.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (work, models) = (self.http.work(), self.models());
        let sum_of = |histogram: Histogram| -> f64 {
            let sums = models
                .iter()
                .map(|model| model.histograms[histogram as usize].sum());
            sums.sum()
        };
        let tokens = sum_of(Histogram::RequestGenerationTokens);
        let seconds = sum_of(Histogram::EndToEnd);
        let generated = models
            .iter()
            .map(|model| model.count_of(Counter::GenerationTokens));
        Snapshot {
            total_requests: work.total,
            successful_requests: work.successful,
            failed_requests: work.total - work.successful,
            total_tokens_generated: generated.sum(),
            average_tokens_per_second: if seconds > 0.0 { tokens / seconds } else { 0.0 },
            uptime_seconds: self.started.elapsed().as_secs_f64(),
        }
    }

    /// All models, in the order in which they came.
    fn models(&self) -> Vec<Arc<ModelMetrics>> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        models.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_model() {
        let metrics = Metrics::default();
        let (one, again, other) = (
            metrics.model("a", 128),
            metrics.model("a", 1),
            metrics.model("b", 128),
        );
        again.set(Gauge::Running, 3.0);
        assert!((one.value_of(Gauge::Running) - 3.0).abs() < f64::EPSILON);
        assert!(other.value_of(Gauge::Running).abs() < f64::EPSILON);
    }
}
