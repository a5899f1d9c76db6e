//! What is counted for one model.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::atomic_histogram::AtomicHistogram;
use super::{Counter, Gauge, Histogram};
use crate::finish_reason::FinishReason;

/// The counters, gauges and histograms of one model.
#[derive(Debug)]
pub struct ModelMetrics {
    pub(super) model_name: String,
    pub(super) max_model_len: u32,
    counters: Vec<AtomicU64>,
    /// The bits of f64s.
    gauges: Vec<AtomicU64>,
    pub(super) histograms: Vec<AtomicHistogram>,
}

/// The moments of a choice, in seconds of one monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeline {
    /// The request's head was read.
    pub arrival: f64,
    /// Prefill began, if it did.
    pub scheduled: Option<f64>,
    /// The first token came, if one did.
    pub first_token: Option<f64>,
    /// The last token came, if one did.
    pub last_token: Option<f64>,
    /// The choice ended.
    pub ended: f64,
}

/// The sizes of a request, all its choices together.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestSizes {
    /// Of all its prompts.
    pub prompt_tokens: u32,
    /// Prompts times `n`.
    pub num_choices: u32,
    /// Asked or clamped, per choice.
    pub max_tokens: u32,
    /// Of its longest choice.
    pub max_generation_tokens: u32,
}

/// What counts the choices that ended so.
fn counter_of(reason: FinishReason) -> Counter {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => Counter::SuccessStop,
        FinishReason::Length => Counter::SuccessLength,
        FinishReason::Abort => Counter::SuccessAbort,
        FinishReason::Error => Counter::SuccessError,
    }
}

impl ModelMetrics {
    /// All at 0. `max_model_len` bounds the token-count buckets.
    #[must_use]
    pub fn new(model_name: &str, max_model_len: u32) -> Self {
        let histogram =
            |kind: &Histogram| AtomicHistogram::new(kind.row().buckets.boundaries(max_model_len));
        let zero = || AtomicU64::new(0.0_f64.to_bits());
        Self {
            model_name: model_name.to_owned(),
            max_model_len,
            counters: Counter::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            gauges: Gauge::ALL.iter().map(|_| zero()).collect(),
            histograms: Histogram::ALL.iter().map(histogram).collect(),
        }
    }

    /// Adds to a counter.
    pub fn add(&self, counter: Counter, amount: u64) {
        self.counters[counter as usize].fetch_add(amount, Relaxed);
    }

    /// A counter's value.
    #[must_use]
    pub fn count_of(&self, counter: Counter) -> u64 {
        self.counters[counter as usize].load(Relaxed)
    }

    /// Sets a gauge; pages set the KV cache's usage too.
    pub fn set(&self, gauge: Gauge, value: f64) {
        self.gauges[gauge as usize].store(value.to_bits(), Relaxed);
        if matches!(gauge, Gauge::PagesInUse | Gauge::NumPages) {
            let share = self.value_of(Gauge::PagesInUse) / self.value_of(Gauge::NumPages).max(1.0);
            self.set(Gauge::KvCacheUsage, share);
        }
    }

    /// A gauge's value.
    #[must_use]
    pub fn value_of(&self, gauge: Gauge) -> f64 {
        f64::from_bits(self.gauges[gauge as usize].load(Relaxed))
    }

    /// Adds one observation.
    pub fn observe(&self, histogram: Histogram, value: f64) {
        self.observe_many(histogram, value, 1);
    }

    /// Adds `times` observations of the same value, as for tokens that one dispatch gave at once.
    pub fn observe_many(&self, histogram: Histogram, value: f64, times: u32) {
        self.histograms[histogram as usize].observe(value, times);
    }

