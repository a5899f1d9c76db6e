//! All metrics as one Prometheus page.

use super::exposition::{self, escape, sample, split};
use super::{Counter, Gauge, Histogram, Metrics, ModelMetrics};

impl Metrics {
    /// Prometheus text format 0.0.4. Every series of a model is there from the start, at 0.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(32 * 1024);
        let models = self.models();
        let models: Vec<(String, &ModelMetrics)> = models
            .iter()
            .map(|model| (labels_of(model), &**model))
            .collect();
        render_scalars(&models, &mut out);
        render_cache_config(&models, &mut out);
        render_histograms(&models, &mut out);
        self.http.render(&mut out);
        out
    }
}

fn labels_of(model: &ModelMetrics) -> String {
    format!("model_name=\"{}\",engine=\"0\"", escape(&model.model_name))
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus samples are f64")]
fn render_scalars(models: &[(String, &ModelMetrics)], out: &mut String) {
    let mut families = Families::default();
    for &counter in Counter::ALL {
        let row = counter.row();
        families.head("counter", row.name, row.help, models, out);
        for (labels, model) in models {
            sample(out, row.name, labels, model.count_of(counter) as f64);
        }
    }
    for &gauge in Gauge::ALL {
        let row = gauge.row();
        families.head("gauge", row.name, row.help, models, out);
        for (labels, model) in models {
            sample(out, row.name, labels, model.value_of(gauge));
        }
    }
}

/// Rows of one family follow each other in the table and share its head.
#[derive(Default)]
struct Families {
    last: &'static str,
}

impl Families {
    fn head<T>(
        &mut self,
        kind: &str,
        name: &'static str,
        help: &str,
        models: &[T],
        out: &mut String,
    ) {
        let (family, _) = split(name);
        if family != self.last && !models.is_empty() {
            exposition::head(out, family, kind, help);
            self.last = family;
        }
    }
}

fn render_histograms(models: &[(String, &ModelMetrics)], out: &mut String) {
    if models.is_empty() {
        return;
    }
    for &histogram in Histogram::ALL {
        let row = histogram.row();
        exposition::head(out, row.name, "histogram", row.help);
        for (labels, model) in models {
            let reading = model.histograms[histogram as usize].read();
            exposition::histogram(out, row.name, labels, &reading);
        }
    }
}

/// vLLM's cache facts that we have too, of the models whose engines have told them.
fn render_cache_config(models: &[(String, &ModelMetrics)], out: &mut String) {
    let name = "vllm:cache_config_info";
    let mut told = models
        .iter()
        .filter(|(_, model)| model.value_of(Gauge::NumPages) > 0.0)
        .peekable();
    if told.peek().is_some() {
        let help = "The KV cache: pages, their size, and what they hold.";
        exposition::head(out, name, "gauge", help);
    }
    for (labels, model) in told {
        sample(out, name, &cache_facts(labels, model), 1.0);
    }
}

fn cache_facts(labels: &str, model: &ModelMetrics) -> String {
    let num_pages = model.value_of(Gauge::NumPages);
    let page_size = model.value_of(Gauge::PageSize);
    let num_tokens = num_pages * page_size;
    let concurrency = num_tokens / f64::from(model.max_model_len.max(1));
    format!(
        "{labels},block_size=\"{page_size}\",num_gpu_blocks=\"{num_pages}\",\
         kv_cache_size_tokens=\"{num_tokens}\",kv_cache_max_concurrency=\"{concurrency:.2}\""
    )
}
