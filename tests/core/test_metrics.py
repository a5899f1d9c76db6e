"""The metrics page, judged by the Prometheus client's own parser."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock import _core

#: What vLLM's boards query, and what its own tests list.
BOARD_NAMES = {
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:inter_token_latency_seconds_sum",
    "vllm:inter_token_latency_seconds_bucket",
    "vllm:e2e_request_latency_seconds_count",
    "vllm:request_time_per_output_token_seconds_bucket",
    "vllm:generation_tokens_total",
    "vllm:prompt_tokens_total",
    "vllm:request_success_total",
    "vllm:num_requests_waiting",
    "vllm:num_requests_running",
    "vllm:kv_cache_usage_perc",
    "vllm:request_prompt_tokens_bucket",
    "vllm:request_generation_tokens_bucket",
    "vllm:iteration_tokens_total_count",
    "vllm:request_queue_time_seconds_sum",
    "vllm:request_prefill_time_seconds_sum",
    "vllm:request_decode_time_seconds_sum",
    "vllm:request_max_num_generation_tokens_sum",
    "vllm:request_params_n_bucket",
    "vllm:request_params_max_tokens_bucket",
    "vllm:cache_config_info",
    "vllm:admission_rejections_total",
    "penstock_pages_in_use",
    "penstock_num_pages",
    "penstock_streams_open",
    "penstock_compiles_after_ready_total",
    "penstock_cancelled_requests_total",
    "penstock_malformed_tool_calls_total",
    "penstock_tokens_wasted_total",
}
VLLM_TTFT_S = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160]
VLLM_GAP_S = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80]


def families_of(metrics):
    return {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}


def samples_of(metrics):
    return [sample for family in families_of(metrics).values() for sample in family.samples]


def value_of(metrics, name, **labels):
    found = [s.value for s in samples_of(metrics) if s.name == name and labels.items() <= s.labels.items()]
    assert len(found) == 1, (name, labels, found)
    return found[0]


@pytest.fixture
def metrics():
    made = _core.Metrics()
    model = made.model("org/tiny", max_model_len=200)
    model.set("penstock_num_pages", 8)
    model.set("penstock_page_size_tokens", 16)
    return made


@pytest.fixture
def model(metrics):
    return metrics.model("org/tiny")


def test_boards_find_every_name(metrics):
    samples = samples_of(metrics)
    assert {sample.name for sample in samples} >= BOARD_NAMES
    for sample in samples:
        assert sample.labels["model_name"] == "org/tiny"
        assert sample.labels["engine"] == "0"


def test_every_family_has_help_and_one_type(metrics):
    metrics.count_request("/v1/completions", "POST", 200, 0.1)
    text = metrics.render().decode()
    for family in families_of(metrics).values():
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
    typed = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(typed) == len(set(typed))
    assert text.endswith("\n")


def test_every_reason_is_there_from_the_start(metrics):
    for reason in ("stop", "length", "abort", "error"):
        assert value_of(metrics, "vllm:request_success_total", finished_reason=reason) == 0


def test_boundaries_contain_vllms_and_go_below(metrics):
    def boundaries(name):
        samples = families_of(metrics)[name].samples
        return [float(sample.labels["le"]) for sample in samples if sample.name.endswith("_bucket")]

    for name, theirs in (
        ("vllm:time_to_first_token_seconds", VLLM_TTFT_S),
        ("vllm:inter_token_latency_seconds", VLLM_GAP_S),
        ("vllm:request_time_per_output_token_seconds", VLLM_GAP_S),
    ):
        ours = boundaries(name)
        assert set(theirs) <= set(ours)
        assert sum(boundary < 0.01 for boundary in ours) >= 5
    assert boundaries("vllm:request_prompt_tokens") == [1, 2, 5, 10, 20, 50, 100, 200, float("inf")]


def test_what_is_observed_is_read(metrics, model):
    name = "vllm:inter_token_latency_seconds"
    values = [0.0004, 0.002, 0.002, 0.3, 99.0]
    for value in values:
        model.observe(name, value)
    assert value_of(metrics, f"{name}_count") == len(values)
    assert value_of(metrics, f"{name}_sum") == pytest.approx(sum(values))
    for sample in families_of(metrics)[name].samples:
        if sample.name.endswith("_bucket"):
            assert sample.value == sum(value <= float(sample.labels["le"]) for value in values)


def test_names_are_the_expositions(metrics, model):
    stop = 'vllm:request_success_total{finished_reason="stop"}'
    model.add(stop)
    model.add("vllm:generation_tokens_total", 41)
    model.set("vllm:num_requests_running", 3)
    model.set("penstock_pages_in_use", 2)
    assert value_of(metrics, "vllm:request_success_total", finished_reason="stop") == model.get(stop) == 1
    assert value_of(metrics, "vllm:generation_tokens_total") == 41
    assert value_of(metrics, "vllm:num_requests_running") == model.get("vllm:num_requests_running") == 3
    assert value_of(metrics, "vllm:kv_cache_usage_perc") == 0.25
    assert value_of(metrics, "vllm:cache_config_info", block_size="16", kv_cache_size_tokens="128") == 1


def test_unknown_names_are_key_errors(metrics, model):
    for call in (
        lambda: model.add("vllm:num_requests_running"),
        lambda: model.set("vllm:generation_tokens_total", 1.0),
        lambda: model.get("vllm:inter_token_latency_seconds"),
        lambda: model.observe("no_such_metric", 1.0),
    ):
        with pytest.raises(KeyError, match="named"):
            call()


def test_http_answers_are_counted(metrics):
    for handler, method, status in (
        ("/v1/models/{model_id}", "GET", 404),
        ("/v1/chat/completions", "POST", 200),
        ("/v1/chat/completions", "POST", 201),
        ("/v1/chat/completions", "POST", 499),
        ('odd"\\\nhandler', "BREW", 503),
    ):
        metrics.count_request(handler, method, status, 0.25)
    chat = {"handler": "/v1/chat/completions", "method": "POST"}
    assert value_of(metrics, "http_requests_total", status="2xx", **chat) == 2
    assert value_of(metrics, "http_requests_total", status="4xx", **chat) == 1
    assert value_of(metrics, "http_requests_total", handler='odd"\\\nhandler', method="other", status="5xx") == 1
    assert value_of(metrics, "http_request_duration_seconds_count", **chat) == 3


def test_odd_model_names_are_escaped():
    odd = 'a "quoted"\\ \nname'
    metrics = _core.Metrics()
    metrics.model(odd)
    assert {sample.labels["model_name"] for sample in samples_of(metrics)} == {odd}


def test_two_models_never_overwrite_one_another(metrics, model):
    other = metrics.model("org/other", max_model_len=100)
    stop = 'vllm:request_success_total{finished_reason="stop"}'
    for counters, num in ((model, 3), (other, 5)):
        counters.set("vllm:num_requests_running", num)
        counters.add(stop, num)
        counters.observe("vllm:time_to_first_token_seconds", num)
        counters.add("vllm:generation_tokens_total", num)
    other.set("penstock_num_pages", 40)
    tokenizer = b'{"model": {"type": "BPE", "vocab": {}, "merges": []}, "decoder": {"type": "ByteLevel"}}'
    hub = _core.Hub(_core.Vocabulary.from_json(tokenizer), other)
    opening = _core.Opening(
        dialect="chat", response_id="r", model="org/other", created=0, is_streamed=True, num_choices=1,
        prompt_tokens=1, max_tokens=1, request_id="r", arrival=0.0,
    )  # fmt: skip
    hub.open(opening)
    for name, num, num_pages, num_open in (("org/tiny", 3, 8, 0), ("org/other", 5, 40, 1)):
        assert value_of(metrics, "vllm:num_requests_running", model_name=name) == num
        assert value_of(metrics, "vllm:request_success_total", model_name=name, finished_reason="stop") == num
        assert value_of(metrics, "vllm:time_to_first_token_seconds_sum", model_name=name) == num
        assert value_of(metrics, "penstock_num_pages", model_name=name) == num_pages
        assert value_of(metrics, "penstock_streams_open", model_name=name) == num_open
    text = metrics.render().decode()
    typed = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(typed) == len(set(typed)), "one head for each family, however many models"
    assert metrics.snapshot()["total_tokens_generated"] == 8


def test_snapshot_counts_work_only(metrics, model):
    for handler, status, is_work in (
        ("/v1/chat/completions", 200, True),
        ("/own", 499, True),
        ("/v1/models", 200, False),
        ("none", 404, False),
    ):
        metrics.count_request(handler, "POST", status, 0.1, is_work=is_work)
    model.add("vllm:generation_tokens_total", 7)
    model.observe("vllm:request_generation_tokens", 6)
    model.observe("vllm:e2e_request_latency_seconds", 2.0)
    snapshot = metrics.snapshot()
    assert snapshot.pop("uptime_seconds") > 0
    assert snapshot == {
        "total_requests": 2,
        "successful_requests": 1,
        "failed_requests": 1,
        "total_tokens_generated": 7,
        "average_tokens_per_second": 3.0,
    }
