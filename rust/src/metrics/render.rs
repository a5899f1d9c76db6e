//! All metrics as one Prometheus page.

use super::exposition::{self, escape, sample, split};
use super::{Counter, Gauge, Histogram, Metrics};

impl Metrics {
    /// Prometheus text format 0.0.4. Every series of the table is there from the start, at 0.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "Prometheus samples are f64")]
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(32 * 1024);
        let labels = format!("model_name=\"{}\",engine=\"0\"", escape(&self.model_name));
        let counters = Counter::ALL
            .iter()
            .map(|&kind| (kind.row(), self.count_of(kind) as f64));
        let gauges = Gauge::ALL
            .iter()
            .map(|&kind| (kind.row(), self.value_of(kind)));
        let mut last_family = "";
        for (kind, (row, value)) in counters
            .map(|it| ("counter", it))
            .chain(gauges.map(|it| ("gauge", it)))
        {
            let (family, _) = split(row.name);
            if family != last_family {
                exposition::head(&mut out, family, kind, row.help);
                last_family = family;
            }
            sample(&mut out, row.name, &labels, value);
        }
        self.render_cache_config(&mut out, &labels);
        for &kind in Histogram::ALL {
            let row = kind.row();
            exposition::head(&mut out, row.name, "histogram", row.help);
            exposition::histogram(
                &mut out,
                row.name,
                &labels,
                &self.histograms[kind as usize].read(),
            );
        }
        self.http.render(&mut out);
        out
    }

    /// vLLM's cache facts that we have too, once the engine has told them.
    fn render_cache_config(&self, out: &mut String, labels: &str) {
        let (num_pages, page_size) = (
            self.value_of(Gauge::NumPages),
            self.value_of(Gauge::PageSize),
        );
        if num_pages == 0.0 {
            return;
        }
        let num_tokens = num_pages * page_size;
        let concurrency = num_tokens / f64::from(self.max_model_len.max(1));
        let facts = format!(
            "{labels},block_size=\"{page_size}\",num_gpu_blocks=\"{num_pages}\",\
             kv_cache_size_tokens=\"{num_tokens}\",kv_cache_max_concurrency=\"{concurrency:.2}\""
        );
        let name = "vllm:cache_config_info";
        exposition::head(
            out,
            name,
            "gauge",
            "The KV cache: pages, their size, and what they hold.",
        );
        sample(out, name, &facts, 1.0);
    }
}