    /// A choice ended: its reason, its times (those it lived to see) and its tokens.
    pub fn finish_choice(&self, reason: FinishReason, times: &Timeline, generation_tokens: u32) {
        self.add(counter_of(reason), 1);
        self.observe(
            Histogram::RequestGenerationTokens,
            f64::from(generation_tokens),
        );
        self.observe(Histogram::EndToEnd, times.ended - times.arrival);
        let observe_span = |histogram, from: Option<f64>, to: Option<f64>| {
            if let (Some(from), Some(to)) = (from, to) {
                self.observe(histogram, to - from);
            }
        };
        observe_span(Histogram::QueueTime, Some(times.arrival), times.scheduled);
        observe_span(Histogram::PrefillTime, times.scheduled, times.first_token);
        observe_span(Histogram::DecodeTime, times.first_token, times.last_token);
        observe_span(Histogram::InferenceTime, times.scheduled, times.last_token);
        if let (Some(first), Some(last), 2..) =
            (times.first_token, times.last_token, generation_tokens)
        {
            self.observe(
                Histogram::TimePerOutputToken,
                (last - first) / f64::from(generation_tokens - 1),
            );
        }
    }

    /// A request ended, all its choices with it.
    pub fn finish_request(&self, sizes: &RequestSizes) {
        self.observe(
            Histogram::RequestPromptTokens,
            f64::from(sizes.prompt_tokens),
        );
        self.observe(Histogram::RequestN, f64::from(sizes.num_choices));
        self.observe(Histogram::RequestMaxTokens, f64::from(sizes.max_tokens));
        self.observe(
            Histogram::RequestMaxGenerationTokens,
            f64::from(sizes.max_generation_tokens),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(metrics: &ModelMetrics, histogram: Histogram) -> u64 {
        metrics.histograms[histogram as usize].read().count
    }

    #[test]
    fn usage_follows_the_pages() {
        let metrics = ModelMetrics::new("m", 128);
        metrics.set(Gauge::PagesInUse, 0.0);
        assert!(metrics.value_of(Gauge::KvCacheUsage).abs() < f64::EPSILON);
        metrics.set(Gauge::NumPages, 8.0);
        metrics.set(Gauge::PagesInUse, 2.0);
        assert!((metrics.value_of(Gauge::KvCacheUsage) - 0.25).abs() < f64::EPSILON);
    }

    #[test]
    fn a_choice_that_died_in_the_queue_has_no_times_it_did_not_live() {
        let metrics = ModelMetrics::new("m", 128);
        let times = Timeline {
            arrival: 1.0,
            ended: 3.0,
            ..Timeline::default()
        };
        metrics.finish_choice(FinishReason::Abort, &times, 0);
        assert_eq!(metrics.count_of(Counter::SuccessAbort), 1);
        assert_eq!(count(&metrics, Histogram::EndToEnd), 1);
        for histogram in [
            Histogram::QueueTime,
            Histogram::PrefillTime,
            Histogram::DecodeTime,
        ] {
            assert_eq!(count(&metrics, histogram), 0, "{histogram:?}");
        }
    }

    #[test]
    fn a_whole_choice_has_all_its_times() {
        let metrics = ModelMetrics::new("m", 128);
        let times = Timeline {
            arrival: 1.0,
            scheduled: Some(1.5),
            first_token: Some(2.5),
            last_token: Some(6.5),
            ended: 7.0,
        };
        metrics.finish_choice(FinishReason::Length, &times, 5);
        for (histogram, seconds) in [
            (Histogram::QueueTime, 0.5),
            (Histogram::PrefillTime, 1.0),
            (Histogram::DecodeTime, 4.0),
            (Histogram::InferenceTime, 5.0),
            (Histogram::TimePerOutputToken, 1.0),
            (Histogram::EndToEnd, 6.0),
        ] {
            let sum = metrics.histograms[histogram as usize].sum();
            assert!((sum - seconds).abs() < 1e-12, "{histogram:?}: {sum}");
        }
        let tokens = metrics.histograms[Histogram::RequestGenerationTokens as usize].sum();
        assert!((tokens - 5.0).abs() < 1e-12);
    }

    #[test]
    fn writers_on_many_threads_lose_nothing() {
        let metrics = ModelMetrics::new("m", 128);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        metrics.add(Counter::GenerationTokens, 2);
                        metrics.observe(Histogram::InterTokenLatency, 0.5);
                    }
                });
            }
        });
        let reading = metrics.histograms[Histogram::InterTokenLatency as usize].read();
        assert_eq!(metrics.count_of(Counter::GenerationTokens), 8000);
        assert_eq!(
            (reading.count, reading.sum.to_bits()),
            (4000, 2000.0_f64.to_bits())
        );
    }
}
