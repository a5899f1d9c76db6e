//! One histogram in atomics. It does not know its name.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts per bucket (not cumulative) and the sum of what was observed.
#[derive(Debug)]
pub(super) struct AtomicHistogram {
    boundaries: Vec<f64>,
    /// One more than boundaries: the last is +Inf.
    counts: Vec<AtomicU64>,
    /// The bits of an f64.
    sum: AtomicU64,
}

/// A reading: cumulative counts, so that the last one is the number of observations.
pub(super) struct Reading {
    pub(super) cumulative: Vec<(f64, u64)>,
    pub(super) count: u64,
    pub(super) sum: f64,
}

impl AtomicHistogram {
    pub(super) fn new(boundaries: Vec<f64>) -> Self {
        let counts = (0..=boundaries.len()).map(|_| AtomicU64::new(0)).collect();
        Self {
            boundaries,
            counts,
            sum: AtomicU64::new(0.0_f64.to_bits()),
        }
    }

    /// Adds `times` observations of `value`. What is not finite is dropped and what is negative
    /// (a clock's fault) is 0: a sum must never go down nor turn to NaN.
    pub(super) fn observe(&self, value: f64, times: u32) {
        if !value.is_finite() || times == 0 {
            return;
        }
        let value = value.max(0.0);
        let bucket = self
            .boundaries
            .partition_point(|boundary| *boundary < value);
        self.counts[bucket].fetch_add(u64::from(times), Relaxed);
        let amount = value * f64::from(times);
        let add = |bits| Some((f64::from_bits(bits) + amount).to_bits());
        // The closure never gives None, so this cannot fail.
        let _ = self.sum.fetch_update(Relaxed, Relaxed, add);
    }

    pub(super) fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Relaxed))
    }

    pub(super) fn read(&self) -> Reading {
        let mut count = 0;
        let ends = self.boundaries.iter().copied().chain([f64::INFINITY]);
        let cumulative = ends
            .zip(&self.counts)
            .map(|(end, bucket)| {
                count += bucket.load(Relaxed);
                (end, count)
            })
            .collect();
        Reading {
            cumulative,
            count,
            sum: self.sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_boundary_belongs_to_its_own_bucket() {
        let histogram = AtomicHistogram::new(vec![1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.0, 2.5] {
            histogram.observe(value, 1);
        }
        let reading = histogram.read();
        assert_eq!(reading.cumulative, [(1.0, 2), (2.0, 4), (f64::INFINITY, 5)]);
        assert_eq!(reading.count, 5);
    }

    #[test]
    fn what_no_clock_should_give_does_no_harm() {
        let histogram = AtomicHistogram::new(vec![1.0]);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -3.0] {
            histogram.observe(value, 1);
        }
        let reading = histogram.read();
        assert_eq!(
            (reading.count, reading.sum.to_bits()),
            (1, 0.0_f64.to_bits())
        );
    }

    proptest! {
        #[test]
        fn counts_equal_a_naive_count(values in prop::collection::vec(0.0..20.0_f64, 0..50)) {
            let histogram = AtomicHistogram::new(vec![0.5, 1.0, 5.0, 10.0]);
            for value in &values {
                histogram.observe(*value, 2);
            }
            for (end, count) in histogram.read().cumulative {
                let below = values.iter().filter(|value| **value <= end).count() as u64;
                prop_assert_eq!(count, 2 * below);
            }
            prop_assert!((histogram.sum() - 2.0 * values.iter().sum::<f64>()).abs() < 1e-9);
        }
    }
}
