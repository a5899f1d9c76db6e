//! The table of what is counted: exposition names, labels, help texts, bucket boundaries.
//!
//! Names and labels with the prefix `vllm:` are vLLM's, so that its boards work unchanged. The
//! boundaries contain vLLM's own and go on below its lowest one: a decode step of 1 to 9 ms is
//! not one bucket here. No values here.

use Buckets::{Choices, Fixed, Tokens};

macro_rules! name_table {
    (
        $(#[$enum_doc:meta])* $table:ident -> $row:ident { $($field:ident: $kind:ty),+ };
        $($(#[$doc:meta])* $variant:ident: $($value:expr),+;)+
    ) => {
        $(#[$enum_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $table { $($(#[$doc])* $variant),+ }

        impl $table {
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The row of that exposition name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|row| row.row().name == name)
            }

            pub(super) const fn row(self) -> $row {
                const fn row($($field: $kind),+) -> $row { $row { $($field),+ } }
                match self { $(Self::$variant => row($($value),+),)+ }
            }
        }
    };
}

/// A counter's or gauge's row. A `name` may end in one label of its own, as
/// `vllm:request_success_total{finished_reason="stop"}`.
pub(super) struct ScalarRow {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
}

/// A histogram's row.
pub(super) struct HistogramRow {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) buckets: Buckets,
}

/// Where a histogram's boundaries come from.
pub(super) enum Buckets {
    Fixed(&'static [f64]),
    /// The 1-2-5 series up to the model's context.
    Tokens,
    Choices,
}

name_table! {
    /// What only grows.
    Counter -> ScalarRow { name: &'static str, help: &'static str };
    /// Prompt tokens of requests whose prefill is done.
    PromptTokens: "vllm:prompt_tokens_total", "Prompt tokens processed.";
    /// Tokens that the engine gave, wasted ones included.
    GenerationTokens: "vllm:generation_tokens_total", "Tokens generated.";
    /// Prompt tokens that were looked for in the prefix cache.
    PrefixCacheQueries: "vllm:prefix_cache_queries_total", "Prompt tokens looked for in the prefix cache.";
    /// Prompt tokens that were there.
    PrefixCacheHits: "vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.";
    /// Sequences stopped for want of pages, to go on later.
    Preemptions: "vllm:num_preemptions_total", "Sequences that gave their pages back and went on later.";
    /// Choices ended by a stop id or a stop string.
    SuccessStop: "vllm:request_success_total{finished_reason=\"stop\"}", "Choices ended, by reason.";
    /// Choices ended by `max_tokens` or the context.
    SuccessLength: "vllm:request_success_total{finished_reason=\"length\"}", "Choices ended, by reason.";
    /// Choices ended by the client's leaving.
    SuccessAbort: "vllm:request_success_total{finished_reason=\"abort\"}", "Choices ended, by reason.";
    /// Choices ended by an error.
    SuccessError: "vllm:request_success_total{finished_reason=\"error\"}", "Choices ended, by reason.";
    /// Requests refused because the queue was full.
    RejectedQueueFull: "vllm:admission_rejections_total{reason=\"max_num_queued_reqs\"}", "Requests refused at the door, by reason.";
    /// Requests whose client left before the end.
    CancelledRequests: "penstock_cancelled_requests_total", "Requests whose client left before the end.";
    /// Tokens that nobody got.
    TokensWasted: "penstock_tokens_wasted_total", "Tokens generated that no client received.";
    /// Tool calls that no client could run.
    MalformedToolCalls: "penstock_malformed_tool_calls_total", "Tool calls that the model wrote and no client could run.";
    /// Programs compiled when all should have been.
    CompilesAfterReady: "penstock_compiles_after_ready_total", "Programs compiled after the engine was ready; should stay 0.";
}

name_table! {
    /// What goes up and down.
    Gauge -> ScalarRow { name: &'static str, help: &'static str };
    /// Sequences with a slot.
    Running: "vllm:num_requests_running", "Sequences in the running batch.";
    /// Sequences without one.
    Waiting: "vllm:num_requests_waiting", "Sequences waiting for a slot or pages.";
    /// Share of the KV cache in use; follows `PagesInUse` and `NumPages`.
    KvCacheUsage: "vllm:kv_cache_usage_perc", "Share of KV-cache pages in use; 1 is all.";
    /// Pages held by sequences.
    PagesInUse: "penstock_pages_in_use", "KV-cache pages held by sequences.";
    /// Pages there are.
    NumPages: "penstock_num_pages", "KV-cache pages there are.";
    /// Tokens in a page.
    PageSize: "penstock_page_size_tokens", "Tokens in one KV-cache page.";
    /// Open streams of the hub.
    StreamsOpen: "penstock_streams_open", "Responses being made, streamed or plain.";
}

const TTFT_S: &[f64] = &[
    0.000_5, 0.001, 0.002, 0.003, 0.005, 0.007_5, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1,
    0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const TOKEN_GAP_S: &[f64] = &[
    0.000_2, 0.000_5, 0.001, 0.001_5, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.015, 0.02,
    0.025, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
const REQUEST_S: &[f64] = &[
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0,
    20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0,
];
const ITERATION_TOKENS: &[f64] = &[
    1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0,
];
const NUM_CHOICES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0];

/// Boundaries of `http_request_duration_seconds`.
pub(super) const HTTP_S: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0,
];

name_table! {
    /// What is observed one value at a time. Times are seconds.
    Histogram -> HistogramRow { name: &'static str, help: &'static str, buckets: Buckets };
    /// Arrival to a choice's first token.
    TimeToFirstToken: "vllm:time_to_first_token_seconds", "From arrival to the first token.", Fixed(TTFT_S);
    /// Between two tokens of a choice.
    InterTokenLatency: "vllm:inter_token_latency_seconds", "Between two tokens of one choice.", Fixed(TOKEN_GAP_S);
    /// Decode time over the tokens after the first.
    TimePerOutputToken: "vllm:request_time_per_output_token_seconds", "Mean gap between the tokens of one choice.", Fixed(TOKEN_GAP_S);
    /// Arrival to the end.
    EndToEnd: "vllm:e2e_request_latency_seconds", "From arrival to the end.", Fixed(REQUEST_S);
    /// Arrival to the start of prefill.
    QueueTime: "vllm:request_queue_time_seconds", "From arrival to the start of prefill.", Fixed(REQUEST_S);
    /// Start of prefill to the first token.
    PrefillTime: "vllm:request_prefill_time_seconds", "From the start of prefill to the first token.", Fixed(REQUEST_S);
    /// First token to the last.
    DecodeTime: "vllm:request_decode_time_seconds", "From the first token to the last.", Fixed(REQUEST_S);
    /// Start of prefill to the last token.
    InferenceTime: "vllm:request_inference_time_seconds", "From the start of prefill to the last token.", Fixed(REQUEST_S);
    /// Prompt tokens of a request.
    RequestPromptTokens: "vllm:request_prompt_tokens", "Prompt tokens of one request.", Tokens;
    /// Generated tokens of a choice.
    RequestGenerationTokens: "vllm:request_generation_tokens", "Tokens generated for one choice.", Tokens;
    /// Generated tokens of a request's longest choice.
    RequestMaxGenerationTokens: "vllm:request_max_num_generation_tokens", "Tokens of a request's longest choice.", Tokens;
    /// `max_tokens` as asked or clamped.
    RequestMaxTokens: "vllm:request_params_max_tokens", "max_tokens of one request.", Tokens;
    /// Choices of a request.
    RequestN: "vllm:request_params_n", "Choices of one request.", Choices;
    /// Prefill and decode tokens of a step.
    IterationTokens: "vllm:iteration_tokens_total", "Tokens of one engine step.", Fixed(ITERATION_TOKENS);
}

impl Buckets {
    /// Upper boundaries, ascending, without +Inf.
    pub(super) fn boundaries(&self, max_model_len: u32) -> Vec<f64> {
        match self {
            Fixed(boundaries) => boundaries.to_vec(),
            Choices => NUM_CHOICES.to_vec(),
            Tokens => one_two_five(f64::from(max_model_len)),
        }
    }
}

fn one_two_five(limit: f64) -> Vec<f64> {
    let decades = std::iter::successors(Some(1.0), |decade| Some(decade * 10.0));
    decades
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * decade))
        .take_while(|boundary| *boundary <= limit)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_ascend() {
        for histogram in Histogram::ALL {
            let boundaries = histogram.row().buckets.boundaries(131_072);
            assert!(boundaries.is_sorted_by(|a, b| a < b), "{histogram:?}");
        }
    }

    #[test]
    fn token_boundaries_end_at_the_context() {
        assert_eq!(
            Tokens.boundaries(100),
            [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
        );
        assert_eq!(Tokens.boundaries(99), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(Tokens.boundaries(0), [] as [f64; 0]);
    }

    #[test]
    fn gaps_below_ten_milliseconds_have_buckets() {
        for histogram in [
            Histogram::InterTokenLatency,
            Histogram::TimePerOutputToken,
            Histogram::TimeToFirstToken,
        ] {
            let boundaries = histogram.row().buckets.boundaries(1);
            assert!(
                boundaries
                    .iter()
                    .filter(|boundary| **boundary < 0.01)
                    .count()
                    >= 5,
                "{histogram:?}"
            );
        }
    }
}
